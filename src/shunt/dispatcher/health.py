"""Health: runs every check, lets the manager decide, and tells the engine and the operator.

Checks report verdicts; `manager_streak` makes up and down of them; `manager.decide` makes weights;
the engine's `health` gets them, and the daemon is woken. All of it runs on the event loop; only
counters are read in the worker thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from typing import TYPE_CHECKING, Any

import structlog

from shunt.advisors.check import At
from shunt.advisors.rounds import Job, Rounds
from shunt.balance import manager
from shunt.balance.manager_counts import Connections, Suspicion, suspicious
from shunt.balance.manager_streak import Streak, after
from shunt.dispatcher import health_memory
from shunt.dispatcher.events import Kind
from shunt.dispatcher.health_jobs import METRIC, Key, jobs
from shunt.dispatcher.health_once import Once, once
from shunt.dispatcher.health_path import HealthPath
from shunt.dispatcher.wishes import Health as Finding
from shunt.errors import ShuntError
from shunt.model.config import Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from shunt.advisors.check import Check
    from shunt.advisors.dialogue import Verdict
    from shunt.dispatcher.engine import Engine
    from shunt.dispatcher.events import Events
    from shunt.dispatcher.health_counts import Reading
    from shunt.dispatcher.wishes import Way
    from shunt.model.addresses import Address
    from shunt.model.config import Config, Member, Service

log = structlog.get_logger()

_GATHER = 0.01  # seconds in which turns are gathered, for a whole rack may fail at once
_GLANCE = 0.05  # seconds between looks for unanswered connections
_GLANCE_COST = 20  # a look may take one part in so many of a processor


class HealthWatch:
    """The checks of one dispatcher.

    Attributes:
        streaks: what is thought of each server in each service.
        machines: of each server that has a metric.
        decided: by the manager, by service.
    """

    def __init__(
        self,
        engine: Engine,
        events: Events,
        changed: Callable[[], None],
        glance: Callable[[], Awaitable[Reading]],
        memory: Path,
    ) -> None:
        """Watch nothing yet; servers that were down when the last daemon ended are down.

        Args:
            engine: gets the findings.
            events: gets ups, downs, alerts and clears.
            changed: called when it got new ones.
            glance: reads the counters.
            memory: the file that says who is down.
        """
        self._engine = engine
        self._changed = changed
        self._glance = glance
        self._events = events
        self.streaks: dict[Key, Streak] = {}
        self.machines: dict[str, Verdict] = {}
        self.decided: dict[str, manager.Decided] = {}
        self._path = HealthPath()
        self._rounds: Rounds[Key] = Rounds(self._report)
        self._jobs: dict[Key, Job] = {}
        self._connections: dict[Key, Connections] = {}
        self._suspected: dict[Key, Suspicion] = {}
        self._untold: dict[Key, str] = {}
        self._ways: dict[str, Way] = {}
        self._turns: set[str] = set()
        self._memory = memory
        self._recall()

    def _recall(self) -> None:
        now = asyncio.get_running_loop().time()
        for key, words in health_memory.recall(self._memory).items():
            self.streaks[key] = Streak(up=False, since=now, words=words)
        self._forget_all_but(self._engine.config)
        self._decide_all()

    async def run(self) -> None:
        """Check until cancelled."""
        _allow_descriptors()
        self.take()
        try:
            async with asyncio.TaskGroup() as tasks:
                for loop in (self._path.keep(), self._manage(), self._suspect()):
                    tasks.create_task(loop)
        finally:
            await self._rounds.close()
            self._path.close()

    def follow(self) -> None:
        """Follow the servers' MACs, if any has changed."""
        if self._ways != self._engine.ways:
            self.take()

    def take(self) -> None:
        """Take the configuration and the servers' MACs as they are now."""
        config = self._engine.config
        ways = self._ways = dict(self._engine.ways)
        try:
            self._jobs = jobs(config, ways, self._path.mark)
            along = (j.target.address for j in self._jobs.values() if j.mark)
            self._path.lead(dict.fromkeys(along), ways)
        except ShuntError as error:
            log.error("checks cannot be made", reason=error.message)  # noqa: TRY400 - said in one line
            self._jobs = {key: job for key, job in self._jobs.items() if not job.mark}
        self._forget_all_but(config)
        self._rounds.take(self._jobs)
        self._decide_all()

    def _forget_all_but(self, config: Config) -> None:
        known = {Key(s.name, m.server) for s in config.services if s.advisor for m in s.members}
        tables: tuple[dict[Key, Any], ...] = (
            self.streaks, self._connections, self._suspected, self._untold,
        )  # fmt: skip
        for table in tables:
            for key in table.keys() - known:
                del table[key]
        for name in self.decided.keys() - {key.service for key in known}:
            del self.decided[name]
        for name in self.machines.keys() - {n for n, s in config.servers.items() if s.metric}:
            del self.machines[name]

    # Verdicts.

    def _report(self, key: Key, verdict: Verdict) -> None:
        if key.service == METRIC:
            self._measured(key.server, verdict)
            return
        if verdict.up is None:
            self._say_untold(key, verdict.words)
            return
        self._untold.pop(key, None)
        job = self._jobs.get(key)
        if job is None:
            return
        before = self.streaks.get(key, Streak())
        now = asyncio.get_running_loop().time()
        words = f"{verdict.words}; {verdict.warning}" if verdict.warning else verdict.words
        streak = after(
            before, now, words, good=verdict.up, fall=job.check.fall, rise=job.check.rise,
            load=verdict.load, share=verdict.share,
        )  # fmt: skip
        self.streaks[key] = streak
        if verdict.warning and not before.known:
            log.warning("check", service=key.service, server=key.server, warning=verdict.warning)
        if streak.up != before.up or streak.share != before.share:
            self._turned(key, before, streak)

    def _turned(self, key: Key, before: Streak, streak: Streak) -> None:
        """Tell what has changed, and let the manager decide anew as soon as no more comes."""
        service = self._service_of(key)
        if service is None:  # a reload is on its way
            return
        if streak.up != before.up:
            kind = Kind.SERVER_UP if streak.up else Kind.SERVER_DOWN
            own = str(self._engine.config.servers[key.server].addresses[0])
            self._events.happened(kind, service, key.server, own, streak.words)
        if not self._turns:
            asyncio.get_running_loop().call_later(_GATHER, self._settle)
        self._turns.add(key.service)

    def _settle(self) -> None:
        turns, self._turns = self._turns, set()
        for service in self._checked():
            if service.name in turns:
                self._decide(service)
        self._publish()
        down = {key: streak.words for key, streak in self.streaks.items() if not streak.up}
        health_memory.keep(self._memory, down)

    def _say_untold(self, key: Key, words: str) -> None:
        if self._untold.get(key) != words:
            self._untold[key] = words
            log.warning("check not made", service=key.service, server=key.server, reason=words)

    def _measured(self, server: str, verdict: Verdict) -> None:
        before = self.machines.get(server)
        self.machines[server] = verdict
        if verdict.up is not True and (before is None or before.words != verdict.words):
            log.warning("metric", server=server, reason=verdict.words)
        if before is None or before.share != verdict.share:
            self._decide_all()

    # Weights.

    async def _manage(self) -> None:
        turn = 0
        while True:
            settings = self._engine.config.manager
            await asyncio.sleep(settings.interval)
            if settings.dynamic and turn % settings.refresh == 0:
                self._count(await self._glance())
            turn += 1
            self._decide_all()

    def _count(self, reading: Reading) -> None:
        counts = reading.by_key()
        for service in self._checked():
            for member in service.members:
                key = Key(service.name, member.server)
                if key not in counts:
                    continue
                _, opened, closed = counts[key]
                before = self._connections.get(key, Connections(opened, closed, reading.at))
                self._connections[key] = before.read(opened, closed, reading.at, service.stale)

    def _checked(self) -> list[Service]:
        return [service for service in self._engine.config.services if service.advisor]

    def _service_of(self, key: Key) -> Service | None:
        """Return the service of a key, if the configuration still has both."""
        services = (s for s in self._engine.config.services if s.name == key.service)
        found = next(services, None)
        there = found is not None and any(m.server == key.server for m in found.members)
        return found if there else None

    def _decide_all(self) -> None:
        for service in self._checked():
            self._decide(service)
        self._publish()

    def _decide(self, service: Service) -> None:
        before = self.decided.get(service.name, manager.NOTHING)
        seen = [self._seen(service, member) for member in service.members]
        now = asyncio.get_running_loop().time()
        decided = manager.decide(seen, self._engine.config.manager, before, now)
        self.decided[service.name] = decided
        if decided.alert != before.alert:
            kind = Kind.MANAGER_ALERT if decided.alert else Kind.MANAGER_CLEAR
            self._events.happened(kind, service)
        for name in decided.kept - before.kept:
            log.warning("kept though failing", service=service.name, server=name,
                        reason=decided.servers[name].reason)  # fmt: skip

    def _seen(self, service: Service, member: Member) -> manager.Seen:
        key = Key(service.name, member.server)
        streak = self.streaks.get(key, Streak())
        connections = self._connections.get(key)
        machine = self.machines.get(member.server)
        wishes = [w for w in (streak.share, machine.share if machine else None) if w is not None]
        return manager.Seen(
            server=member.server,
            capacity=member.weight,
            up=streak.up,
            since=streak.since,
            words=streak.words,
            fixed=member.fixed,
            active=connections.active if connections else None,
            new=connections.new if connections else None,
            port=streak.load,
            system=machine.load if machine and machine.up and machine.share is None else None,
            share=min(wishes) if wishes else None,
        )

    def _publish(self) -> None:
        """Hand the engine what was decided; one assignment, for its thread may be reading."""
        findings = {
            (service, server): Finding(decision.up, decision.weight, decision.reason)
            for service, decided in self.decided.items()
            for server, decision in decided.servers.items()
        }
        if findings != self._engine.health:
            self._engine.health = findings
            self._changed()

    # Suspicion.

    async def _suspect(self) -> None:
        """Look for connections that nobody answers, and check their servers at once."""
        before: Reading | None = None
        while True:
            pause = _GLANCE
            if any(service.protocol is Protocol.TCP for service in self._checked()):
                now = await self._glance()
                if before is not None:
                    self._compare(before, now)
                before = now
                pause = max(pause, _GLANCE_COST * now.cost)
            await asyncio.sleep(pause)

    def _compare(self, before: Reading, now: Reading) -> None:
        for key, (packets, opened, closed) in now.growth_since(before):
            if not suspicious(opened, packets, closed):
                self._suspected.pop(key, None)
                continue
            suspicion = self._suspected.get(key, Suspicion())
            if now.at >= suspicion.due:
                self._suspected[key] = suspicion.checked(now.at)
                self._rounds.hurry(key)

    # By hand, and for `shunt status`.

    async def once(self, check: Check, address: Address, port: int, server: str) -> Once:
        """Make a check at a cluster address at one server, along the usual way.

        Raises:
            DataplaneError, NetworkError: the kernel refused.
        """
        mark = self._path.mark(server)
        along = {job.target.address for job in self._jobs.values() if job.mark} | {address}
        self._path.lead(along, self._engine.ways)
        return await once(check, check.target(address, port, server), mark)

    def document(self) -> dict[str, Any]:
        """Return what was seen and decided, by service and server."""
        return {
            "checks": self._rounds.checks,
            "services": {
                name: {
                    "alert": decided.alert,
                    "servers": {
                        server: self._row(Key(name, server), decision)
                        for server, decision in decided.servers.items()
                    },
                }
                for name, decided in self.decided.items()
            },
        }

    def _row(self, key: Key, decision: manager.Decision) -> dict[str, Any]:
        streak = self.streaks.get(key, Streak())
        connections = self._connections.get(key)
        machine = self.machines.get(key.server)
        job = self._jobs.get(key)
        return {
            "up": streak.up,
            "checked": streak.known,
            "at": _asked(job),
            "words": self._untold.get(key, streak.words),
            "load": streak.load,
            "falls": streak.falls,
            "weight": decision.weight,
            "reason": decision.reason,
            "factor": decision.factor,
            "parts": dict(decision.parts),
            "active": connections.active if connections else None,
            "new": connections.new if connections else None,
            "machine": machine.words if machine else None,
        }


def _asked(job: Job | None) -> str | None:
    return None if job is None else str(At.CLUSTER if job.mark else At.SERVER)


def _allow_descriptors() -> None:
    """Raise the limit of open files as far as it goes: each check on its way needs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
