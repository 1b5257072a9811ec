"""Which frames are claims, and which claims are news."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest

from shunt.model.addresses import Address, Mac
from shunt.network import frames
from shunt.network.frames import Envelope, Frame, parse
from shunt.network.packets import Heard, PacketSocket
from shunt.verify.claims import Claim, How, claim_of
from shunt.verify.watch import Guard, Sighting, Watch

if TYPE_CHECKING:
    from shunt.lab.lab import Lab

FOUR, SIX = IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10")
OTHER4, OTHER6 = IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")
STRANGER, DISPATCHER = Mac.parse("52:54:00:00:00:66"), Mac.parse("52:54:00:00:00:02")
GRATUITOUS = frames.gratuitous_arp(STRANGER, FOUR)


@pytest.mark.parametrize(
    ("frame", "how"),
    [
        (GRATUITOUS[0], How.GRATUITOUS),
        (GRATUITOUS[1], How.GRATUITOUS),
        (frames.arp_request(STRANGER, OTHER4, FOUR), How.REQUEST),
        (frames.arp_reply(STRANGER, FOUR, DISPATCHER, OTHER4), How.REPLY),
        (frames.unsolicited_advertisement(STRANGER, SIX), How.UNSOLICITED),
        (frames.neighbour_advertisement(STRANGER, SIX, DISPATCHER, OTHER6), How.ADVERTISEMENT),
        (frames.neighbour_solicitation(STRANGER, OTHER6, SIX), How.SOLICITATION),
    ],
)
def test_what_fills_a_neighbour_table_is_a_claim(frame: bytes, how: How) -> None:
    parsed = parse(frame)
    assert isinstance(parsed, Frame)
    address: Address = SIX if parsed.link.kind == 0x86DD else FOUR
    assert claim_of(parsed) == Claim(address, STRANGER, how)


@pytest.mark.parametrize(
    "frame",
    [
        frames.arp_request(STRANGER, FOUR),  # a probe: nobody learns from it
        frames.neighbour_solicitation(STRANGER, SIX),  # duplicate detection: likewise
        frames.echo_request(Envelope(STRANGER, DISPATCHER, FOUR, OTHER4), 1, 2),
    ],
)
def test_what_fills_no_table_is_none(frame: bytes) -> None:
    parsed = parse(frame)
    assert isinstance(parsed, Frame)
    assert claim_of(parsed) is None


def test_news_are_told_once_a_minute() -> None:
    guard = Guard({FOUR}, {DISPATCHER})
    first = guard.see(Heard(GRATUITOUS[0], 100.0))
    assert first == Sighting(Claim(FOUR, STRANGER, How.GRATUITOUS), 100.0, 1)
    assert guard.see(Heard(GRATUITOUS[1], 100.1)) is None
    assert guard.see(Heard(GRATUITOUS[1], 159.9)) is None
    again = guard.see(Heard(GRATUITOUS[1], 160.0))
    assert again is not None
    assert again.times == 4
    assert guard.counts == {(FOUR, STRANGER): 4}


def test_a_clock_that_is_set_back_hides_nothing() -> None:
    guard = Guard({FOUR}, {DISPATCHER})
    assert guard.see(Heard(GRATUITOUS[0], 100.0)) is not None
    assert guard.see(Heard(GRATUITOUS[0], 50.0)) is not None


def test_the_dispatcher_and_other_addresses_are_no_news() -> None:
    guard = Guard({FOUR}, {DISPATCHER})
    for frame in (
        *frames.gratuitous_arp(DISPATCHER, FOUR),
        *frames.gratuitous_arp(STRANGER, OTHER4),
        frames.unsolicited_advertisement(STRANGER, SIX),
        b"",
        GRATUITOUS[0][:30],
    ):
        assert guard.see(Heard(frame, 1.0)) is None
    guard.allowed = frozenset({STRANGER})
    assert guard.see(Heard(GRATUITOUS[0], 2.0)) is None


@pytest.mark.lab
async def test_a_claim_is_heard_as_it_happens(lab: Lab) -> None:
    lab.segment("lan")
    here, there = lab.host("here"), lab.host("there")
    for host in (here, there):
        lab.join(host, "lan")
    with (
        here.call(lambda: Watch("eth0", {FOUR, SIX}, {DISPATCHER})) as watch,
        there.call(lambda: PacketSocket("eth0")) as socket,
    ):
        sightings = aiter(watch)
        for frame in (
            frames.unsolicited_advertisement(DISPATCHER, SIX),
            frames.unsolicited_advertisement(STRANGER, SIX),
        ):
            socket.send(frame)
        async with asyncio.timeout(10):
            sighting = await anext(sightings)
    assert sighting.claim == Claim(SIX, STRANGER, How.UNSOLICITED)
