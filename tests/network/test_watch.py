"""The watch sees on a real segment what becomes of neighbours, and survives the kernel's losses."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import NetworkError
from shunt.model.addresses import Address, Mac
from shunt.network.announce import announce
from shunt.network.neighbours import NEWNEIGH, Change, Pace, State
from shunt.network.netlink import Message, Netlink, Request
from shunt.network.watch import NeighbourWatch
from tests.network.waiting import DEADLINE, eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab

pytestmark = pytest.mark.lab

FOUR, SIX = ip_address("192.0.2.2"), ip_address("2001:db8::2")
OLD, NEW = Mac.parse("02:00:00:00:00:02"), Mac.parse("02:00:00:00:00:77")
NEVER_ASKING = Pace(interval=1e6, patience=1e6)


@dataclass
class Segment:
    dispatcher: Host
    server: Host

    def watch(
        self,
        addresses: Iterable[Address],
        body: Callable[[NeighbourWatch], Awaitable[None]],
        *,
        pace: Pace | None = None,
        buffer: int = 1 << 20,
    ) -> None:
        async def main() -> None:
            async with (
                asyncio.timeout(DEADLINE),
                NeighbourWatch(addresses, pace=pace, buffer=buffer) as watch,
            ):
                await body(watch)

        self.dispatcher.call(lambda: asyncio.run(main()))

    def move(self) -> None:
        """Give the server another MAC; it tells nobody."""
        self.server.ip("link", "set", "eth0", "address", str(NEW))


@pytest.fixture
def segment(lab: Lab) -> Segment:
    lab.segment("lan")
    dispatcher, server = lab.host("dispatcher"), lab.host("server")
    lab.join(dispatcher, "lan", addresses=["192.0.2.1/24", "2001:db8::1/64"])
    lab.join(server, "lan", addresses=["192.0.2.2/24", "2001:db8::2/64"], mac=OLD)
    return Segment(dispatcher, server)


def has(watch: NeighbourWatch, mac: Mac, *addresses: Address) -> Awaitable[None]:
    return watch.until(lambda table: all(table[each].mac == mac for each in addresses))


def test_macs_of_both_families_are_learnt(segment: Segment) -> None:
    async def body(watch: NeighbourWatch) -> None:
        await watch.settled()
        for address in (FOUR, SIX):
            found = watch.neighbours[address]
            assert (found.mac, found.interface, found.reason) == (OLD, "eth0", None)

    segment.watch([FOUR, SIX], body)


def test_a_mac_that_changed_in_silence_is_found(segment: Segment) -> None:
    async def body(watch: NeighbourWatch) -> None:
        await has(watch, OLD, FOUR, SIX)
        seen: list[Change] = []
        segment.move()
        async for changes in watch.changes():
            seen += changes
            if all(watch.neighbours[address].mac == NEW for address in (FOUR, SIX)):
                break
        assert all(change.after.mac is not None for change in seen)  # never without one

    segment.watch([FOUR, SIX], body)


def test_a_mac_that_is_announced_is_believed(segment: Segment) -> None:
    async def body(watch: NeighbourWatch) -> None:
        await has(watch, OLD, FOUR, SIX)
        segment.move()
        segment.server.call(lambda: announce("eth0", [FOUR, SIX]))
        await has(watch, NEW, FOUR, SIX)
        assert watch.counters.asked == 2  # the first questions: nothing was asked since

    segment.watch([FOUR, SIX], body, pace=NEVER_ASKING)


def test_a_silent_neighbour_has_no_mac_until_it_is_back(segment: Segment) -> None:
    async def body(watch: NeighbourWatch) -> None:
        await has(watch, OLD, FOUR)
        segment.server.ip("link", "set", "eth0", "down")
        await watch.until(lambda table: table[FOUR].mac is None)
        assert watch.neighbours[FOUR].reason == "192.0.2.2 does not answer ARP on eth0"
        segment.server.ip("link", "set", "eth0", "up")
        await has(watch, OLD, FOUR)

    segment.watch([FOUR], body, pace=Pace(retry=0.2))


def test_an_interface_that_goes_takes_the_macs_with_it(segment: Segment) -> None:
    async def body(watch: NeighbourWatch) -> None:
        await has(watch, OLD, FOUR, SIX)
        segment.dispatcher.ip("link", "del", "eth0")
        await watch.until(lambda table: all(each.hop is None for each in table.values()))
        assert watch.neighbours[FOUR].mac is None
        assert watch.neighbours[FOUR].reason == "no route to 192.0.2.2: network is unreachable"

    segment.watch([FOUR, SIX], body)


def test_beyond_a_gateway_its_mac_counts(segment: Segment) -> None:
    far, unreachable, own = map(ip_address, ("198.51.100.9", "203.0.113.1", "192.0.2.1"))
    segment.dispatcher.route("198.51.100.0/24", via=str(FOUR))

    async def body(watch: NeighbourWatch) -> None:
        await watch.settled()
        assert watch.neighbours[far].mac == OLD
        assert watch.neighbours[far].gateway == FOUR
        assert watch.neighbours[own].reason == "is this host's own address"
        assert watch.neighbours[unreachable].reason == (
            "no route to 203.0.113.1: network is unreachable"
        )

    segment.watch([far, unreachable, own], body)


def test_other_addresses_can_be_watched_later(segment: Segment) -> None:
    async def body(watch: NeighbourWatch) -> None:
        assert not watch.neighbours
        watch.watch([FOUR])
        await has(watch, OLD, FOUR)
        watch.watch([SIX])
        await has(watch, OLD, SIX)
        assert list(watch.neighbours) == [SIX]

    segment.watch([], body)


def test_an_entry_set_by_hand_is_obeyed_and_left_alone(segment: Segment) -> None:
    async def body(watch: NeighbourWatch) -> None:
        entry = ("192.0.2.2", "lladdr", str(NEW), "dev", "eth0", "nud", "permanent")
        segment.dispatcher.ip("neighbour", "replace", *entry)
        await has(watch, NEW, FOUR)
        await has(watch, OLD, SIX)
        asked = watch.counters.asked
        await eventually(lambda: watch.counters.asked >= asked + 3)  # the other one is asked again
        assert watch.neighbours[FOUR].state is State.PERMANENT

    segment.watch([FOUR, SIX], body)


def test_after_lost_announcements_the_table_is_read_again(segment: Segment) -> None:
    entry = "neighbour replace {} lladdr {} dev eth0 nud permanent\n"
    burst = [entry.format(f"192.0.2.{last}", OLD) for last in range(10, 250)] * 10
    batch = segment.dispatcher.write("burst", "".join([*burst, entry.format(FOUR, NEW)]))

    async def body(watch: NeighbourWatch) -> None:
        segment.dispatcher.ip("neighbour", "replace", *entry.format(FOUR, OLD).split()[2:])
        await has(watch, OLD, FOUR)
        assert watch.counters.overruns == 0
        readings = watch.counters.readings
        segment.dispatcher.ip("-batch", str(batch))  # while the loop stands still
        await has(watch, NEW, FOUR)
        assert watch.counters.overruns == 1
        assert watch.counters.readings == readings + 1

    segment.watch([FOUR], body, buffer=4096)


def test_a_failed_watch_tells_those_who_wait(segment: Segment) -> None:
    async def body(watch: NeighbourWatch) -> None:
        await has(watch, OLD, FOUR)
        watch._kernel.close()
        with pytest.raises(NetworkError, match="Bad file descriptor"):
            await has(watch, NEW, FOUR)

    segment.watch([FOUR], body)


def test_a_full_table_is_asked_again_later(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter(range(5))

    def full(self: Netlink, request: Request) -> tuple[Message, ...]:
        if request.kind == NEWNEIGH and next(refusals, None) is not None:
            raise NetworkError("netlink: No buffer space available", errno=errno.ENOBUFS)
        return ask(self, request)

    async def body(watch: NeighbourWatch) -> None:
        await has(watch, OLD, FOUR, SIX)
        assert watch.counters.full == 5

    ask = Netlink.ask
    monkeypatch.setattr(Netlink, "ask", full)
    segment.watch([FOUR, SIX], body)


def test_nothing_is_left_when_the_watch_ends(segment: Segment) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        with suppress(ZeroDivisionError):
            async with NeighbourWatch([FOUR]) as watch:
                await has(watch, OLD, FOUR)
                raise ZeroDivisionError
        assert asyncio.all_tasks() == before
        assert watch._listener.fileno() == -1

    segment.dispatcher.call(lambda: asyncio.run(main()))


@pytest.mark.parametrize("where", ["route_to", "Netlink.dump", "Netlink.ask", "Listener.read"])
def test_no_descriptors_are_no_news_of_a_neighbour(
    segment: Segment, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be asked now is asked later, and the table stays as it was."""

    async def body(watch: NeighbourWatch) -> None:
        await has(watch, OLD, FOUR, SIX)
        with monkeypatch.context() as broken:
            broken.setattr(f"shunt.network.watch.{where}", _no_descriptors)
            watch._read = float("-inf")  # the whole table is due to be read
            segment.move()
            segment.server.call(lambda: announce("eth0", [FOUR, SIX]))
            await eventually(lambda: watch.failing is not None)
            assert watch.neighbours[FOUR].mac is not None
        await has(watch, NEW, FOUR, SIX)
        await eventually(lambda: watch.failing is None)

    segment.watch([FOUR, SIX], body)


def _no_descriptors(*_: object) -> None:
    raise NetworkError("netlink: Too many open files", errno=errno.EMFILE)
