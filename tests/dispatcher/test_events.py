"""Events: logged, counted, and told to scripts with their words; each once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.config import parse
from shunt.dispatcher.events import Events, Kind
from shunt.dispatcher.guarding import Claimed, Guardian
from shunt.dispatcher.hooks import Hooks
from shunt.dispatcher.ledger import place_of
from shunt.dispatcher.overrides import NOTHING
from shunt.dispatcher.quiescing import Quiescing
from shunt.dispatcher.sweep import Report
from shunt.model.addresses import Mac, packed16
from shunt.verify.claims import Claim, How
from shunt.verify.watch import Sighting
from tests.dispatcher.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.model.config import Config

TEXT = """\
dispatcher: {interface: eth0}
clusters:
  web:
    address: 192.0.2.10
    ports: [{port: 80, servers: [a, b]}, {port: 443, servers: [a, b]}]
servers: {a: {address: 192.0.2.21}, b: {address: 192.0.2.22}}
"""
WEB, TLS = "192.0.2.10:80/tcp", "192.0.2.10:443/tcp"
CLAIM = Claim(ip_address("192.0.2.10"), Mac.parse("52:54:00:00:00:66"), How.GRATUITOUS)


@pytest.fixture
def events(tmp_path: Path) -> Events:
    """Events whose scripts write down their names, arguments and two of their variables."""
    for name in Kind:
        script = tmp_path / name
        words = f'echo "$(basename $0) $* [$SHUNT_SERVICE$SHUNT_ADDRESSES]" >> {tmp_path}/said'
        script.write_text(f"#!/bin/sh\n{words}\n")
        script.chmod(0o755)
    return Events(Hooks(tmp_path))


async def said(events: Events, folder: Path) -> list[str]:
    await events.hooks.finish(20)
    path = folder / "said"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def config() -> Config:
    return parse(TEXT, "shunt.yaml")


def report(config: Config, **counts: tuple[str, str]) -> Report:
    """Return a report in which each of these counters has something of (service, server)."""
    made = Report()
    services = {service.name: service for service in config.services}
    for counter, (service, server) in counts.items():
        identity = packed16(config.servers[server].addresses[0])
        getattr(made, counter)[place_of(services[service]), identity] = 1
    return made


async def test_a_take_over_and_the_end_tell_the_addresses(events: Events, tmp_path: Path) -> None:
    events.dispatching(Kind.GO_IDLE, [ip_address("192.0.2.10"), ip_address("2001:db8::10")])
    events.dispatching(Kind.GO_IN_OP, [ip_address("192.0.2.10")])
    assert await said(events, tmp_path) == [
        "goIdle  [192.0.2.10 2001:db8::10]", "goInOp  [192.0.2.10]",
    ]  # fmt: skip
    assert events.document()["goIdle"] == events.document()["goInOp"] == 1
    assert events.document()["serverDown"] == 0


@pytest.mark.parametrize("counter", ["exceptions", "elder_slots", "current_slots"])
async def test_quiesced_is_told_when_nothing_is_left_and_only_then(
    events: Events, config: Config, tmp_path: Path, counter: str
) -> None:
    quiescing = Quiescing(events)
    quiescing.take(report(config), config, NOTHING)
    changed = NOTHING.with_change([(WEB, "a")], quiesced=True)
    quiescing.take(report(config, **{counter: (WEB, "a")}), config, changed)
    assert await said(events, tmp_path) == []
    other = report(config, **{counter: (TLS, "a")})
    quiescing.take(other, config, changed)
    quiescing.take(other, config, changed)
    told = f"quiesced 192.0.2.10 80 a 192.0.2.21 [{WEB}]"
    assert await said(events, tmp_path) == [told]
    quiescing.take(report(config), config, NOTHING)
    quiescing.take(report(config), config, changed)
    assert await said(events, tmp_path) == [told, told]


def claimed(at: float, mac: Mac = CLAIM.mac) -> Claimed:
    return Claimed("eth0", Sighting(replace(CLAIM, mac=mac), at, 1))


async def test_claims_are_defended_against_and_told_once_a_minute(
    events: Events, tmp_path: Path
) -> None:
    defended: list[int] = []
    guardian = Guardian(lambda: defended.append(1), events.claimed)
    for at in (100.0, 101.0, 159.0, 160.0):
        guardian.take(claimed(at))
    told = "foreignArp 192.0.2.10 52:54:00:00:00:66 eth0 []"
    assert await said(events, tmp_path) == [told, told]
    assert [(each.sighting.at, each.sighting.times) for each in guardian.claims] == [
        (100.0, 1), (160.0, 4),
    ]  # fmt: skip
    assert events.counts[Kind.FOREIGN_ARP] == 2
    assert len(defended) == 1


async def test_a_claim_just_after_a_defence_is_answered_by_the_next() -> None:
    loop = asyncio.get_running_loop()
    defended: list[float] = []
    guardian = Guardian(lambda: defended.append(loop.time()), lambda _: None)
    for number in range(1000):
        guardian.take(claimed(100.0, Mac(number.to_bytes(6, "big"))))
    last = loop.time()
    await until(lambda: len(defended) == 2)
    assert defended[1] >= last


async def test_our_own_announcement_is_no_claim_whatever_mac_we_have_by_now() -> None:
    """Interfaces come late, and change their MACs; one hears what another one announces."""
    loop = asyncio.get_running_loop()
    own, looks = set[Mac](), []
    defended: list[float] = []
    told: list[Claimed] = []

    def look() -> frozenset[Mac]:
        looks.append(loop.time())
        return frozenset(own)

    async def take(mac: Mac) -> None:
        before = len(looks)

        def is_looked_at() -> bool:
            guardian.take(claimed(100.0, mac))
            return len(looks) > before

        await until(is_looked_at)

    guardian = Guardian(lambda: defended.append(loop.time()), told.append, look)
    first, second, stranger = (Mac(number.to_bytes(6, "big")) for number in (1, 2, 3))
    own.add(first)
    await take(first)
    assert not defended
    own.add(second)
    guardian.take(claimed(100.0, first))
    await take(first)
    await take(second)
    assert not defended
    assert not told
    own.remove(first)
    await take(second)
    await take(first)
    assert [each.sighting.claim.mac for each in told] == [first], "it is ours no more"
    for _ in range(1000):
        guardian.take(claimed(100.0, stranger))
    assert [each.sighting.claim.mac for each in told] == [first, stranger]
    begun, before = loop.time(), len(looks)
    for _ in range(1000):
        guardian.take(claimed(100.0, stranger))
    assert len(looks) - before <= (loop.time() - begun) / 0.02 + 1, "looks are bounded"


async def test_made_up_claimants_hold_up_no_script_of_a_server(
    events: Events, config: Config, tmp_path: Path
) -> None:
    (tmp_path / "foreignArp").write_text(f"#!/bin/sh\necho x >> {tmp_path}/claims; sleep 60\n")
    guardian = Guardian(lambda: None, events.claimed)
    for number in range(300):
        guardian.take(claimed(100.0, Mac(number.to_bytes(6, "big"))))
    assert events.counts[Kind.FOREIGN_ARP] == len(guardian.claims) == 16
    events.happened(Kind.SERVER_DOWN, config.services[0], "a", "192.0.2.21")
    await until((tmp_path / "said").exists)
    assert (tmp_path / "claims").read_text() == "x\n"
    await events.hooks.finish(0)
    assert events.document()["scripts_left_out"] == 15
