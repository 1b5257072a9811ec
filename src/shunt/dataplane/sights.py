"""Sights that were copied while packets went on writing them where they had been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def catch_up(copied: NDArray[Any], source: NDArray[Any], target: NDArray[Any], now: int) -> int:
    """Note in the copy which slots' times packets have written since; return how many.

    Such a slot gets `now`, which is never earlier than what was written: packets write the copy
    already, and a time that is late by some seconds only puts off settling.

    Args:
        copied: `struct sight` of (slots,) when the copy was made.
        source: the same as they are now, once no packet writes them any more.
        target: a writable view of the copy, of (slots,) or a multiple of them.
        now: seconds of the coarse clock.
    """
    count = 0
    for field in ("since", "seen"):
        missed = np.flatnonzero(np.resize(source[field] != copied[field], len(target)))
        target[field][missed] = now
        count += len(missed)
    return count
