"""The watch over neighbours: the kernel's table followed as it changes, and kept fresh."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Self

from shunt.errors import NetworkError, passes
from shunt.network import neighbours
from shunt.network.neighbours import Action, Change, Hop, Neighbour, Pace, State, Table, Verb
from shunt.network.netlink import Listener, Message, Netlink, Request, attribute
from shunt.network.routes import Route, route_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from shunt.model.addresses import Address

_GROUP_NEIGHBOUR = 3
_CREATE, _REPLACE = 0x400, 0x100
_USE = 0x01

TICK = 0.1  # seconds between looks at what is due
_REROUTE = 1.0  # seconds between looks for another way to addresses without a MAC
_REREAD = 60.0  # seconds between readings of the whole table: heals what nobody foresaw

# The entry went away, or is another by now: its announcement is on the way to us.
_OVERTAKEN = {errno.ENOENT, errno.EINVAL, errno.EEXIST}
# The interface went away or down; the look for another way finds the words for it.
_NO_WAY = {errno.ENODEV, errno.ENETDOWN, errno.ENXIO, errno.ENETUNREACH}


@dataclass(slots=True)
class Counters:
    """What the watch has done since it began."""

    events: int = 0  # announcements of watched addresses
    overruns: int = 0  # times that the kernel dropped announcements, each followed by a reading
    readings: int = 0  # readings of the whole table
    asked: int = 0  # questions that the kernel was told to put
    full: int = 0  # questions for which the kernel's table had no room (gc_thresh3 of sysctl)


class NeighbourWatch:
    """Follows the MACs of a set of addresses, in the network namespace where it is entered.

        async with NeighbourWatch(servers) as watch:
            async with asyncio.timeout(1.0):
                await watch.settled()
            async for changes in watch.changes():
                ...

    The table is in `neighbours` at any time. A MAC that the kernel learns is there within
    milliseconds, one that changed in silence within a second (`Pace`). What the kernel refuses for
    want of memory or descriptors is asked again, and the table stays as it was meanwhile.

    Attributes:
        turned: when the kernel was last asked with success, by the event loop's clock.
        failing: why it was not the last time; None: it was.
    """

    def __init__(
        self, addresses: Iterable[Address] = (), *, pace: Pace | None = None, buffer: int = 1 << 20
    ) -> None:
        self.counters = Counters()
        self._wished = frozenset(addresses)
        self._pace = pace or Pace()
        self._buffer = buffer
        self._table = neighbours.EMPTY
        self._pending: list[Change] = []
        self._news = asyncio.Event()
        self._failed: NetworkError | None = None
        self.turned = 0.0
        self.failing: NetworkError | None = None
        self._rerouted = 0.0
        self._read = 0.0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self.turned = self._loop.time()
        with contextlib.ExitStack() as stack:
            self._kernel = stack.enter_context(Netlink())
            self._listener = Listener([_GROUP_NEIGHBOUR], buffer=self._buffer)
            stack.callback(self._listener.close)
            self.watch(self._wished)
            self._loop.add_reader(self._listener.fileno(), self._hear)
            stack.callback(self._loop.remove_reader, self._listener.fileno())
            self._close = stack.pop_all().close
        self._task = asyncio.create_task(self._keep_fresh(), name="neighbours")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        try:
            await asyncio.wait([self._task])  # its own cancellation is not ours
        finally:
            self._close()

    @property
    def neighbours(self) -> Mapping[Address, Neighbour]:
        """Return what is known of every watched address."""
        return self._table.neighbours

    def watch(self, addresses: Iterable[Address]) -> None:
        """Watch these addresses, and no longer those that are not among them.

        Raises:
            NetworkError: the kernel did not tell its table.
        """
        wished = frozenset(addresses)
        known = self._table.neighbours.keys()
        self._table = neighbours.without(self._table, known - wished)
        self._reroute(sorted(wished - known, key=str))
        self._reread()
        self._act()

    async def settled(self) -> None:
        """Wait until every address has a MAC or is known to have none.

        A dead address takes the kernel about three seconds: set a timeout.

        Raises:
            NetworkError: the watch failed.
        """
        await self.until(lambda table: all(map(_is_settled, table.values())))

    async def until(self, condition: Callable[[Mapping[Address, Neighbour]], bool]) -> None:
        """Wait until the table fulfils a condition.

        Raises:
            NetworkError: the watch failed.
        """
        while not condition(self.neighbours):
            await self._wait()

    async def changes(self) -> AsyncIterator[tuple[Change, ...]]:
        """Yield what changed since the last time, oldest first; for one reader.

        Raises:
            NetworkError: the watch failed.
        """
        while True:
            while not self._pending:
                await self._wait()
            changes, self._pending = tuple(self._pending), []
            yield changes

    async def _wait(self) -> None:
        if self._failed is not None:
            raise self._failed
        await self._news.wait()
        if self._failed is not None:
            raise self._failed

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            with self._guarded():
                now = self._loop.time()
                if now - self._read >= _REREAD:
                    self._reroute(self.neighbours)
                    self._reread()
                elif now - self._rerouted >= _REROUTE:
                    hops = self._table.hops.keys()
                    self._reroute(neighbours.doubtful(self._table))
                    if self._table.hops.keys() != hops:
                        self._reread()
                self._act()
                self.turned, self.failing = now, None

    def _hear(self) -> None:
        with self._guarded():
            messages, lost = self._listener.read()
            if lost:
                self.counters.overruns += 1
                self._reread()
            for message in messages:
                self._merge(message)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Hand a failure to those who wait; nobody else is there to see it.

        One that passes is none: the whole table is read again at the next look.
        """
        try:
            yield
        except NetworkError as error:
            if passes(error):
                self.failing = error
                self._read = float("-inf")
                return
            self._failed = error
            self._loop.remove_reader(self._listener.fileno())
            self._task.cancel()
            self._wake()

    def _merge(self, message: Message) -> None:
        entry = neighbours.entry_of(message)
        if entry is None or entry.hop not in self._table.hops:
            return
        self.counters.events += 1
        self._took(neighbours.merge(self._table, entry, self._loop.time()))

    def _reread(self) -> None:
        self._read = self._loop.time()
        self.counters.readings += 1
        told = self._kernel.dump(neighbours.GETNEIGH, neighbours.HEADER.pack(0, 0, 0, 0, 0))
        entries = [entry for entry in map(neighbours.entry_of, told) if entry is not None]
        self._took(neighbours.reread(self._table, entries, self._loop.time()))

    def _reroute(self, addresses: Iterable[Address]) -> None:
        self._rerouted = self._loop.time()
        routes = {address: _route_or_reason(address) for address in addresses}
        self._took(neighbours.routed(self._table, routes, self._loop.time()))

    def _act(self) -> None:
        for action in neighbours.plan(self._table, self._loop.time(), self._pace):
            self.counters.asked += 1
            try:
                for request in requests(action):
                    self._kernel.ask(request)
            except NetworkError as error:
                if error.errno == errno.ENOBUFS:
                    self.counters.full += 1
                    return  # the next look asks again, once the kernel has cleared its table
                if error.errno not in _OVERTAKEN | _NO_WAY:
                    raise
            else:
                self._took(neighbours.told(self._table, action, self._loop.time()))

    def _took(self, result: tuple[Table, tuple[Change, ...]]) -> None:
        self._table, changes = result
        self._pending += changes
        self._wake()

    def _wake(self) -> None:
        waking, self._news = self._news, asyncio.Event()
        waking.set()


def _is_settled(neighbour: Neighbour) -> bool:
    return (
        neighbour.mac is not None
        or neighbour.hop is None
        or neighbour.state in {State.FAILED, State.NOARP}
    )


def requests(action: Action) -> tuple[Request, ...]:
    """Return the netlink requests that tell the kernel to do an action.

    `NTF_USE` asks as a waiting packet would; a change to PROBE asks the known MAC at once; a change
    to NONE forgets it without calling it failed.
    """
    match action.verb:
        case Verb.ASK:
            return (_request(action.hop, State.NONE, _USE, _CREATE | _REPLACE),)
        case Verb.PROBE:
            return (_request(action.hop, State.PROBE, 0, _REPLACE),)
        case Verb.RESTART:
            return (
                _request(action.hop, State.NONE, 0, _REPLACE),
                _request(action.hop, State.NONE, _USE, _CREATE | _REPLACE),
            )


def _request(hop: Hop, state: State, entry_flags: int, flags: int) -> Request:
    family = socket.AF_INET if isinstance(hop.address, IPv4Address) else socket.AF_INET6
    header = neighbours.HEADER.pack(family, hop.link, state.number, entry_flags, 0)
    destination = attribute(neighbours.DESTINATION, hop.address.packed)
    return Request(neighbours.NEWNEIGH, header + destination, flags)


def _route_or_reason(address: Address) -> Route | str:
    """Return the way to an address, or why there is none.

    Raises:
        NetworkError: that could not be told. It says nothing about the way.
    """
    try:
        return route_to(address)
    except NetworkError as error:
        if passes(error) and error.errno not in _NO_WAY:
            raise
        return error.message
