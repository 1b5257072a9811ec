"""Paths into the configuration, and where in the file each of them is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Path = tuple[str | int, ...]


class Position(NamedTuple):
    """A place in the file; both count from 1, columns in characters."""

    line: int
    column: int


START = Position(1, 1)
_SIMPLE = re.compile(r"[\w-]+")


def render(path: Path) -> str:
    """Return the path as messages write it: `clusters.web.ports[0].port`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if _SIMPLE.fullmatch(step) else f'"{step}"'
            text += f".{name}" if text else name
    return text


@dataclass(frozen=True, slots=True)
class Places:
    """Where the value, and the key, of every path stands. A list's item is its own key."""

    values: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)

    def known(self, path: Iterable[str | int]) -> Path:
        """Return `path` without the steps that the file does not have.

        A single value where a list may be, `address: 192.0.2.1`, is so found under its key.
        """
        found: Path = ()
        for step in path:
            longer = (*found, step)
            if longer in self.values:
                found = longer
        return found

    def value(self, path: Path) -> Position:
        """Return where the value at `path`, or at what is left of it in the file, begins."""
        return self.values.get(self.known(path), START)

    def key(self, path: Path) -> Position:
        """Return where the key of `path`, or of what is left of it in the file, begins."""
        return self.keys.get(self.known(path), START)
