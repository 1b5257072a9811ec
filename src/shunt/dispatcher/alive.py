"""Keeps a daemon's loops turning, and knows which of them do not.

Traffic flows on without the daemon, so nobody would notice that its checks have ended. A loop that
fails for a reason that passes says so and tries again; one that fails for any other ends the
process, which systemd starts anew; one that hangs is seen by its age, in `shunt status` and by
systemd's watchdog.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shunt.dispatcher.limited_log import LimitedLog
from shunt.errors import ControlError, HostError, ShuntError, passes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_AGAIN = 5.0  # seconds after a turn failed


@dataclass(frozen=True, slots=True)
class Age:
    """How long ago a loop did its work.

    Attributes:
        seconds: since then; None: there was nothing to do yet.
        limit: seconds after which it is not alive; None: it waits for something to do.
        failing: why its last turn failed; None: it did not.
        late: seconds by which its work is overdue, where that is not its age: of many checks, each
            has its own time.
    """

    seconds: float | None
    limit: float | None
    failing: str | None = None
    late: float | None = None

    @property
    def overdue(self) -> bool:
        """Return whether nobody should rely on it."""
        seconds = self.seconds if self.late is None else self.late
        return seconds is not None and self.limit is not None and seconds > self.limit

    def document(self) -> dict[str, Any]:
        """Return it for `shunt status`."""
        return {
            "age": self.seconds,
            "late": self.late,
            "limit": self.limit,
            "overdue": self.overdue,
            "failing": self.failing,
        }


class Loops:
    """The loops of one daemon, by name."""

    def __init__(self, clock: Callable[[], float], log: LimitedLog | None = None) -> None:
        """Know of no loop yet.

        Args:
            clock: seconds of a clock that never goes back: the event loop's.
            log: for what passes; each loop's reason once a minute.
        """
        self._clock = clock
        self._log = log or LimitedLog()
        self._turned: dict[str, float] = {}
        self._limits: dict[str, float | None] = {}
        self._failing: dict[str, str] = {}

    async def turns(
        self,
        name: str,
        turn: Callable[[], Awaitable[float]],
        *,
        limit: float | None,
        passes: Callable[[BaseException], bool] = passes,
    ) -> None:
        """Make turn after turn until cancelled.

        Args:
            name: for people.
            turn: does the work once; returns the seconds to wait afterwards.
            limit: seconds after the last turn, pause included, from which the loop is not alive.
            passes: says of an error whether it is worth another try.

        Raises:
            ShuntError: what a turn raised and does not pass by itself.
        """
        self._limits[name] = limit
        self._turned[name] = self._clock()
        while True:
            try:
                pause = await turn()
            except (ShuntError, OSError) as error:
                if not passes(error):
                    raise _for_good(name, error) from error
                self._failing[name] = str(error)
                self._log.error(
                    "failed for now, and tried again", name, what=name, reason=str(error)
                )
                pause = _AGAIN
            else:
                self._failing.pop(name, None)
                self._turned[name] = self._clock()
            await asyncio.sleep(pause)

    def ages(self) -> Mapping[str, Age]:
        """Return each loop's age."""
        now = self._clock()
        return {
            name: Age(max(0.0, now - at), self._limits[name], self._failing.get(name))
            for name, at in self._turned.items()
        }


def _for_good(name: str, error: ShuntError | OSError) -> ShuntError:
    """Return the error to end by: one by which systemd starts the daemon anew.

    A daemon that had begun was on the right host with the right file, whatever is wrong now.
    """
    if isinstance(error, ShuntError) and error.exit_code != HostError.exit_code:
        return error
    hint = error.hint if isinstance(error, ShuntError) else None
    return ControlError(f"{name}: {error}", hint=hint)
