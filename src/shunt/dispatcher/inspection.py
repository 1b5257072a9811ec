"""A look at what is pinned in the kernel, without a daemon, changing nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from shunt.dataplane.pins import PinDirectory
from shunt.dataplane.plane import Plane
from shunt.dispatcher import snapshot
from shunt.dispatcher.balancer import Balancer
from shunt.dispatcher.interfaces import InterfaceMonitor

if TYPE_CHECKING:
    from shunt.dispatcher.places import Places


def inspect(places: Places) -> dict[str, Any] | None:
    """Return the snapshot of what the kernel forwards by now; None if nothing is pinned.

    Raises:
        LayoutError: what is pinned is another release's.
        DataplaneError: it cannot be opened.
    """
    pins = PinDirectory(places.pins)
    if not pins.names():
        return None
    plane = Plane.inspect(pins)
    balancer = Balancer(plane)
    context = snapshot.Context(snapshot.sample(balancer, time.monotonic()))
    found = snapshot.document(snapshot.take(balancer, context))
    return {
        "daemon": None,
        "interfaces": InterfaceMonitor().document(plane),
        "diagnoses": [],
        "program": {"id": plane.program.info().id},
        **found,
        "services": list(found["services"]),
    }
