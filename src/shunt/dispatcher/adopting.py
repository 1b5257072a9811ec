"""Takes over what is remembered of the flows of a service that had been another's."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from shunt.dataplane.kernel import UpdateFlag
from shunt.dataplane.plane import address_key
from shunt.dispatcher.sweep_maps import FLOWS
from shunt.errors import DataplaneError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shunt.dataplane.plane import Plane
    from shunt.dispatcher.ledger import Place, Placed


def adopt(plane: Plane, placed: Placed) -> int:
    """Write a service's number into its flows that have the number `before`; return how many.

    The program takes either number meanwhile, so packets find their flows at any time. Newcomers
    go first: what becomes an exception meanwhile is found there.

    Raises:
        DataplaneError: the kernel refused to read; doing it again goes on from there.
    """
    adopted = 0
    for name in FLOWS:
        entries = plane.maps[name]
        for keys, values in entries.items_batch():
            theirs = (values["service"] == placed.before) & _is_of(keys, placed.place)
            for key in keys[theirs]:
                present = entries.get(key)  # as it is now: packets go on writing to it
                if present is None or present["service"] != placed.before:
                    continue
                present["service"] = placed.number
                with contextlib.suppress(DataplaneError):  # ENOENT: it is over
                    entries.put(key, present, UpdateFlag.EXIST)
                    adopted += 1
    return adopted


def _is_of(keys: NDArray[Any], place: Place) -> NDArray[np.bool_]:
    """Return which flows are a place's; its address and port may stand for all."""
    address, protocol, port = place
    mine: NDArray[np.bool_] = keys["protocol"] == protocol.number
    if port:
        mine &= keys["port"] == port
    if not address.is_unspecified:
        mine &= (keys["cluster"]["halves"] == address_key(address)).all(axis=1)
    return mine
