"""Successes and failures in a row: when is a server up, when down; pure.

A server that keeps falling must earn its return: each fall within `MEMORY` seconds of the last
return doubles the successes in a row that the next return takes, up to `PATIENCE` times. So a
flapping server changes the table a few times, and then ever more rarely.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMORY = 300.0
PATIENCE = 32


@dataclass(frozen=True, slots=True)
class Streak:
    """What is thought of a server.

    Attributes:
        up: in service. A server is taken for up until it is seen to fail.
        since: when that began, seconds of the monotonic clock.
        against: results in a row that say the opposite.
        falls: how often it fell soon after a return.
        words: of the last result.
        known: there was a result.
        load: of the last success: milliseconds, or per cent.
        share: of its weight, as the server's agent wishes.
    """

    up: bool = True
    since: float = 0.0
    against: int = 0
    falls: int = 0
    words: str = "not checked yet"
    known: bool = False
    load: float | None = None
    share: float | None = None

    @property
    def earning(self) -> bool:
        """Return whether it is down though the last check succeeded."""
        return not self.up and self.against > 0

    def needed(self, rise: int) -> int:
        """Return how many successes in a row its return takes."""
        return rise * min(PATIENCE, 1 << min(self.falls, 30))


def combined(streaks: Mapping[str, Streak], *, every: bool) -> Streak:
    """Return what several checks of one server make together.

    Args:
        streaks: of each check, by its label, in the order of the file.
        every: all must be up; else one is enough.
    """
    each = list(streaks.values())
    up = all(s.up for s in each) if every else any(s.up for s in each)
    deciding = [s for s in each if s.up == up]
    begun = [s.since for s in deciding]
    earning = [s.earning for s in deciding]
    shares = [s.share for s in each if s.up and s.share is not None]
    return Streak(
        up=up,
        # Where all are needed, the last one decides; where one is enough, the first.
        since=max(begun) if up == every else min(begun),
        against=int(not up and (all(earning) if every else any(earning))),
        falls=max(s.falls for s in each),
        words="; ".join(
            dict.fromkeys(
                f"{label}: {s.words}" if s.known else s.words
                for label, s in streaks.items()
                if s.up == up or not s.up
            )
        ),
        known=all(s.known for s in each) if up == every else any(s.known for s in deciding),
        load=next((s.load for s in each if s.up and s.load is not None), None),
        share=min(shares, default=None),
    )


def after(  # noqa: PLR0913 - a result has this many parts
    streak: Streak,
    now: float,
    words: str,
    *,
    good: bool,
    fall: int,
    rise: int,
    load: float | None = None,
    share: float | None = None,
) -> Streak:
    """Return the streak after one more result.

    Args:
        streak: before.
        now: seconds of the monotonic clock.
        words: what was seen.
        good: the check succeeded.
        fall: failures in a row that take a server out.
        rise: successes in a row that bring it back.
        load: of a success.
        share: of a success.
    """
    seen = replace(
        streak, words=words, known=True,
        load=load if good else streak.load, share=share if good else streak.share,
    )  # fmt: skip
    if good == streak.up:
        return replace(seen, against=0)
    against = streak.against + 1
    if against < (streak.needed(rise) if good else fall):
        return replace(seen, against=against)
    if good:
        return replace(seen, up=True, since=now, against=0)
    # Before its first return a server has not flapped, however long it has been up.
    soon = streak.since > 0 and now - streak.since < MEMORY
    return replace(seen, up=False, since=now, against=0, falls=streak.falls + 1 if soon else 0)
