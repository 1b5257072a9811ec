"""The services as arrays, so that a million flows can be judged at once."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.balance import transitions
from shunt.dispatcher.ledger import service_key, services_map
from shunt.dispatcher.wishes import Flag
from shunt.model.config import Protocol, Track

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from shunt.dispatcher.balancer import Balancer
    from shunt.dispatcher.ledger import Placed, Table

_EVER = 1 << 40  # seconds


class Services:
    """The services as arrays, for look-ups of a million flows at once.

    Attributes:
        placed: by number, ascending; the others are arrays in this order.
        idle: seconds after which a flow is forgotten, (services,).
        gone: whether no flow is kept on a server, (services, local numbers).
    """

    def __init__(self, balancer: Balancer) -> None:
        self.placed = sorted(balancer.placed.values(), key=lambda p: p.number)
        self.numbers = np.array([p.number for p in self.placed], np.int64)
        self.masks = np.array([p.table.slots.size - 1 for p in self.placed], np.int64)
        self.idle = np.array([idle_of(p) for p in self.placed], np.int64)
        self.sticky = [sticky_of(balancer, placed) for placed in self.placed]
        self.gone = np.zeros((len(self.placed), transitions.NONE + 1), np.bool_)
        for row, placed in enumerate(self.placed):
            if placed.service is not None and placed.service.track is Track.NONE:
                self.gone[row] = True
            for claim in placed.claims:
                if claim.flags & Flag.MOVE:
                    self.gone[row, placed.table.locals[claim.identity]] = True

    def limits(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the idle seconds of the services at these places."""
        return self.idle[at] if len(self.placed) else at

    def is_gone(
        self, at: NDArray[np.int64], members: NDArray[np.integer[Any]]
    ) -> NDArray[np.bool_]:
        """Return whether the services at these places keep no flow on these servers."""
        found: NDArray[np.bool_] = self.gone[at, members] if len(self.placed) else at < 0
        return found


def find(
    known: NDArray[np.int64], numbers: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return each number's place in the ascending list `known`, and whether it is there at all."""
    if not len(known):
        return np.zeros(len(numbers), np.int64), np.zeros(len(numbers), np.bool_)
    at = np.searchsorted(known, numbers).clip(max=len(known) - 1)
    return at, known[at] == numbers


def idle_of(placed: Placed) -> int:
    """Return after how many seconds without a packet a flow of the service is forgotten.

    Not yet, after a restart, if nothing has said so far what the service is like.
    """
    service = placed.service
    if service is None:
        return _EVER
    return service.stale if service.protocol is Protocol.TCP else service.udp_idle


def sticky_of(balancer: Balancer, placed: Placed) -> int:
    """Return the seconds of client affinity that are in force, 0 for none."""
    if placed.service is None or placed.hashed_as_before:
        services = services_map(balancer.plane, placed.place)
        return int(services.get(service_key(balancer.plane, placed.place))["sticky"])
    return placed.service.sticky.time if placed.service.sticky else 0


class Sharing:
    """Which services share affinities of one number, as arrays by group.

    Most groups stand on one table; those whose services have been unlinked may have several.

    Attributes:
        numbers: ascending, (groups,).
        limits: seconds after which an affinity is forgotten, (groups,).
        services: in each array a service's place for each group, -1 for none, (groups,).
        tables: likewise, but no two places of a group stand on one table.
    """

    def __init__(self, services: Services) -> None:
        limits: dict[int, int] = {}
        users: dict[int, list[int]] = {}
        tables: dict[int, dict[Table, int]] = {}
        for row, placed in enumerate(services.placed):
            if not services.sticky[row]:
                continue
            limit = max(idle_of(placed), services.sticky[row])
            limits[placed.affinity] = max(limit, limits.get(placed.affinity, 0))
            users.setdefault(placed.affinity, []).append(row)
            tables.setdefault(placed.affinity, {}).setdefault(placed.table, row)
        self.numbers = np.array(sorted(limits), np.int64)
        self.limits = np.array([limits[number] for number in sorted(limits)], np.int64)
        self.services = _columns(users[number] for number in sorted(users))
        self.tables = _columns(tables[number].values() for number in sorted(tables))


def _columns(rows: Iterable[Iterable[int]]) -> list[NDArray[np.int64]]:
    return [np.array(column, np.int64) for column in zip_longest(*rows, fillvalue=-1)]
