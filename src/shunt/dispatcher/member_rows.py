"""A service's members as the kernel has them, and as they shall be; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.dispatcher.wishes import Flag
from shunt.model.addresses import ZERO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shunt.dispatcher.ledger import Placed
    from shunt.dispatcher.wishes import Claim, Way
    from shunt.model.addresses import Mac


@dataclass(slots=True)
class Rows:
    """A service's members as they were and as they shall be."""

    claims: tuple[Claim, ...]
    present: NDArray[Any]
    wished: NDArray[Any]


def wished_members(
    placed: Placed, present: NDArray[Any], ways: Mapping[bytes, Way]
) -> NDArray[Any]:
    """Return a service's members as its claims want them, and where those who left are now."""
    wished = present.copy()
    claimed = {claim.identity: claim for claim in placed.claims}
    for identity, local in placed.table.locals.items():
        row = wished[local]
        row["address"]["halves"] = np.frombuffer(identity, np.uint64)
        claim = claimed.get(identity)
        if claim is None:  # has left the service: takes its old flows, and no others
            row["flags"] |= Flag.AVOID
            way = ways.get(identity)
            if way is not None and way.mac is not None:
                _lead(row, way.mac, way.ifindex)
            continue
        row["flags"] = claim.flags
        if claim.mac != ZERO:
            _lead(row, claim.mac, claim.ifindex)
    return wished


def _lead(row: Any, mac: Mac, ifindex: int) -> None:
    row["mac"] = np.frombuffer(mac.octets, np.uint8)
    row["ifindex"] = ifindex
