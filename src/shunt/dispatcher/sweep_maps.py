"""All that a sweep reads and writes in the kernel, step by step.

Packets come between any two steps, and change what the last one read. A test passes a `SweepMaps`
that lets them come just there.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.dataplane.grace import wait_for_packets
from shunt.dataplane.kernel import UpdateFlag
from shunt.errors import DataplaneError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from shunt.balance.transitions import Change, Sights
    from shunt.dispatcher.balancer import Balancer
    from shunt.dispatcher.ledger import Table

FLOWS = ("newcomers", "flows")  # the maps of `struct flow`, in the order in which a flow moves
_READ = 1 << 12  # entries read at once: few, for a CPU may run nothing else meanwhile


class SweepMaps:
    """The maps of a balancer; each method is one step."""

    def __init__(self, balancer: Balancer) -> None:
        self.balancer = balancer

    def now(self) -> int:
        """Return the second by the program's clock."""
        return self.balancer.plane.now()

    def read(self, name: str) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield the keys and values of a map, some at a time, each a step."""
        return self.balancer.plane.maps[name].items_batch(_READ)

    def look(self, name: str, keys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the values that stand at these keys now, and whether any does."""
        return self.balancer.plane.maps[name].lookup_batch(keys)

    def take(
        self, name: str, keys: NDArray[Any], expected: NDArray[Any]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Remove entries that are as expected; others are put back, as they were found.

        The kernel cannot compare and remove in one: an entry that changed since `look` is away for
        some microseconds. If a packet has made a new one meanwhile, that stays.

        Returns:
            Whether each is removed, and whether each has changed and stays.
        """
        entries = self.balancer.plane.maps[name]
        taken, found = entries.take_batch(keys)
        changed = found & (taken != expected)
        for at in np.flatnonzero(changed):
            with contextlib.suppress(DataplaneError):  # EEXIST: there is a newer one
                entries.put(keys[at], taken[at], UpdateFlag.NOEXIST)
        return found & ~changed, changed

    def drop(self, name: str, keys: NDArray[Any]) -> int:
        """Remove entries, whatever they say by now; return how many were there."""
        return self.balancer.plane.maps[name].delete_batch(keys)

    def slots(self, table: Table) -> NDArray[np.uint32]:
        """Return a copy of a table's words."""
        return self.balancer.slots_of(table).copy()

    def sights(self, table: Table) -> Sights:
        """Return a copy of a table's sights."""
        copied: Sights = self.balancer.sights_of(table).copy()
        return copied

    def hold(self, *, on: bool) -> None:
        """Let no refused flow begin at an elder, or let it again."""
        self.balancer.change_settings(settling=int(on))

    def wait(self) -> None:
        """Wait until every packet that saw what was written before has gone."""
        wait_for_packets()

    def settle(self, table: Table, change: Change) -> None:
        """Write the words of slots; their sights stay as packets have written them."""
        self.balancer.slots_of(table)[change.indices] = change.slots
