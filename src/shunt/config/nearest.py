"""Guess what a misspelt word was meant to be."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_BUDGET = 100_000  # comparisons; keeps a file with thousands of wrong names quick to refuse


class Nearest:
    """Finds the nearest known word until its budget of comparisons is spent."""

    def __init__(self, budget: int = _BUDGET) -> None:
        self._left = budget

    def __call__(self, word: str, known: Collection[str]) -> str | None:
        """Return the word of `known` that is most like `word`, or None."""
        if len(known) > self._left:
            return None
        self._left -= len(known)
        lower = {candidate.lower(): candidate for candidate in known}
        found = get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
        return lower[found[0]] if found else None

    def hint(self, word: str, known: Collection[str], *, none: str) -> str:
        """Return `did you mean ...?`, or the `known` words if they are few, or else `none`."""
        if not known:
            return none
        if near := self(word, known):
            return f"did you mean `{near}`?"
        if len(known) <= 16:
            return f"known here: {', '.join(known)}"
        return none
