"""How many slots each server gets: apportionment by Webster's method, at least one each.

The seats of a parliament and the slots of a table are the same problem. Among the ways to round,
only divisor methods never take a slot from a server because another one left or became lighter
(population monotonicity: M. Balinski and H. P. Young, "Fair Representation", 1982, chapter 8).
That is just what a slot table needs: the least possible number of moves is then the number of
slots that the changed server gives up or takes. Webster's is the divisor method without bias
towards large or small servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A weight below 2^16 shifted by this stays below 2^62, and the claims of one server to its
# consecutive slots (at most 2^20 of them) stay distinct integers.
_CLAIM_SHIFT = np.uint64(46)


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
