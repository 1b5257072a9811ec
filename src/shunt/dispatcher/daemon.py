"""The daemon: listens to neighbours, signals and the control socket, and keeps the engine right.

Ending it, by whatever signal, leaves traffic flowing: the program and its maps stay in the kernel,
and the next start takes them over. Only `shunt down` takes them away.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from shunt.dataplane.features import require
from shunt.dataplane.memory import give_back
from shunt.dataplane.pins import PinDirectory
from shunt.dispatcher import overrides, snapshot
from shunt.dispatcher.alive import Age, Loops
from shunt.dispatcher.checks import Demands
from shunt.dispatcher.commands import Commands
from shunt.dispatcher.control_server import ControlServer
from shunt.dispatcher.deadline import Deadline
from shunt.dispatcher.engine import Engine
from shunt.dispatcher.events import Events, Kind
from shunt.dispatcher.following import Following
from shunt.dispatcher.guarding import Guardian
from shunt.dispatcher.health import HealthWatch
from shunt.dispatcher.health_counts import Counts, Reading
from shunt.dispatcher.hooks import Hooks
from shunt.dispatcher.interfaces import InterfaceMonitor
from shunt.dispatcher.limited_log import LimitedLog, Unforeseen
from shunt.dispatcher.neighbour_news import NeighbourNews
from shunt.dispatcher.notify import feed, notify
from shunt.dispatcher.ownership import locked, remove_places
from shunt.dispatcher.quiescing import Quiescing
from shunt.dispatcher.reloading import FIRST_ANSWERS, Reloading
from shunt.dispatcher.sent_back import SentBackWatch, read_loops
from shunt.dispatcher.sweep import sweep
from shunt.errors import DataplaneError, ShuntError, passes
from shunt.network.announce import Announcer, Schedule
from shunt.network.watch import NeighbourWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from shunt.config import Located
    from shunt.dispatcher.health_jobs import Key
    from shunt.dispatcher.places import Places
    from shunt.model.addresses import Address
    from shunt.network.links import Link

Result = TypeVar("Result")

_GATHER = 0.02  # seconds in which changes are gathered into one
_LIMIT, _SWEEP_LIMIT = 15.0, 60.0  # seconds after which a loop is not alive; big tables take some
_SWEEP = 5.0
_MOVES = 500  # lines that tell of moved slots; then one a second
_SAMPLE = 1.0
_MINUTE = 60.0
_LAST_SCRIPTS = 5.0  # seconds for scripts when all ends: less than `shunt down` waits

log = structlog.get_logger()


class Daemon:
    """One dispatcher.

    Attributes:
        engine: what decides and writes; use it through `work` only.
        swept: what the last sweep found, and when.
        samples: the last two readings of all counters, older first.
        interfaces: looks at the dispatcher's interfaces.
        sent_back: knows which servers send requests back.
        health: what the checks found.
        events: what happened.
        reloading: puts the file in force again.
    """

    engine: Engine
    health: HealthWatch
    events: Events

    def __init__(self, file: Path, places: Places, *, replace: bool = False) -> None:
        self.file = file
        self.places = places
        self.swept: snapshot.Swept | None = None
        self.samples: list[snapshot.Sample] = []
        self._moves = LimitedLog(1.0, _MOVES)
        self.interfaces = InterfaceMonitor()
        self._replace = replace
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="balancer")
        self._deadline = Deadline()
        self._interrupted = threading.Event()
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self.reloading = Reloading(self)
        self._attending: list[asyncio.Task[None]] = []
        self._remove = False
        self._full = 0
        self._moved: deque[int] = deque(maxlen=round(_MINUTE / _SAMPLE) + 1)

    @property
    def moved_lately(self) -> int:
        """Return how many slots have changed hands within a minute, or since the start."""
        return self.engine.balancer.moved - (self._moved[0] if self._moved else 0)

    async def work(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run a function in the worker thread, the only one that writes to the kernel."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, function, *arguments)

    async def run(self) -> None:
        """Run until told to stop.

        Raises:
            ConfigError, HostError, DataplaneError: it could not start; nothing was changed.
        """
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._interrupt, task)
        self._deadline.watch(signal.SIGTERM)
        try:
            await self._run_alone()
        except asyncio.CancelledError:
            if not self._stop.is_set():
                raise

    def _interrupt(self, task: asyncio.Task[None]) -> None:
        """Told to end before the loops run: what was begun is taken away."""
        self._interrupted.set()
        self._stop.set()
        task.cancel()

    async def _run_alone(self) -> None:
        require()
        is_left = bool(PinDirectory(self.places.pins).names())
        located, interfaces = self.reloading.checked(
            Demands.TAKE_OVER if is_left else Demands.START
        )
        with locked(self.places):
            await self._run(located, interfaces)
            if self._remove:
                await self.work(self.engine.plane.remove)
                self.events.dispatching(Kind.GO_IN_OP, self.addresses())
            await self.events.hooks.finish(_LAST_SCRIPTS)
            if self._remove:
                await self.work(remove_places, self.places)
        self._worker.shutdown()
        self._deadline.met()

    async def _run(self, located: Located, interfaces: tuple[Link, ...]) -> None:
        kept = overrides.read(self.places.overrides)
        changes = kept.for_config(located.config)
        if changes != kept:
            overrides.write(self.places.overrides, changes)
        self.engine = await self.work(Engine.open, located.config, self.places, changes)
        self.engine.balancer.interrupted = self._interrupted
        self._counts = Counts(self.engine.balancer)
        self.loops = Loops(asyncio.get_running_loop().time)
        self.events = Events(Hooks(Path(located.config.dispatcher.hooks)))
        self.neighbour_news = NeighbourNews(self.events)
        self.guardian = Guardian(lambda: self.announcer.take(self.addresses()), self.events.claimed)
        try:
            await self._serve(interfaces)
        except BaseException:
            if self.engine.fresh and not self.samples:
                await self.work(self._take_away)
            raise

    async def _serve(self, interfaces: tuple[Link, ...]) -> None:
        async with NeighbourWatch(self.engine.watched()) as watch:
            self.watch = watch
            self.health = HealthWatch(
                self.engine, self.events, self._changed.set, self._counters, self.places.health,
                self.loops,
            )  # fmt: skip
            self.sent_back = SentBackWatch(self._tell_loop, self.health.hurry)
            if self.engine.fresh:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FIRST_ANSWERS):
                        await watch.settled()
                # Tables take their time to make: each service begins as soon as it has its own.
                await self._enter(interfaces)
            await self.apply()
            if not self.engine.fresh:
                await self._enter(interfaces)
            group = self.engine.config.dispatcher.group
            server = ControlServer(self.places.socket, group, Commands(self).handlers())
            try:
                await self._run_loops()
            finally:
                await server.close()
                for socket in (self.places.socket, self.places.root_socket):
                    socket.unlink(missing_ok=True)

    async def _run_loops(self) -> None:
        """Run every loop until told to stop; a loop that fails ends them all.

        Raises:
            ShuntError: why a loop failed.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(Unforeseen())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._deadline.watch(signal.SIGTERM, signal.SIGINT)
        try:
            async with asyncio.TaskGroup() as tasks:
                loop.add_signal_handler(
                    signal.SIGHUP, lambda: tasks.create_task(self.reloading.reload_quietly())
                )
                self._tasks = tasks
                running = [tasks.create_task(each) for each in self._loops_to_run()]
                self.attend()
                self._say_ready()
                await self._stop.wait()
                self._interrupted.set()
                notify("STOPPING=1")
                for task in (*running, *self._attending):
                    task.cancel()
        except* ShuntError as failures:
            raise _first(failures) from None

    def _loops_to_run(self) -> tuple[Coroutine[None, None, None], ...]:
        turns, quiescing = self.loops.turns, Quiescing(self.events)
        self.following = Following(self)
        return (
            self._follow(),
            turns("tables", self._gather, limit=None, passes=_passes),
            turns("sweep", lambda: self._sweep(quiescing), limit=_SWEEP_LIMIT),
            turns("counters", self._sample, limit=_LIMIT),
            turns("interfaces", self.following.adapt, limit=_LIMIT),
            self.health.run(),
            feed(self.ages),
        )

    def ages(self) -> Mapping[str, Age]:
        """Return how long ago each loop did its work."""
        now, watch = asyncio.get_running_loop().time(), self.watch
        failing = watch.failing.message if watch.failing else None
        return {
            "checks": self.health.age(now),
            "neighbours": Age(now - watch.turned, _LIMIT, failing),
            **self.loops.ages(),
        }

    def attend(self) -> None:
        """Announce and guard the cluster addresses on the interfaces that they are at now."""
        settings = self.engine.config.dispatcher
        guards = [self.guardian.guard(name, self.addresses) for name in settings.interfaces]
        for task in self._attending:
            task.cancel()
        self.announcer = Announcer(settings.interfaces, Schedule(every=settings.announce))
        self.announcer.take(self.addresses())
        self._attending = [self._tasks.create_task(e) for e in (self.announcer.run(), *guards)]

    def addresses(self) -> tuple[Address, ...]:
        """Return the cluster addresses."""
        return self.engine.config.cluster_addresses

    async def _enter(self, interfaces: tuple[Link, ...]) -> None:
        """Answer for the cluster addresses on these interfaces from now on."""
        settings = self.engine.config.dispatcher
        await self.work(self.engine.write_addresses)
        await self.work(lambda: self.engine.attach(interfaces, settings, replace=self._replace))

    def _say_ready(self) -> None:
        modes = {name: str(found.mode) for name, found in self.engine.plane.links.items()}
        log.info(
            "ready",
            services=len(self.engine.config.services),
            servers=len(self.engine.config.servers),
            interfaces=modes,
            took_over=not self.engine.fresh,
        )
        for name, found in self.engine.plane.links.items():
            if found.native_refused:
                log.warning("generic mode", interface=name, native=found.native_refused)
        if self.engine.fresh:
            self.events.dispatching(Kind.GO_IDLE, self.addresses())
        notify("READY=1")

    # Loops.

    async def _follow(self) -> None:
        async for changes in self.watch.changes():
            self.neighbour_news.take(changes, self.engine.config)
            self._changed.set()

    async def _gather(self) -> float:
        await self._changed.wait()
        await asyncio.sleep(_GATHER)
        self._changed.clear()
        try:
            await self.apply()
        except BaseException:
            self.wake()  # it is not in force yet
            raise
        self.health.follow()
        return 0.0

    def wake(self) -> None:
        """Bring the kernel up to date soon."""
        self._changed.set()

    async def apply(self) -> int:
        """Bring the kernel up to date; return how many slots changed hands."""
        moved = await self.work(self.engine.apply, self.engine.inputs(self.watch.neighbours))
        if moved:
            self._moves.info("slots changed hands", slots=moved)
        return moved

    async def _counters(self) -> Reading:
        now = asyncio.get_running_loop().time()
        return await self.work(self._counts.read, now, self.health.managed)

    async def _sweep(self, quiescing: Quiescing) -> float:
        swept = await self.work(self._swept)
        self.swept = swept
        quiescing.take(swept.report, self.engine.config, self.engine.overrides)
        if swept.report.left:
            self.watch.watch(self.engine.watched())
        return _SWEEP

    def _swept(self) -> snapshot.Swept:
        balancer = self.engine.balancer
        swept = snapshot.Swept(sweep(balancer), balancer.moved)
        give_back()
        return swept

    async def _sample(self) -> float:
        now = asyncio.get_running_loop().time()
        taken = await self.work(snapshot.sample, self.engine.balancer, now)
        self.samples = [*self.samples[-1:], taken]
        self._moved.append(self.engine.balancer.moved)
        self.sent_back.take(await self.work(read_loops, self.engine.balancer), now)
        self._say_if_full()
        return _SAMPLE

    def _tell_loop(self, key: Key, reason: str) -> None:
        config = self.engine.config
        service = next((s for s in config.services if s.name == key.service), None)
        server = config.servers.get(key.server)
        if service is not None and server is not None:
            own = str(server.addresses[0])
            self.events.happened(Kind.REQUEST_LOOP, service, key.server, own, reason)

    def _say_if_full(self) -> None:
        before, self._full = self._full, self.watch.counters.full
        if self._full > before:
            log.warning(
                "the kernel's neighbour table is full, so some servers' MACs cannot be learned",
                raise_these=[
                    f"net.{family}.neigh.default.gc_thresh3" for family in ("ipv4", "ipv6")
                ],
            )

    # Changes.

    async def change(self, changed: overrides.Overrides) -> int:
        """Put run-time changes in force, on disk first; return how many slots changed hands.

        For who holds `reloading.lock`: two changes at once would lose one of them.
        """
        await self.work(overrides.write, self.places.overrides, changed)
        self.engine.overrides = changed
        self.health.follow()
        return await self.apply()

    def end(self, *, remove: bool) -> None:
        """Stop; with `remove`, take the data plane away as well."""
        self._deadline.begin()
        self._remove = remove
        self._stop.set()

    def _take_away(self) -> None:
        self.engine.plane.remove()
        remove_places(self.places)


def _passes(error: BaseException) -> bool:
    """Return whether writing the tables is worth another try: whatever the kernel refused is."""
    return isinstance(error, DataplaneError) or passes(error)


def _first(failures: BaseExceptionGroup[ShuntError]) -> ShuntError:
    found: BaseException = failures
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, ShuntError)
    return found
