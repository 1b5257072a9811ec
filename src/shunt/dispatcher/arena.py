"""Room in the data plane's big arrays, a region for each table and each service; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """Elements `base` to `base + size - 1` of an array."""

    base: int
    size: int

    @property
    def span(self) -> slice:
        """Return the region as a slice of the array."""
        return slice(self.base, self.base + self.size)


def power_of_two(number: int) -> int:
    """Return the least power of two that is not less than `number` (at least 1)."""
    return 1 << max(0, number - 1).bit_length()


def find_room(taken: Iterable[Region], size: int, total: int) -> Region | None:
    """Return the first free region of `size` elements in an array of `total`, or None."""
    base = 0
    for region in sorted(taken):
        if region.base - base >= size:
            break
        base = max(base, region.base + region.size)
    return Region(base, size) if base + size <= total else None
