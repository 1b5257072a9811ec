"""Connections of a server, from counters that only see one direction; pure.

Replies never pass the dispatcher. It sees connections begin (SYN) and end (FIN or RST of the
client), and misses ends: a client that vanishes says nothing. So the balance of the two fades.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Connections:
    """What is known of a server's connections.

    Attributes:
        opened: counter, when last read.
        closed: counter, when last read.
        at: when that was, seconds of the monotonic clock.
        active: connections open, an estimate.
        new: connections opened per second, since the reading before.
    """

    opened: int
    closed: int
    at: float
    active: float = 0.0
    new: float = 0.0

    def read(self, opened: int, closed: int, at: float, fades: float) -> Connections:
        """Return what is known after another reading.

        Args:
            opened: counter now; one that went back began anew.
            closed: counter now.
            at: seconds of the monotonic clock.
            fades: seconds in which the balance falls to 1/e.
        """
        seconds = at - self.at
        if seconds <= 0:
            return self
        more, less = opened - self.opened, closed - self.closed
        if more < 0 or less < 0:
            return Connections(opened, closed, at)
        active = max(0.0, self.active * math.exp(-seconds / fades) + more - less)
        return Connections(opened, closed, at, active, more / seconds)


def suspicious(opened: int, packets: int, closed: int) -> bool:
    """Return whether connections begun meanwhile look unanswered.

    A connection that is answered brings at least an acknowledgement and data after its SYN. The
    arguments are what the counters grew by. A wrong suspicion costs one check.
    """
    return opened > 0 and packets - closed < 2 * opened


_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0


@dataclass(frozen=True, slots=True)
class Suspicion:
    """When a suspected server may be checked on suspicion: soon at first, then less and less often.

    One slow client must not keep the next alarm waiting; a flood of SYNs, which is suspicious all
    the while, must not cost more than a check a second.

    Attributes:
        due: from when on, seconds of the monotonic clock.
        pause: seconds from one check to the next.
    """

    due: float = 0.0
    pause: float = _FIRST_PAUSE

    def checked(self, at: float) -> Suspicion:
        """Return what holds after a check on suspicion."""
        return Suspicion(at + self.pause, min(2 * self.pause, _LONGEST_PAUSE))
