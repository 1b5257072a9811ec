"""Which servers cannot take traffic, and when that begins and ends: each is told once.

A server is able if its checks do not say otherwise and frames reach it. One that is asked for its
MAC address for the first time is waited for; after that, silence is no good news.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.dispatcher.wishes import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shunt.balance.manager_streak import Streak
    from shunt.dispatcher.health_jobs import Key
    from shunt.dispatcher.wishes import Way


def why_unable(streak: Streak, way: Way) -> str | None:
    """Return why a server cannot take traffic, None if it can, or may; pure.

    Args:
        streak: what its checks say; of a server that is not checked, that it is up.
        way: how frames get to it.
    """
    if not streak.up:
        return streak.words
    if not way.open and not way.asked:
        return way.reason or UNKNOWN.reason
    return None


class Serving:
    """The servers that were told to be unable, by service and server."""

    def __init__(self, tell: Callable[[Key, bool, str], None]) -> None:
        """Know of none yet.

        Args:
            tell: called with whether a server is able now, and why.
        """
        self._tell = tell
        self._unable: set[Key] = set()

    def recall(self, keys: Iterable[Key]) -> None:
        """Take those that the last daemon told of."""
        self._unable.update(keys)

    def keep_to(self, keys: Iterable[Key]) -> None:
        """Forget those that are no longer in the configuration."""
        self._unable &= set(keys)

    def judge(self, key: Key, why: str | None, able: str) -> None:
        """Take what `why_unable` says of a server; `able` is the reason to tell if it can serve."""
        if why is None and key in self._unable:
            self._unable.remove(key)
            self._tell(key, True, able)  # noqa: FBT003 - whether it is able
        elif why is not None and key not in self._unable:
            self._unable.add(key)
            self._tell(key, False, why)  # noqa: FBT003
