"""Which frames are claims, and which claims are news."""

from __future__ import annotations

import asyncio
import pickle
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest

from shunt.cli import watch as watch_command
from shunt.cli.output import Output
from shunt.model.addresses import Address, Mac
from shunt.network import frames
from shunt.network.frames import Envelope, Frame, parse
from shunt.network.packets import Heard, PacketSocket
from shunt.verify import watch as watch_module
from shunt.verify.claims import Claim, How, claim_of, intention_of
from shunt.verify.watch import Guard, News, Sighting, Watch
from tests.network.odd import behind_hop_by_hop

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


@pytest.mark.parametrize(
    ("frame", "claim"),
    [
        (frames.arp_request(STRANGER, FOUR), Claim(FOUR, STRANGER, How.PROBE)),
        (frames.neighbour_solicitation(STRANGER, SIX), Claim(SIX, STRANGER, How.DETECTION)),
        (frames.arp_request(STRANGER, FOUR, destination=DISPATCHER), None),  # asks one machine
        (frames.arp_request(STRANGER, FOUR, OTHER4), None),  # a question with a sender
        (frames.neighbour_solicitation(STRANGER, SIX, OTHER6), None),
    ],
)
def test_who_asks_whether_an_address_is_free_is_about_to_use_it(
    frame: bytes, claim: Claim | None
) -> None:
    parsed = parse(frame)
    assert isinstance(parsed, Frame)
    assert intention_of(parsed) == claim
    heard = Heard(frame, 100.0)
    told = Guard({FOUR, SIX}, {DISPATCHER}, intentions=True).see(heard)
    assert (told.claim if told else None) == claim
    assert Guard({FOUR, SIX}, {STRANGER}, intentions=True).see(heard) is None
    assert Guard({FOUR, SIX}, {DISPATCHER}).see(heard) is None, "the dispatcher answers it itself"


def test_an_intention_does_not_hide_the_claim_that_follows() -> None:
    guard = Guard({FOUR}, {DISPATCHER}, intentions=True)
    asked = frames.arp_request(STRANGER, FOUR)
    assert guard.see(Heard(asked, 100.0)) is not None
    assert guard.see(Heard(asked, 101.0)) is None
    told = guard.see(Heard(GRATUITOUS[0], 102.0))
    assert told is not None
    assert told.claim.how is How.GRATUITOUS


def test_a_claim_has_a_speaker_and_a_subject(capsys: pytest.CaptureFixture[str]) -> None:
    """A published entry may name any machine; the frame's Ethernet source has said it."""
    speaker = Mac.parse("52:54:00:00:00:77")
    frame = GRATUITOUS[0][:6] + speaker.octets + GRATUITOUS[0][12:]
    guard = Guard({FOUR}, {DISPATCHER})
    told = guard.see(Heard(frame, 100.0))
    assert told is not None
    assert told.claim == Claim(FOUR, STRANGER, How.GRATUITOUS, speaker)
    assert guard.see(Heard(GRATUITOUS[0], 100.1)) is not None, "the other speaks for itself"
    watch_command._tell(told, Output())
    said = capsys.readouterr().out
    assert f"is at {STRANGER}" in said
    assert f"said by {speaker}" in said
    watch_command._tell(told, Output(json=True))
    assert f'"speaker": "{speaker}"' in capsys.readouterr().out
    led_home = frame[:22] + DISPATCHER.octets + frame[28:]
    assert guard.see(Heard(led_home, 100.2)) is None, "it leads to the dispatcher"


def test_news_are_told_once_a_minute() -> None:
    guard = Guard({FOUR}, {DISPATCHER})
    first = guard.see(Heard(GRATUITOUS[0], 100.0))
    assert first == Sighting(Claim(FOUR, STRANGER, How.GRATUITOUS), 100.0, 1)
    assert guard.see(Heard(GRATUITOUS[1], 100.1)) is None
    assert guard.see(Heard(GRATUITOUS[1], 159.9)) is None
    again = guard.see(Heard(GRATUITOUS[1], 160.0))
    assert again is not None
    assert again.times == 4


def made_up(number: int) -> Claim:
    return Claim(FOUR, Mac(number.to_bytes(6, "big")), How.REPLY)


def test_made_up_claimants_are_few_by_name_and_the_others_a_number() -> None:
    news = News()
    told = [news.take(made_up(number % 100_000), 100.0) for number in range(100_010)]
    named = [sighting for sighting in told if sighting is not None]
    assert [sighting.claim for sighting in named] == [made_up(number) for number in range(16)]
    other = news.take(Claim(SIX, STRANGER, How.UNSOLICITED), 100.0)
    assert other is not None, "they hide nobody who claims another address"
    assert other.unnamed == 0
    later = [news.take(made_up(number), 160.0) for number in (99_999, 5, 99_998)]
    assert later == [
        Sighting(made_up(99_999), 160.0, 1, 100_000 - 16),
        Sighting(made_up(5), 160.0, 3),
        Sighting(made_up(99_998), 160.0, 1),
    ]
    assert deep_size(news) < 20_000
    news.keep_to({SIX})
    afresh = news.take(made_up(0), 161.0)
    assert afresh is not None
    assert afresh.times == 1


def test_the_command_says_how_many_it_does_not_name(capsys: pytest.CaptureFixture[str]) -> None:
    claim = Claim(FOUR, STRANGER, How.GRATUITOUS)
    watch_command._tell(Sighting(claim, 100.0, 1, 4711), Output())
    watch_command._tell(Sighting(claim, 100.0, 2), Output())
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("(and 4711 claims by many others)")
    assert "others" not in second


def deep_size(thing: object) -> int:
    """Return about how many bytes something takes."""
    return len(pickle.dumps(thing))


async def test_a_storm_of_claims_leaves_others_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that are always there must not keep the loop from anything else."""
    left, turns = iter(range(10_000)), 0

    class Flooded:
        def __init__(self, interface: str, keep: object) -> None:
            pass

        async def receive(self) -> Heard:
            return Heard(GRATUITOUS[0], 100.0 + next(left, 0) / 1000)

        def close(self) -> None:
            pass

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(watch_module, "PacketSocket", Flooded)
    monkeypatch.setattr(watch_module, "_PAUSE", 0)
    working = asyncio.create_task(other())
    with Watch("eth0", {FOUR}, (), again=0.0) as watch:
        heard = 0
        async for _ in watch:
            heard += 1
            if heard == 10_000:
                break
    working.cancel()
    assert turns > 50


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
async def test_what_changes_a_kernels_table_is_heard(lab: Lab) -> None:
    """Claims in forms that nobody sends by accident, and that Linux believes."""
    lab.segment("lan")
    here, there = lab.host("here"), lab.host("there")
    lab.join(here, "lan", addresses=["192.0.2.9/24", "2001:db8::9/64"])
    lab.join(there, "lan")
    other_type = GRATUITOUS[1][:14] + (6).to_bytes(2) + GRATUITOUS[1][16:]
    hidden = behind_hop_by_hop(frames.unsolicited_advertisement(STRANGER, SIX))
    for address in (FOUR, SIX):
        at = ("lladdr", str(DISPATCHER), "dev", "eth0", "nud", "stale")
        here.ip("neighbour", "replace", str(address), *at)
    with (
        here.call(lambda: Watch("eth0", {FOUR, SIX}, {DISPATCHER})) as watch,
        there.call(lambda: PacketSocket("eth0")) as socket,
    ):
        sightings = aiter(watch)
        for frame, address in ((other_type, FOUR), (hidden, SIX)):
            socket.send(frame)
            async with asyncio.timeout(10):
                sighting = await anext(sightings)
            assert (sighting.claim.address, sighting.claim.mac) == (address, STRANGER)
            assert here.neighbour(address) == STRANGER


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
