"""A sweep that stops before each of its steps, and lets a test do what it likes there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shunt.dispatcher.sweep import Report, sweep
from shunt.dispatcher.sweep_maps import SweepMaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from shunt.balance.transitions import Change, Sights
    from shunt.dispatcher.balancer import Balancer
    from shunt.dispatcher.ledger import Table


class Stepwise(SweepMaps):
    """Calls `between` before each step, with the step's name.

    Attributes:
        steps: the names so far.
    """

    def __init__(self, balancer: Balancer, between: Callable[[int], None]) -> None:
        super().__init__(balancer)
        self.steps: list[str] = []
        self._between = between

    def _before(self, step: str) -> None:
        self.steps.append(step)
        self._between(len(self.steps) - 1)

    def now(self) -> int:
        self._before("now")
        return super().now()

    def read(self, name: str) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        self._before(f"read {name}")
        for entries in super().read(name):
            yield entries
            self._before(f"read more {name}")

    def look(self, name: str, keys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        self._before(f"look at {name}")
        return super().look(name, keys)

    def take(
        self, name: str, keys: NDArray[Any], expected: NDArray[Any]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        self._before(f"take {name}")
        return super().take(name, keys, expected)

    def drop(self, name: str, keys: NDArray[Any]) -> int:
        self._before(f"drop {name}")
        return super().drop(name, keys)

    def slots(self, table: Table) -> NDArray[np.uint32]:
        self._before("slots")
        return super().slots(table)

    def sights(self, table: Table) -> Sights:
        self._before("sights")
        return super().sights(table)

    def hold(self, *, on: bool) -> None:
        self._before(f"hold {on}")
        super().hold(on=on)

    def wait(self) -> None:
        """Nobody waits: no packet is under way but those that the test sends, one at a time."""
        self._before("wait")

    def settle(self, table: Table, change: Change) -> None:
        self._before("settle")
        super().settle(table, change)


def interrupted(balancer: Balancer, at: int, happens: Callable[[], None]) -> Report | None:
    """Sweep, and let something happen before step `at`; None: there were fewer steps."""
    done: list[bool] = []

    def between(step: int) -> None:
        if step == at:
            done.append(True)
            happens()

    report = sweep(balancer, Stepwise(balancer, between))
    return report if done else None
