"""The counters of the servers that are managed, by service and server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shunt.dispatcher.health_jobs import Key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from shunt.dispatcher.arena import Region
    from shunt.dispatcher.balancer import Balancer
    from shunt.dispatcher.ledger import Placed, Table
    from shunt.dispatcher.wishes import Claim

NAMES = ("packets", "opened", "closed")


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at a time.

    Attributes:
        at: seconds of the monotonic clock.
        keys: whose they are; the same tuple as long as these are the same servers at their places.
        counts: (keys, NAMES), what the data plane has counted.
        cost: seconds of a processor that the reading took.
    """

    at: float
    keys: tuple[Key, ...]
    counts: NDArray[np.int64]
    cost: float

    def by_key(self) -> Mapping[Key, tuple[int, ...]]:
        """Return the counts of each key."""
        return dict(zip(self.keys, map(tuple, self.counts.tolist()), strict=True))

    def growth_since(self, before: Reading) -> Iterator[tuple[Key, tuple[int, ...]]]:
        """Yield what the counts of those grew by who opened connections; nothing if others count.

        Counters that began anew have not grown.
        """
        if self.keys is not before.keys:
            return
        grown = self.counts - before.counts
        opened = grown[:, NAMES.index("opened")]
        for row in np.flatnonzero(opened > 0).tolist():
            yield self.keys[row], tuple(grown[row].tolist())


class Counts:
    """Reads counters many times a second; keeps in mind where they are until services change."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._made_for: list[tuple[Table, Region, tuple[Claim, ...]]] | None = None
        self._keys: tuple[Key, ...] = ()
        self._rows = np.zeros(0, np.int64)
        self._reach = 0, 0  # from the first row to the last

    def read(self, at: float, services: frozenset[str]) -> Reading:
        """Read the counters of these services; runs in the worker thread."""
        begin = time.thread_time()
        self._find(services)
        first, last = self._reach
        found = self._balancer.plane.maps["tallies"].span(first, last)[self._rows - first]
        counts = np.stack([found[name].sum(axis=1) for name in NAMES], axis=1).astype(np.int64)
        return Reading(at, self._keys, counts, time.thread_time() - begin)

    def _find(self, services: frozenset[str]) -> None:
        wanted = [
            placed
            for placed in self._balancer.placed.values()
            if placed.service is not None and placed.service.name in services
        ]
        made_for = [(placed.table, placed.members, placed.claims) for placed in wanted]
        if made_for != self._made_for:
            self._made_for = made_for
            found = [pair for placed in wanted for pair in _rows(placed)]
            self._keys = tuple(key for key, _ in found)
            self._rows = np.array([row for _, row in found], np.int64)
            self._reach = (int(self._rows.min()), int(self._rows.max()) + 1) if found else (0, 0)


def _rows(placed: Placed) -> Iterator[tuple[Key, int]]:
    assert placed.service is not None
    for claim in placed.claims:
        local = placed.table.locals.get(claim.identity)
        if local is not None:
            yield Key(placed.service.name, claim.server), placed.members.base + local
