"""Figures about slot tables: shares, moves, and the fewest moves that a change demands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMBERS = 1 << 16


def slots_held(table: NDArray[np.uint16], servers: int) -> NDArray[np.int64]:
    """Return how many slots each of the servers 0 .. `servers` - 1 has."""
    return np.bincount(table, minlength=_NUMBERS)[:servers]


def shares(table: NDArray[np.uint16], servers: int) -> NDArray[np.float64]:
    """Return the part (0 to 1) of all slots that each of the servers 0 .. `servers` - 1 has."""
    return slots_held(table, servers) / len(table)


def moved(before: NDArray[np.uint16], after: NDArray[np.uint16]) -> int:
    """Return how many slots have another server after than before; the numbering is the same."""
    return int(np.count_nonzero(before != after))


def least_moves(before: NDArray[np.uint16], after: NDArray[np.uint16]) -> int:
    """Return how many slots any table with the shares of `after` must change of `before`.

    That is the sum of what servers gain: a gained slot is a moved one, and no other need move.
    """
    gain = np.bincount(after, minlength=_NUMBERS) - np.bincount(before, minlength=_NUMBERS)
    return int(gain[gain > 0].sum())
