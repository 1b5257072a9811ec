"""Health: runs every check, lets the manager decide, and tells the engine and the operator.

Checks report verdicts; `health_findings` knows what follows from them; `manager.decide` makes
weights; the engine's `health` gets them, and the daemon is woken. All of it runs on the event loop;
only counters are read in the worker thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shunt.advisors.rounds import Rounds
from shunt.balance import manager
from shunt.balance.manager_counts import Suspicion, suspicious
from shunt.dispatcher import health_memory
from shunt.dispatcher.alive import Age
from shunt.dispatcher.events import Kind
from shunt.dispatcher.health_findings import Findings
from shunt.dispatcher.health_jobs import METRIC, Key, jobs, rules
from shunt.dispatcher.health_once import Once, aim, once
from shunt.dispatcher.health_path import HealthPath
from shunt.dispatcher.limited_log import LimitedLog
from shunt.dispatcher.serving import Serving, why_unable
from shunt.dispatcher.wishes import UNKNOWN, Health
from shunt.model.config import Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from shunt.advisors.check import Check
    from shunt.advisors.dialogue import Verdict
    from shunt.advisors.rounds import Job
    from shunt.balance.manager_streak import Streak
    from shunt.dispatcher.alive import Loops
    from shunt.dispatcher.engine import Engine
    from shunt.dispatcher.events import Events
    from shunt.dispatcher.health_counts import Reading
    from shunt.dispatcher.health_jobs import Rule
    from shunt.dispatcher.wishes import Way
    from shunt.model.addresses import Address
    from shunt.model.config import Config, Service

LATEST = 10.0  # seconds by which a check may be late before checking has ended
_GATHER = 0.01  # seconds in which turns are gathered, for a whole rack may fail at once
_AT_ONCE = 100  # services that are documented before others have their turn
_PERIOD, _BURST = 10.0, 30  # lines of a kind about a server: 30, then one each ten seconds
_GLANCE = 0.05  # seconds between looks for unanswered connections
_GLANCE_COST = 20  # a look may take one part in so many of a processor


class HealthWatch:
    """The checks of one dispatcher, and what comes of them.

    Attributes:
        findings: what is known of each server.
        decided: by the manager, by service.
        managed: the services that it decides about; the others have the weights of the file.
    """

    def __init__(
        self,
        engine: Engine,
        events: Events,
        changed: Callable[[], None],
        glance: Callable[[], Awaitable[Reading]],
        memory: Path,
        loops: Loops,
    ) -> None:
        """Watch nothing yet; what the last daemon found holds until it is found otherwise.

        Args:
            engine: gets what is decided.
            events: gets ups, downs, alerts and clears.
            changed: called when the engine got something new.
            glance: reads the counters of the services that are managed.
            memory: the file that says what was found.
            loops: keeps the watch's own loops turning.
        """
        self._engine = engine
        self._changed = changed
        self._glance = glance
        self._events = events
        self.findings = Findings()
        self.decided: dict[str, manager.Decided] = {}
        self.managed: frozenset[str] = frozenset()
        self._path = HealthPath()
        self._rounds: Rounds[Key] = Rounds(self._report)
        self._jobs: dict[Key, Job] = {}
        self._rules: dict[str, Rule] = {}
        self._astray: dict[Key, str] = {}  # the jobs that cannot be made now, and why
        self._suspected: dict[Key, Suspicion] = {}
        self._warned: dict[Key, str] = {}
        self._alerted: set[str] = set()
        self._ways: dict[str, Way] = {}
        self._overrides = engine.overrides
        self._turns: set[str] = set()
        self._loops = loops
        self._measurements = 0
        self._before: Reading | None = None
        self._memory = memory
        self._serving = Serving(self._tell)
        self._log = LimitedLog(_PERIOD, _BURST)  # what a server says, it may say anew each time
        self._recall()

    def _recall(self) -> None:
        found = health_memory.recall(self._memory, self._now(), health_memory.boot_id())
        self.findings.streaks.update(found.streaks)
        self._alerted.update(found.alerts)
        self.findings.forget_all_but(self._engine.config)
        self._serving.recall(key for key, each in self.findings.streaks.items() if not each.up)
        self._decide_all()

    def _keep(self) -> None:
        now, slow_start = self._now(), self._engine.config.manager.slow_start
        streaks = health_memory.worth_keeping(self.findings.streaks, now, slow_start)
        memory = health_memory.Memory(streaks, frozenset(self._alerted))
        health_memory.keep(self._memory, memory, health_memory.boot_id())

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Check until cancelled."""
        _allow_descriptors()
        self.take()
        try:
            turns = self._loops.turns
            async with asyncio.TaskGroup() as tasks:
                for loop in (
                    self._path.keep(),
                    turns("weights", self._manage, limit=None),
                    turns("suspicion", self._suspect, limit=None),
                ):
                    tasks.create_task(loop)
        finally:
            await self._rounds.close()
            self._path.close()

    def follow(self) -> None:
        """Follow the servers' MACs and the operator's changes, if there are any."""
        if self._ways != self._engine.ways:
            self.take()
        elif self._overrides is not self._engine.overrides:
            self._decide_all()

    def take(self) -> None:
        """Take the configuration and the servers' MACs as they are now."""
        config = self._engine.config
        ways = self._ways = dict(self._engine.ways)
        self._jobs = jobs(config, ways, self._path.mark)
        self._rules = rules(config)
        along = {key: job.target for key, job in self._jobs.items() if job.mark}
        led = {target.server: ways[target.server] for target in along.values()}
        missing = self._path.lead({t.address: None for t in along.values()}, led, self.take)
        unchecked = self.findings.forget_all_but(config)
        for table in (self._suspected, self._warned):
            for key in table.keys() - self._jobs.keys():
                del table[key]
        self._astray = {key: missing[t.address] for key, t in along.items() if t.address in missing}
        self._rounds.take({key: job for key, job in self._jobs.items() if key not in self._astray})
        for key, reason in self._astray.items():
            self._say_untold(key, f"not checked: {reason}")
        self._judge_all(unchecked)
        self._decide_all()

    def _judge_all(self, unchecked: Mapping[Key, Streak]) -> None:
        """Tell of servers that cannot take traffic, or can again; some are not checked any more."""
        keys = [Key(s.name, m.server) for s in self._engine.config.services for m in s.members]
        self._serving.keep_to(keys)
        for key in keys:
            before = unchecked.get(key)
            able = f"not checked any more (last: {before.words})" if before else None
            self._judge(key, able)

    def _judge(self, key: Key, able: str | None = None) -> None:
        streak = self.findings.streak(key)
        why = why_unable(streak, self._ways.get(key.server, UNKNOWN))
        words = streak.words if streak.known else "its MAC address is known"
        self._serving.judge(key, why, able or words)

    # Verdicts.

    def _report(self, key: Key, verdict: Verdict) -> None:
        job = self._jobs.get(key)
        if job is not None and job.mark:
            self._path.hear()
        if job is None or key in self._astray:
            return
        if key.service == METRIC:
            self._measured(key.server, verdict)
            return
        if verdict.up is None:
            self._say_untold(key, verdict.words)
            return
        rule = self._rules.get(key.service)
        before, streak = self.findings.checked(key, verdict, job.check, self._now(), rule)
        self._say_warning(key, verdict.warning)
        if streak.up != before.up:
            self._judge(key.whole)
        if (streak.up, streak.share, streak.earning) != (before.up, before.share, before.earning):
            self._decide_soon({key.service})

    def _measured(self, server: str, verdict: Verdict) -> None:
        before, now = self.findings.measured(server, verdict)
        if verdict.up is not True and (before is None or before.words != verdict.words):
            self._log.warning("metric", server, server=server, reason=verdict.words)
        self._say_warning(Key(METRIC, server), verdict.warning)
        if now.share != (before.share if before else None):
            services = self._engine.config.services
            self._decide_soon({s.name for s in services for m in s.members if m.server == server})

    def _tell(self, key: Key, up: bool, words: str) -> None:  # noqa: FBT001 - as `Serving` calls it
        service = self._service_of(key)
        if service is not None:  # else a reload is on its way
            own = str(self._engine.config.servers[key.server].addresses[0])
            kind = Kind.SERVER_UP if up else Kind.SERVER_DOWN
            self._events.happened(kind, service, key.server, own, words)

    def _say_untold(self, key: Key, words: str) -> None:
        if self.findings.untold.get(key) != words:
            self.findings.untold[key] = words
            self._log.warning("check not made", f"{key}", service=key.service, server=key.server,
                              reason=words)  # fmt: skip

    def _say_warning(self, key: Key, warning: str | None) -> None:
        if warning is None:
            self._warned.pop(key, None)
        elif self._warned.get(key) != warning:
            self._warned[key] = warning
            if key.service == METRIC:
                self._log.warning("metric", f"{key}", server=key.server, warning=warning)
            else:
                self._log.warning("check", f"{key}", service=key.service, server=key.server,
                                  warning=warning)  # fmt: skip

    def _service_of(self, key: Key) -> Service | None:
        """Return the service of a key, if the configuration still has both."""
        services = (s for s in self._engine.config.services if s.name == key.service)
        found = next(services, None)
        there = found is not None and any(m.server == key.server for m in found.members)
        return found if there else None

    # Weights.

    async def _manage(self) -> float:
        """Decide by new measurements; the first time, there are none yet."""
        settings = self._engine.config.manager
        if self._measurements:
            if settings.dynamic and (self._measurements - 1) % settings.refresh == 0:
                self.findings.counted(await self._glance(), self._managed())
            self._decide_all(measured=True)
        self._measurements += 1
        return settings.interval

    def _managed(self) -> Iterator[Service]:
        return (s for s in self._engine.config.services if s.name in self.managed)

    def _decide_soon(self, services: set[str]) -> None:
        """Decide anew about services as soon as no more turns come."""
        if not self._turns:
            asyncio.get_running_loop().call_later(_GATHER, self._settle)
        self._turns |= services

    def _settle(self) -> None:
        turns, self._turns = self._turns, set()
        for service in self._managed():
            if service.name in turns:
                self._decide(service, measured=False)
        self._publish()
        self._keep()

    def _decide_all(self, *, measured: bool = False) -> None:
        config = self._engine.config
        self._overrides = self._engine.overrides
        self.managed = managed(config)
        for name in self.decided.keys() - self.managed:
            del self.decided[name]
        self._alerted &= {service.name for service in config.services}
        for service in self._managed():
            self._decide(service, measured=measured)
        self._publish()

    def _decide(self, service: Service, *, measured: bool) -> None:
        engine, name = self._engine, service.name
        before = self.decided.get(name, manager.NOTHING)
        seen = [
            self.findings.seen(service, m, engine.overrides.get(name, m.server), engine.ways)
            for m in service.members
        ]
        decided = manager.decide(
            seen, engine.config.manager, before, self._now(), measured=measured
        )
        self.decided[name] = decided
        for server in decided.kept - before.kept:
            self._log.warning("kept though failing", f"{name} {server}", service=name,
                              server=server, reason=decided.servers[server].reason)  # fmt: skip
        if decided.alert and name not in self._alerted:
            self._alerted.add(name)
            self._events.happened(Kind.MANAGER_ALERT, service, reason=decided.alert)
            self._keep()
        elif not decided.alert and name in self._alerted:
            self._alerted.remove(name)
            self._events.happened(Kind.MANAGER_CLEAR, service)
            self._keep()

    def _publish(self) -> None:
        """Hand the engine what was decided; one assignment, for its thread may be reading."""
        found = {
            (service, server): Health(decision.up, decision.weight, decision.reason)
            for service, decided in self.decided.items()
            for server, decision in decided.servers.items()
        }
        if found != self._engine.health:
            self._engine.health = found
            self._changed()

    # Suspicion.

    async def _suspect(self) -> float:
        """Look for connections that nobody answers, and check their servers at once."""
        services = self._engine.config.services
        if not any(s.advisors and s.protocol is Protocol.TCP for s in services):
            return _GLANCE
        now = await self._glance()
        if self._before is not None:
            self._compare(self._before, now)
        self._before = now
        return max(_GLANCE, _GLANCE_COST * now.cost)

    def _compare(self, before: Reading, now: Reading) -> None:
        for key, (packets, opened, closed) in now.growth_since(before):
            if not suspicious(opened, packets, closed):
                self._suspected.pop(key, None)
                continue
            suspicion = self._suspected.get(key, Suspicion())
            if now.at >= suspicion.due:
                self._suspected[key] = suspicion.checked(now.at)
                self.hurry(key)

    def hurry(self, key: Key) -> None:
        """Make all checks of a server of a service at once, if it is checked at all."""
        rule = self._rules.get(key.service)
        for number in range(len(rule.labels) if rule else 1):
            self._rounds.hurry(replace(key, number=number))

    # By hand, and for `shunt status`.

    async def once(self, check: Check, address: Address, port: int, server: str) -> Once:
        """Make a check at a server, along the usual way if it asks a cluster address.

        Raises:
            UsageError: the server or the address is not in the configuration.
            NetworkError: the server's MAC is not known, or there is no way to the address.
        """
        aimed = aim(self._engine.config, check, address, port, server)
        way = self._engine.ways.get(server, UNKNOWN)
        return await once(check, aimed, self._path, way)

    def age(self, now: float) -> Age:
        """Return how long ago a check ended, and by how much the most overdue one is late."""
        last = self._rounds.last
        return Age(None if last is None else now - last, LATEST, late=self._rounds.late(now))

    async def document(self) -> dict[str, Any]:
        """Return what was seen and decided, by service and server.

        Of many services it takes a while, and checks go on between them.
        """
        services = {}
        for number, (name, decided) in enumerate(tuple(self.decided.items())):
            services[name] = {
                "alert": decided.alert,
                "servers": {
                    server: self.findings.row(
                        key, decision, self._jobs.get(key), self._rules.get(name)
                    )
                    for server, decision in decided.servers.items()
                    for key in (Key(name, server),)
                },
            }
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
        return {
            "checks": self._rounds.checks,
            "latest": self._rounds.latest,
            "services": services,
        }


def managed(config: Config) -> frozenset[str]:
    """Return the services about which there is something to decide; others have fixed weights.

    There is for those that are checked, those whose servers have a metric, and, where weights
    follow measurements, for all of them.
    """
    metrics = {name for name, server in config.servers.items() if server.metric}
    return frozenset(
        service.name
        for service in config.services
        if service.advisors
        or config.manager.dynamic
        or (metrics and any(member.server in metrics for member in service.members))
    )


def _allow_descriptors() -> None:
    """Raise the limit of open files as far as it goes: each check on its way needs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
