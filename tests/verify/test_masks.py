"""The page's own fault, an alias with a wide mask: every mask that an address can have."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.lab import topology
from shunt.lab.lab import Lab
from shunt.model.config import Server
from shunt.verify import wide
from shunt.verify.examine import Manner, Report, examine
from shunt.verify.findings import Cause, Verdict
from shunt.verify.subject import Cluster, Examined, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address

PREFIX = 23
MASKS = tuple(range(1, 33))
RULES = (1, 7, 8, 9, 16, PREFIX - 1, PREFIX, PREFIX + 1, 30, 31, 32)  # and policy rules in the host
_FIRST = 101


def _own(place: int) -> Address:
    return ip_address(f"198.18.0.{_FIRST + place}")


def _cluster(place: int) -> Address:
    return ip_address(f"198.18.1.{_FIRST + place}")


PLACES = (*((mask, False) for mask in MASKS), *((mask, True) for mask in RULES))


@pytest.fixture(scope="module")
def verifier() -> Iterator[Lab]:
    with Lab.create() as lab:
        lab.segment("lan")
        lab.join(lab.host("verifier"), "lan", addresses=[f"198.18.0.9/{PREFIX}"])
        for place, (mask, rules) in enumerate(PLACES):
            host = lab.host(f"h{place}")
            lab.join(host, "lan", addresses=[f"{_own(place)}/{PREFIX}"])
            topology.silence(host)
            host.ip("address", "add", f"{_cluster(place)}/{mask}", "dev", "lo")
            if rules:
                host.ip("rule", "add", "fwmark", "7", "lookup", "main")
        yield lab


def _examined(lab: Lab, borrow: tuple[Address, ...]) -> Report:
    servers = {
        name: Examined(name, (own,), Server(name, (own,)))
        for name, own in ((f"h{place}", _own(place)) for place in range(len(PLACES)))
    }
    clusters = tuple(Cluster(name, _cluster(place), (name,)) for place, name in enumerate(servers))
    manner = Manner(rate=2000, borrow=borrow, listen=0.5)
    subject = Subject(servers, clusters)
    return lab.hosts["verifier"].call(lambda: asyncio.run(examine(subject, manner)))


@pytest.mark.lab
@pytest.mark.parametrize(
    "borrow",
    [("198.18.0.30", "198.18.0.31", "198.18.1.3"), ("198.18.1.90",)],
    ids=["some-outside", "one-inside-of-many"],
)
def test_every_wide_mask_is_named(verifier: Lab, borrow: tuple[str, ...]) -> None:
    report = _examined(verifier, tuple(map(ip_address, borrow)))
    causes: dict[str, set[Cause | None]] = {f"h{place}": set() for place in range(len(PLACES))}
    for finding in report.findings:
        if finding.server and finding.verdict is Verdict.WRONG:
            causes[finding.server].add(finding.cause)
    expected = {
        f"h{place}": set() if mask == 32 else {Cause.WIDE_ALIAS}
        for place, (mask, _) in enumerate(PLACES)
    }
    assert causes == expected


@pytest.mark.parametrize("mask", range(1, 31))
@pytest.mark.parametrize("address", ["10.9.0.100", "10.9.0.101", "172.16.9.102", "192.0.2.3"])
def test_one_question_beside_the_address_tells_every_mask_but_31(address: str, mask: int) -> None:
    cluster = IPv4Address(address)
    swallowed = IPv4Network((cluster, mask), strict=False)
    (asked,) = wide.across(cluster)
    assert asked in swallowed
    assert asked not in {swallowed[0], swallowed[-1]}


@pytest.mark.parametrize("mask", range(1, 32))
@pytest.mark.parametrize("address", ["10.9.0.100", "10.9.0.101", "172.16.9.102", "192.0.2.3"])
def test_every_mask_is_asked_for(address: str, mask: int) -> None:
    """Beside the address, or outside of a segment: what a kernel of any age answers for."""
    cluster = IPv4Address(address)
    segment, swallowed = (IPv4Network((cluster, each), strict=False) for each in (24, mask))
    ends = {swallowed[0], swallowed[-1]} if mask < 31 else set()
    asked = (*wide.beside(cluster), *wide.around(cluster, segment))
    told = [each for each in asked if each in swallowed and each not in ends]
    if mask < 24:  # the segment is nearer than the alias's network
        told = [each for each in told if each not in segment]
    assert told
    named = wide.network_of(cluster, told)
    assert isinstance(named, IPv4Network)
    assert named.subnet_of(swallowed)
    every = [each for each in wide.every(cluster) if each in swallowed]
    assert wide.network_of(cluster, every).prefixlen <= max(mask, 4)  # beyond are groups


def test_the_class_gives_the_mask_of_who_names_none() -> None:
    """A route to a part of the class's network does not hide the rest."""
    segment = IPv4Network("10.9.0.0/24")
    nearest, boundary = wide.around(IPv4Address("10.9.0.100"), segment)
    assert nearest in IPv4Network("10.9.0.0/23")
    assert boundary in IPv4Network("10.0.0.0/8")
    assert boundary not in IPv4Network("10.0.0.0/9")


def test_what_a_server_has_by_right_is_not_asked_for() -> None:
    cluster, other = IPv4Address("192.0.2.100"), IPv4Address("192.0.2.101")
    assert wide.beside(cluster) == (other,)
    assert other not in wide.beside(cluster, {other})
    assert wide.beside(cluster, {other})
    assert other not in wide.every(cluster, {other})


@pytest.mark.parametrize("other", ["192.0.2.101", "192.0.2.103", "192.0.2.116", "192.0.3.100"])
def test_a_second_alias_is_no_network(other: str) -> None:
    """Whatever of it is asked for: only the one address answers, and that proves nothing."""
    cluster, alias = IPv4Address("192.0.2.100"), IPv4Address(other)
    every = wide.every(cluster)
    asked = (*every, *wide.witnesses(cluster, every))
    answered = {each for each in asked if each == alias}
    assert not wide.proven(cluster, answered)
    for mask in range(1, 30):
        swallowed = IPv4Network((cluster, mask), strict=False)
        assert wide.proven(cluster, [each for each in asked if each in swallowed])


@pytest.mark.lab
@pytest.mark.parametrize("others", [["198.18.1.101", "198.18.1.102", "198.18.1.108"]])
def test_the_neighbour_of_a_cluster_address_is_no_wide_mask(lab: Lab, others: list[str]) -> None:
    """A server of several clusters, of which one is examined: at worst it cannot be told."""
    lab.segment("lan")
    verifier, server = lab.host("verifier"), lab.host("a")
    lab.join(verifier, "lan", addresses=["198.18.0.9/23"])
    lab.join(server, "lan", addresses=["198.18.0.2/23"])
    topology.silence(server)
    for address in ("198.18.1.100", *others):
        server.ip("address", "add", f"{address}/32", "dev", "lo")
    clusters = (Cluster("web", ip_address("198.18.1.100"), ("a",)),)
    subject = Subject({"a": Examined("a", (ip_address("198.18.0.2"),))}, clusters)
    manner = Manner(rate=1000, listen=0.5)
    report = verifier.call(lambda: asyncio.run(examine(subject, manner)))
    doubts = {each.cause: each.verdict for each in report.findings if each.cause}
    assert doubts == {Cause.WIDE_ALIAS: Verdict.UNKNOWN}
