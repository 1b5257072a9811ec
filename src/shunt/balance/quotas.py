"""How many slots each server should get, and may get.

The slots of a table are like the seats of a parliament. `apportion` rounds the weights to whole
slots by Webster's method, at least one each: a divisor method, the kind of rounding that never
takes a slot from one server because another became lighter (M. Balinski and H. P. Young, "Fair
Representation", 1982, chapter 8), and the one without bias towards large or small servers.

A server of many slots may have 1 % more or less than its weight says. That freedom is spent on
moving fewer slots (`prices.py`). A server of few slots gets its rounded number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 100  # shares are within one part in so many

# A weight below 2^16 shifted by this stays below 2^62, and the claims of one server to its
# consecutive slots (at most 2^20 of them) stay distinct integers.
_CLAIM_SHIFT = np.uint64(46)


class Quotas(NamedTuple):
    """Slots of each server. The rounded ones add up to the size and lie within the bounds."""

    rounded: NDArray[np.int64]
    least: NDArray[np.int64]  # at least 1
    most: NDArray[np.int64]
    weights: NDArray[np.int64]
    size: int

    def ideal_parts(self, parts: int) -> NDArray[np.int64]:
        """Return the slots that the weights ask for, within the bounds, in parts of a slot."""
        exact: NDArray[np.int64] = self.weights * (self.size * parts) // self.weights.sum()
        return np.clip(exact, self.least * parts, self.most * parts)


def quotas(weights: NDArray[np.int64], size: int, tie_break: NDArray[np.uint64]) -> Quotas:
    """Return the quotas of servers with these weights; the arguments are those of `apportion`.

    The bounds: 1 % below and above what the weight asks for, or the rounded number if that is
    farther off. So a server's slots differ from its weight's by 1 % or by rounding, not more.
    """
    rounded = apportion(weights, size, tie_break)
    total = int(weights.sum()) * TOLERANCE
    below = -(weights * -(size * (TOLERANCE - 1)) // total)  # rounded up
    above = weights * (size * (TOLERANCE + 1)) // total
    least = np.minimum(rounded, np.maximum(below, 1))
    return Quotas(rounded, least, np.maximum(rounded, above), weights, size)


def apportion(
    weights: NDArray[np.int64], size: int, tie_break: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Return the number of slots of each server; they add up to `size`, and each gets at least one.

    The k-th slot (from 0) goes by the claim weight / (2k + 1), the largest claims first; the first
    slot of every server goes before all others. Equal claims are ordered by `tie_break`.

    Args:
        weights: one integer from 1 to 65,535 for each server, at most `size` of them.
        size: slots to give away.
        tie_break: one number for each server, all different, the smaller the earlier.
    """
    scaled = weights.astype(np.uint64) << _CLAIM_SHIFT

    def granted(claim: int) -> NDArray[np.int64]:
        """Count each server's slots if every claim of at least `claim` is granted."""
        odd = scaled // np.uint64(claim)  # the claim of slot k is enough if 2k + 1 <= odd
        return np.maximum(((odd + np.uint64(1)) >> np.uint64(1)).astype(np.int64), 1)

    low, high = 1, 1 << 62  # granted(low) gives all slots away or more; granted(high) does not
    while high - low > 1:
        middle = (low + high) // 2
        if granted(middle).sum() >= size:
            low = middle
        else:
            high = middle
    slots = granted(high)
    tied = np.flatnonzero(granted(low) > slots)
    first = tied[np.argsort(tie_break[tied], kind="stable")][: size - int(slots.sum())]
    slots[first] += 1
    return slots
