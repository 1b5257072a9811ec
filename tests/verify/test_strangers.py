"""Hostile strangers and odd servers on a real segment: each named by its cause, no false alarm."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.lab import topology
from shunt.lab.lab import Lab
from shunt.model.addresses import Mac
from shunt.verify.examine import Manner, Report, examine
from shunt.verify.findings import Cause, Check, Verdict
from shunt.verify.subject import Cluster, Examined, Subject
from tests.verify.strangers import Crowd, Question, Stranger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shunt.model.addresses import Address

pytestmark = pytest.mark.lab

_FIRST = 20
_OWN, _CLUSTER = "own", "cluster"


def _one_in_five(_: Question, number: int) -> bool:
    return number % 5 == 0


@dataclass(frozen=True)
class Odd:
    """Something odd about a server's cluster address, or its own, and what is to be found."""

    name: str
    make: Callable[[Mac, Address, list[Mac]], Stranger]  # its MAC, the address, servers' MACs
    expected: frozenset[tuple[Check, str, Cause]]
    version: int = 4
    about: str = _CLUSTER


def _others(cause: Cause) -> frozenset[tuple[Check, str, Cause]]:
    return frozenset({(Check.OTHERS, "", cause)})


_PUBLISHES = _others(Cause.STRANGER_PUBLISHES)
_TWO = frozenset({(Check.OWN, "self", Cause.TWO_MACS)})


def _stranger(**how: object) -> Callable[[Mac, Address, list[Mac]], Stranger]:
    return lambda mac, address, _: Stranger(mac, address, **how)  # type: ignore[arg-type]


def _both(
    name: str,
    make: Callable[[Mac, Address, list[Mac]], Stranger],
    expected: frozenset[tuple[Check, str, Cause]] = _PUBLISHES,
) -> Iterator[Odd]:
    for version in (4, 6):
        yield Odd(f"{name}, IPv{version}", make, expected, version)


ODDITIES = (
    *_both("always", _stranger()),
    *_both("one of five", _stranger(minds=_one_in_five)),
    *_both("two seconds late", _stranger(late=2.0)),
    *_both("four seconds late", _stranger(late=4.0)),
    *_both("only questions to everybody", _stranger(minds=lambda asked, _: not asked.single)),
    *_both("only questions without a sender", _stranger(minds=lambda asked, _: not asked.named)),
    *_both("only questions with a sender", _stranger(minds=lambda asked, _: asked.named)),
    Odd(
        "only questions to itself, and it is heard elsewhere",
        _stranger(minds=lambda asked, _: asked.single, speaks=True),
        _PUBLISHES,
    ),
    Odd("answers everybody", _stranger(aloud=True), _PUBLISHES),
    *_both("a storm of one MAC", _stranger(storm=300.0)),
    *_both(
        "published with the server's MAC",
        lambda mac, address, macs: Stranger(mac, address, names=macs[0]),
        _others(Cause.SPEAKS_FOR_ANOTHER),
    ),
    *_both(
        "published with nobody's MAC",
        _stranger(names=Mac.parse("52:54:00:00:99:99")),
    ),
    Odd("a second owner", _stranger(), _TWO, about=_OWN),
    Odd(
        "a proxy of the own address, for questions with a sender",
        _stranger(minds=lambda asked, _: asked.named, late=0.3),
        _TWO,
        about=_OWN,
    ),
    Odd(
        "a proxy of the own address, for questions without",
        _stranger(minds=lambda asked, _: not asked.named, late=0.3),
        _TWO,
        about=_OWN,
    ),
    Odd(
        "published with the server's MAC for its own address",
        lambda mac, address, macs: Stranger(mac, address, names=macs[0]),
        frozenset(),
        about=_OWN,
    ),
)


def _address(about: str, version: int, number: int) -> Address:
    host = _FIRST + number
    if about == _OWN:
        return ip_address(f"198.18.0.{host}" if version == 4 else f"2001:db8:9::{host}")
    return ip_address(f"198.18.1.{host}" if version == 4 else f"2001:db8:9::1:{host}")


@pytest.fixture(scope="module")
def segment() -> Iterator[Lab]:
    """A right server for each oddity, one that ignores questions without a sender, a verifier."""
    with Lab.create() as lab:
        lab.segment("lan")
        own = ["198.18.0.9/23", "2001:db8:9::9/64"]
        lab.join(lab.host("verifier"), "lan", addresses=own)
        lab.join(lab.host("ev"), "lan")
        for number in range(len(ODDITIES) + 1):
            host = lab.host(f"h{number}")
            own = [f"{_address(_OWN, 4, number)}/23", f"{_address(_OWN, 6, number)}/64"]
            lab.join(host, "lan", addresses=own)
            topology.silence(host)
            host.ip("address", "add", f"{_address(_CLUSTER, 4, number)}/32", "dev", "lo")
            host.ip("address", "add", f"{_address(_CLUSTER, 6, number)}/128", "dev", "lo", "nodad")
        deaf = lab.hosts[f"h{len(ODDITIES)}"]
        rule = "arp operation request arp saddr ip 0.0.0.0 drop"
        chain = "chain in {\ntype filter hook input priority 0\n" + rule + "\n}\n"
        deaf.run(["nft", "-f", "-"], input="table arp deaf {\n" + chain + "}\n")
        yield lab


def _subject(count: int) -> Subject:
    servers = {
        f"h{number}": Examined(f"h{number}", (_address(_OWN, 4, number), _address(_OWN, 6, number)))
        for number in range(count)
    }
    clusters = tuple(
        Cluster(f"h{number}", _address(_CLUSTER, version, number), (f"h{number}",))
        for number in range(count)
        for version in (4, 6)
    )
    return Subject(servers, clusters)


@pytest.fixture(scope="module")
def report(segment: Lab) -> Report:
    strangers = []
    for number, odd in enumerate(ODDITIES):
        mac = Mac(bytes((0x52, 0x54, 0, 0, 0x77, number)))
        macs = [segment.hosts[f"h{number}"].interface("eth0").mac]
        strangers.append(odd.make(mac, _address(odd.about, odd.version, number), macs))
    verifier, subject = segment.hosts["verifier"], _subject(len(ODDITIES) + 1)
    with Crowd(segment.hosts["ev"], strangers):
        return verifier.call(lambda: asyncio.run(examine(subject, Manner(rate=1000))))


def _found(report: Report, number: int) -> set[tuple[Check, str, Cause | None]]:
    mine = {str(_address(_CLUSTER, version, number)) for version in (4, 6)}
    return {
        (each.check, "self" if each.server else "", each.cause)
        for each in report.findings
        if each.verdict is Verdict.WRONG
        and (each.server == f"h{number}" or (each.server == "" and str(each.address) in mine))
    }


@pytest.mark.parametrize("number", range(len(ODDITIES)), ids=[odd.name for odd in ODDITIES])
def test_who_is_odd_is_named_and_nobody_else(report: Report, number: int) -> None:
    assert _found(report, number) == ODDITIES[number].expected


def test_who_answers_only_askers_with_a_name_is_right(report: Report) -> None:
    assert _found(report, len(ODDITIES)) == set()


def test_both_who_spoke_and_who_was_named_are_told(report: Report) -> None:
    for number, odd in enumerate(ODDITIES):
        if not odd.name.startswith("published with"):
            continue
        address = _address(odd.about, odd.version, number)
        said = " ".join(
            line
            for finding in report.findings
            if finding.address == address and finding.cause
            for line in finding.evidence
        )
        assert f"52:54:00:00:77:{number:02x}" in said, odd.name


_STORM = """
import os, socket, sys, time
from ipaddress import IPv4Address
from shunt.model.addresses import Mac
from shunt.network.frames import arp_reply, gratuitous_arp
address, rate = IPv4Address(sys.argv[1]), float(sys.argv[2])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sending:
    sending.bind(("eth0", 0))
    began, sent = time.monotonic(), 0
    print("storms", flush=True)
    while True:
        frame = gratuitous_arp(Mac(b"\\x02" + os.urandom(5)), address)[sent % 2]
        try:
            sending.send(frame)
        except OSError:
            pass
        sent += 1
        if sent % 50 == 0:
            time.sleep(max(0.0, began + sent / rate - time.monotonic()))
"""


def test_a_storm_of_made_up_macs_is_one_finding_and_hides_nobody(segment: Lab) -> None:
    subject = _subject(3)
    answering = segment.hosts["h1"]
    address = _address(_CLUSTER, 4, 1)
    storm = segment.hosts["ev"].start([sys.executable, "-c", _STORM, str(address), "2000"])
    storm.wait_until_says("storms")
    answering.sysctl("net.ipv4.conf.all.arp_ignore", "0")
    verifier = segment.hosts["verifier"]
    try:
        manner = Manner(rate=500, listen=1)
        report = verifier.call(lambda: asyncio.run(examine(subject, manner)))
    finally:
        answering.sysctl("net.ipv4.conf.all.arp_ignore", "1")
        storm.kill()
    wrong = [each for each in report.findings if each.verdict is Verdict.WRONG]
    assert {(each.check, each.server, each.cause) for each in wrong} == {
        (Check.OTHERS, "", Cause.CROWD),
        (Check.SILENCE, "h1", Cause.ANSWERS_ARP),
        (Check.AGAIN, "h1", Cause.ANSWERS_ARP),
    }
    (crowd,) = (each for each in wrong if each.cause is Cause.CROWD)
    assert crowd.address == address
    claims = int(crowd.evidence[0].split()[0])
    assert claims > 200
    assert len(crowd.evidence[0]) < 400
