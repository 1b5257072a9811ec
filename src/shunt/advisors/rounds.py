"""Many checks, each at its own interval, on one event loop."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from shunt.advisors.run import Checker

if TYPE_CHECKING:
    from shunt.advisors.advisor import Target
    from shunt.advisors.check import Check
    from shunt.advisors.dialogue import Verdict

log = structlog.get_logger()

Key = TypeVar("Key", bound=Hashable)

_SPREAD = 1.0  # seconds over which first checks are spread at most
_TICK = 0.005  # seconds; checks due within one begin together, for each waking has its price
# On a segment the kernel of a living machine accepts within a millisecond, however busy its service
# is; and one packet may be lost.
_HASTE, _TRIES = 0.075, 2  # seconds, connections
_RECOVERY = 1.0  # seconds after which one who failed in haste is asked again in peace


@dataclass(frozen=True, slots=True)
class Job:
    """A check, whom it asks, and the mark of its sockets."""

    check: Check
    target: Target
    mark: int = 0


class Rounds(Generic[Key]):
    """Runs jobs again and again and reports each verdict.

    Checks of one job never overlap. First checks are spread, so that a thousand jobs with one
    interval do not all begin at one moment.

    Attributes:
        checks: made so far.
        last: when the last one ended, by the event loop's clock; None: none has yet.
        latest: the seconds by which any check has begun after its time, at most.
    """

    def __init__(self, report: Callable[[Key, Verdict], None]) -> None:
        self._report = report
        self._jobs: dict[Key, Job] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._waits: dict[Key, asyncio.Future[bool]] = {}
        self._owed: dict[Key, float] = {}
        self._checker = Checker()
        self.checks = 0
        self.last: float | None = None
        self.latest = 0.0

    def take(self, jobs: Mapping[Key, Job]) -> None:
        """Run these jobs and no others; a job that is the same goes on as it was."""
        for key in self._jobs.keys() - jobs.keys():
            self._stop(key)
        for key, job in jobs.items():
            if self._jobs.get(key) != job:
                self._stop(key)
                self._jobs[key] = job
                self._tasks[key] = asyncio.create_task(self._go_round(key, job))

    def hurry(self, key: Key) -> None:
        """Make a job's next check now, and in haste, unless one is on its way.

        In haste a connection along the forwarding path must stand sooner than otherwise.
        """
        waiting = self._waits.get(key)
        if waiting is not None and not waiting.done():
            waiting.set_result(True)

    def late(self, now: float) -> float:
        """Return for how many seconds the check that is most overdue should have begun, or ended.

        None is 0 seconds late. A job that has died is ever later.
        """
        return max(0.0, now - min(self._owed.values(), default=now))

    async def close(self) -> None:
        """Stop every job."""
        tasks = list(self._tasks.values())
        for key in list(self._jobs):
            self._stop(key)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._checker.close()

    def _stop(self, key: Key) -> None:
        self._jobs.pop(key, None)
        self._waits.pop(key, None)
        self._owed.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    async def _go_round(self, key: Key, job: Job) -> None:
        loop = asyncio.get_running_loop()
        interval = job.check.interval
        part = zlib.crc32(repr(key).encode()) / 2**32
        due = loop.time() + part * min(interval, _SPREAD)
        while True:
            self._owed[key] = due
            haste = await self._wait(loop, key, due)
            self.latest = max(self.latest, loop.time() - due)
            due = min(due, loop.time()) + interval  # a check that was hurried begins a new rhythm
            check = _hasty(job) if haste else job.check
            self._owed[key] = loop.time() + check.longest
            verdict = await self._checker.check(check, job.target, mark=job.mark)
            self.checks += 1
            self.last = loop.time()
            self._tell(key, verdict)
            due = max(due, loop.time())
            if haste and not verdict.up:
                due = min(due, loop.time() + _RECOVERY)

    def _tell(self, key: Key, verdict: Verdict) -> None:
        """Report a verdict; whatever that raises, the job's next check is made."""
        try:
            self._report(key, verdict)
        except Exception as error:
            log.exception("a verdict was not taken", check=key, words=verdict.words, error=error)

    async def _wait(self, loop: asyncio.AbstractEventLoop, key: Key, due: float) -> bool:
        """Wait until a check is due; return whether it is in haste."""
        waiting: asyncio.Future[bool] = loop.create_future()
        self._waits[key] = waiting
        timer = loop.call_at(math.ceil(due / _TICK) * _TICK, _wake, waiting)
        try:
            return await waiting
        finally:
            timer.cancel()


def _wake(waiting: asyncio.Future[bool]) -> None:
    if not waiting.done():
        waiting.set_result(False)


def _hasty(job: Job) -> Check:
    if not job.mark or job.check.connect_timeout <= _HASTE:
        return job.check
    return replace(job.check, connect_timeout=_HASTE, connect_tries=_TRIES)
