"""The end of a dispatcher, with or without its daemon."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from shunt.dataplane.pins import PinDirectory
from shunt.dataplane.probe import take_off_orphans
from shunt.dispatcher.control import request
from shunt.dispatcher.ownership import locked, remove_places
from shunt.errors import ControlError, DataplaneError, HostError
from shunt.network.links import links

if TYPE_CHECKING:
    from shunt.dispatcher.places import Places

_PATIENCE = 10.0
_LINK = "link_"
_ENDED = "the dispatcher has ended; its program is detached"


def end(places: Places) -> str:
    """End the daemon if there is one, detach the program, remove all pins; say what was done.

    Where no dispatcher has been, nothing is touched.

    Raises:
        ControlError: the daemon did not end.
        HostError: no daemon runs, and what it left is not ours to remove.
        DataplaneError: the kernel refused to detach.
    """
    asked = False
    with contextlib.suppress(ControlError):
        request(places.socket, "down")
        asked = True
    deadline = time.monotonic() + _PATIENCE
    while True:
        if asked and not places.lock.exists():
            # It took all away itself, the lock last. Who may ask it to is root, or its own user.
            if os.geteuid() == 0:
                _take_off_orphans()
            return _ENDED
        if not asked and not _is_used(places):
            return "nothing was there to end"
        try:
            with locked(places):
                _remove(places)
                return _ENDED if asked else "no daemon ran; its program is detached"
        except (ControlError, HostError) as error:
            if not asked and isinstance(error, HostError):
                raise
            if time.monotonic() > deadline:
                raise ControlError(
                    "the daemon does not end", hint="end its process, then run this again"
                ) from error
            time.sleep(0.05)


def _is_used(places: Places) -> bool:
    return places.lock.exists() or bool(PinDirectory(places.pins).names())


def _remove(places: Places) -> None:
    """Detach and unpin whatever is pinned, also by another release."""
    pins = PinDirectory(places.pins)
    for name in pins.names():
        if name.startswith(_LINK):
            with contextlib.suppress(DataplaneError), pins.open_link(name) as link:
                link.detach()
    pins.remove()
    remove_places(places)
    _take_off_orphans()


def _take_off_orphans() -> None:
    take_off_orphans(link.index for link in links())
