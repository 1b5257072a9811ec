"""The end of a dispatcher, with or without its daemon."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from shunt.dataplane.pins import PinDirectory
from shunt.dataplane.probe import take_off_orphans
from shunt.dispatcher.control import request
from shunt.dispatcher.ownership import locked, remove_places
from shunt.errors import ControlError, DataplaneError
from shunt.network.links import links

if TYPE_CHECKING:
    from shunt.dispatcher.places import Places

_PATIENCE = 10.0
_LINK = "link_"


def end(places: Places) -> str:
    """End the daemon if there is one, detach the program, remove all pins; say what was done.

    Raises:
        ControlError: the daemon did not end.
        DataplaneError: the kernel refused to detach.
    """
    ended = False
    with contextlib.suppress(ControlError):
        request(places.socket, "down")
        ended = True
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with locked(places):
                removed = _remove(places)
            break
        except ControlError as error:
            if time.monotonic() > deadline:
                raise ControlError(
                    "the daemon does not end", hint="end its process, then run this again"
                ) from error
            time.sleep(0.05)
    if ended:
        return "the dispatcher has ended; its program is detached"
    return "no daemon ran; its program is detached" if removed else "nothing was there to end"


def _remove(places: Places) -> bool:
    """Detach and unpin whatever is pinned, also by another release."""
    pins = PinDirectory(places.pins)
    names = pins.names()
    for name in names:
        if name.startswith(_LINK):
            with contextlib.suppress(DataplaneError), pins.open_link(name) as link:
                link.detach()
    pins.remove()
    remove_places(places)
    return take_off_orphans(link.index for link in links()) or bool(names)
