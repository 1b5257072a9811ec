"""How often something may happen: a few times close together, and seldom for long; pure.

The generic cell rate algorithm (ITU-T I.371): what is spent is earned again at a steady rate.
"""

from __future__ import annotations


class RateLimiter:
    """Allows `burst` events at once, and one more each `period` seconds.

    It has no clock: who asks says what time it is, in seconds of a clock that never goes back.
    """

    def __init__(self, period: float, burst: int = 1, gap: float = 0.0) -> None:
        """Allow `burst` events at first.

        Args:
            period: seconds in which one event is earned.
            burst: events that may be saved up.
            gap: seconds between two events, however many are saved.
        """
        self._period = period
        self._credit = (burst - 1) * period
        self._gap = gap
        self._last = self._spent = float("-inf")

    def due(self, now: float) -> float:
        """Return when the next event may be, now or later."""
        return max(now, self._last + self._gap, self._spent - self._credit)

    def spend(self, now: float) -> None:
        """Take note of an event."""
        self._last, self._spent = now, max(now, self._spent) + self._period

    def allows(self, now: float) -> bool:
        """Return whether an event may be now, and take note of it if so."""
        if self.due(now) > now:
            return False
        self.spend(now)
        return True
