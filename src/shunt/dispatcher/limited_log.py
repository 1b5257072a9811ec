"""Log lines whose number strangers and broken machines decide: few, and the rest counted."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from shunt.rate_limiter import RateLimiter

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

log = structlog.get_logger()

_PERIOD = 60.0  # seconds after which the same line may be written again
_KINDS = 256  # kinds of lines that are remembered; who forgets one allows it its burst again, so
_EVERY, _ALTOGETHER = 1.0, 500  # lines of all kinds are bounded, too: one a second for long


@dataclass(slots=True)
class _Kind:
    limiter: RateLimiter
    left_out: int = 0


@dataclass(slots=True)
class LimitedLog:
    """Writes lines of one kind at a bounded rate, and those of all kinds together, too.

    A line that follows some that were left out says how many (`left_out`).

    Attributes:
        period: seconds in which one line of a kind is earned.
        burst: lines of a kind that may follow each other at once.
        clock: seconds of a clock that never goes back.
    """

    period: float = _PERIOD
    burst: int = 1
    clock: Callable[[], float] = time.monotonic
    _kinds: OrderedDict[tuple[str, str], _Kind] = field(default_factory=OrderedDict)
    _all: RateLimiter = field(default_factory=lambda: RateLimiter(_EVERY, _ALTOGETHER))

    def info(self, event: str, same: str = "", **facts: Any) -> None:
        """Write a line, or count it; lines with another `same` are another kind."""
        self._write(logging.INFO, event, same, facts)

    def warning(self, event: str, same: str = "", **facts: Any) -> None:
        """Write a warning, or count it; lines with another `same` are another kind."""
        self._write(logging.WARNING, event, same, facts)

    def error(self, event: str, same: str = "", **facts: Any) -> None:
        """Write an error, or count it; lines with another `same` are another kind."""
        self._write(logging.ERROR, event, same, facts)

    def _write(self, level: int, event: str, same: str, facts: dict[str, Any]) -> None:
        key = (event, same)
        kind = self._kinds.setdefault(key, _Kind(RateLimiter(self.period, self.burst)))
        self._kinds.move_to_end(key)
        if len(self._kinds) > _KINDS:
            self._kinds.popitem(last=False)
        now = self.clock()
        if max(kind.limiter.due(now), self._all.due(now)) > now:
            kind.left_out += 1
            return
        kind.limiter.spend(now)
        self._all.spend(now)
        if kind.left_out:
            facts["left_out"], kind.left_out = kind.left_out, 0
        log.log(level, event, **facts)


class Unforeseen:
    """The event loop's handler of what nobody caught: a few lines of each kind, with the place."""

    def __init__(self) -> None:
        self._log = LimitedLog(burst=3)

    def __call__(self, _loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what asyncio tells (`loop.call_exception_handler`)."""
        error = context.get("exception")
        self._log.error(
            "unforeseen; please report it", f"{context['message']} {type(error).__name__}",
            what=context["message"], exc_info=error,
        )  # fmt: skip
