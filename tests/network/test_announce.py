"""Announcements come in time, in every form, and set neighbours right."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.errors import HostError
from shunt.model.addresses import Mac
from shunt.network.announce import Announcer, Schedule, announce, announcements
from shunt.network.frames import Advertisement, Arp, Frame, Malformed, parse
from shunt.network.packets import PacketSocket
from tests.network.waiting import eventually

if TYPE_CHECKING:
    from shunt.lab.lab import Lab

FOUR, SIX = IPv4Address("192.0.2.100"), IPv6Address("2001:db8::100")
MAC = Mac.parse("02:00:00:00:00:01")
NOW = Schedule(every=0.05, repeats=2, gap=0.05)


def said(frame: Frame | Malformed) -> object:
    assert isinstance(frame, Frame), frame
    return frame.network if isinstance(frame.network, Arp) else frame.message


@settings(deadline=None, max_examples=50)
@given(st.floats(1, 600), st.integers(1, 5), st.lists(st.floats(0, 1), min_size=9, max_size=9))
def test_pauses(every: float, repeats: int, chances: list[float]) -> None:
    chance = iter(chances)
    pauses = list(islice(Schedule(every, repeats, 1.0).pauses(lambda: next(chance)), repeats + 5))
    assert pauses[:repeats] == [0.0] + [1.0] * (repeats - 1)
    for pause in pauses[repeats:]:
        assert every * 0.9 <= pause * 1.000001
        assert pause <= every * 1.100001


def test_late_announcements_vary() -> None:
    chance = iter([0.0, 0.25, 1.0])
    pauses = list(islice(Schedule(60, repeats=1).pauses(lambda: next(chance)), 4))
    assert pauses == pytest.approx([0, 54, 57, 66])
    assert all(one < other for one, other in pairwise(pauses))


def test_every_form_is_sent() -> None:
    request, reply, advertisement = (
        said(parse(frame)) for frame in announcements(MAC, [FOUR, SIX])
    )
    assert isinstance(request, Arp)
    assert isinstance(reply, Arp)
    assert (request.operation, reply.operation) == (1, 2)
    assert {request.claims, reply.claims} == {FOUR}
    assert isinstance(advertisement, Advertisement)
    assert (advertisement.target, advertisement.mac) == (SIX, MAC)
    assert advertisement.override
    assert not advertisement.solicited


async def test_one_who_is_cancelled_while_addresses_are_taken_ends() -> None:
    """The cancellation meets a wait that is over, and must not be lost."""
    for turns in range(4):
        announcer = Announcer([], Schedule(every=3600))
        announcer.take([FOUR])
        running = asyncio.create_task(announcer.run())
        for _ in range(10 + turns):
            await asyncio.sleep(0)
        assert announcer.rounds
        announcer.take([SIX])
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=20)
        assert done, turns
        assert running.cancelled()


@pytest.mark.lab
def test_announcements_are_on_the_wire_and_neighbours_believe_them(lab: Lab) -> None:
    lab.segment("lan")
    dispatcher, client = lab.host("dispatcher"), lab.host("client")
    lab.join(dispatcher, "lan", mac=MAC)
    lab.join(client, "lan", addresses=["192.0.2.9/24", "2001:db8::9/64"])
    for address in (FOUR, SIX):  # whoever had the address before
        stale = ("lladdr", "02:00:00:00:00:66", "dev", "eth0", "nud", "stale")
        client.ip("neighbour", "add", str(address), *stale)
    with client.call(lambda: PacketSocket("eth0")) as ear:
        dispatcher.call(lambda: announce("eth0", [FOUR, SIX]))

        async def hear() -> list[object]:
            heard: list[object] = []
            async with asyncio.timeout(10):
                while len(heard) < 3:
                    message = said((await ear.receive()).parsed())
                    if isinstance(message, Arp | Advertisement):
                        heard.append(message)
            return heard

        heard = asyncio.run(hear())
    assert heard == [said(parse(frame)) for frame in announcements(MAC, [FOUR, SIX])]
    assert client.neighbour(FOUR) == MAC
    assert client.neighbour(SIX) == MAC


@pytest.mark.lab
def test_announcing_goes_on_and_outlives_an_interface_that_is_down(lab: Lab) -> None:
    lab.segment("lan")
    dispatcher = lab.host("dispatcher")
    lab.join(dispatcher, "lan", mac=MAC)

    async def main() -> None:
        announcer = Announcer(["eth0"], NOW)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(announcer.run())
            await asyncio.sleep(0)
            assert announcer.rounds == 0  # nothing taken, nothing said
            announcer.take([FOUR, SIX])
            await eventually(lambda: announcer.rounds >= 4)
            dispatcher.ip("link", "set", "eth0", "down")
            await eventually(lambda: announcer.failures)
            assert "eth0" in announcer.failures["eth0"]
            dispatcher.ip("link", "set", "eth0", "up")
            await eventually(lambda: not announcer.failures)
            task.cancel()

    dispatcher.call(lambda: asyncio.run(main()))


@pytest.mark.lab
def test_a_take_over_cuts_a_long_pause_short(lab: Lab) -> None:
    dispatcher = lab.host("dispatcher")
    lab.segment("lan")
    lab.join(dispatcher, "lan")

    async def main() -> None:
        announcer = Announcer(["eth0"], Schedule(every=3600, repeats=1))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(announcer.run())
            announcer.take([FOUR])
            await eventually(lambda: announcer.rounds == 1)
            announcer.take([FOUR])
            await eventually(lambda: announcer.rounds == 2)
            task.cancel()

    dispatcher.call(lambda: asyncio.run(main()))


@pytest.mark.lab
def test_what_was_given_up_is_not_announced(lab: Lab) -> None:
    dispatcher = lab.host("dispatcher")
    lab.segment("lan")
    lab.join(dispatcher, "lan")
    announcer = Announcer(["eth0"], NOW)
    announcer.take([FOUR])
    dispatcher.call(announcer._announce)
    assert announcer.rounds == 1
    announcer.give_up()
    dispatcher.call(announcer._announce)
    assert announcer.rounds == 1


@pytest.mark.root
def test_an_absent_interface_is_named() -> None:
    with pytest.raises(HostError, match="no interface 'absent0'"):
        announce("absent0", [FOUR])
