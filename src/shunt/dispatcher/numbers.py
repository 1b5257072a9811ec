"""Small numbers for names: what a field of few bits says instead of a name; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Container


class Numbers:
    """Numbers from 0 to below a limit; a name has its own until it is let go.

    A number that was let go comes last to be given again, for who had it may still be using it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._next = 0
        self._of: dict[str, int] = {}
        self._taken: set[int] = set()

    def __contains__(self, name: object) -> bool:
        """Return whether a name has a number."""
        return name in self._of

    def of(self, name: str) -> int:
        """Return a name's number.

        Raises:
            UsageError: every number is taken.
        """
        if name not in self._of:
            if len(self._of) >= self._limit:
                raise UsageError(f"no more than {self._limit} servers can be checked at once")
            while self._next in self._taken:
                self._next = (self._next + 1) % self._limit
            self._of[name] = self._next
            self._taken.add(self._next)
            self._next = (self._next + 1) % self._limit
        return self._of[name]

    def keep(self, names: Container[str]) -> None:
        """Let go of every name but these."""
        self._of = {name: number for name, number in self._of.items() if name in names}
        self._taken = set(self._of.values())
