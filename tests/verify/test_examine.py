"""Examinations whose own means fail: nothing is called clean, and no traceback is shown."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.lab import topology
from shunt.model.addresses import Mac
from shunt.network.footprint import Trace
from shunt.network.frames import gratuitous_arp
from shunt.network.packets import PacketSocket
from shunt.verify.aftermath import everything_heard, nothing_left
from shunt.verify.examine import Manner, Report, examine
from shunt.verify.findings import Cause, Check, Verdict
from shunt.verify.ledger import Ledger
from shunt.verify.reading import Reading
from shunt.verify.subject import Cluster, Examined, Identity, Subject

if TYPE_CHECKING:
    from shunt.lab.lab import Lab

pytestmark = pytest.mark.lab

SUBJECT = Subject(
    {"a": Examined("a", (ip_address("198.18.0.2"),))},
    (Cluster("web", ip_address("198.18.9.1"), ("a",)),),
)


@pytest.fixture
def standing(lab: Lab) -> Lab:
    """A verifier and one right server."""
    lab.segment("lan")
    lab.join(lab.host("verifier"), "lan", addresses=["198.18.0.1/24"])
    server = lab.host("a")
    lab.join(server, "lan", addresses=["198.18.0.2/24"])
    topology.silence(server)
    server.ip("address", "add", "198.18.9.1/32", "dev", "lo")
    return lab


def _examined(lab: Lab) -> Report:
    manner = Manner(rate=1000, listen=1, requests=False)
    return lab.hosts["verifier"].call(lambda: asyncio.run(examine(SUBJECT, manner)))


def test_frames_that_were_dropped_are_no_silence(
    standing: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = _examined(standing)
    assert report.exit_code == 0, report.findings
    monkeypatch.setattr(PacketSocket, "dropped", lambda _: 3)
    report = _examined(standing)
    assert report.exit_code == 3
    (found,) = (each for each in report.findings if each.verdict is not Verdict.RIGHT)
    assert (found.check, found.cause) == (Check.HEARD, Cause.FRAMES_LOST)
    assert "3 frames" in found.evidence[0]


MINE, OTHER = Mac.parse("02:00:00:00:00:99"), Mac.parse("52:54:00:00:00:66")
BORROWED, CLUSTER = ip_address("198.18.0.77"), ip_address("198.18.9.1")


def _reading() -> Reading:
    reading = Reading(SUBJECT, Ledger())
    reading.identity = Identity(MINE, {4: BORROWED})
    return reading


@pytest.mark.parametrize(
    ("trace", "left"),
    [
        (Trace("neighbour", BORROWED, OTHER), False),
        (Trace("neighbour", ip_address("198.18.0.78"), OTHER), False),  # offered, had an owner
        (Trace("neighbour", BORROWED, MINE), True),
        (Trace("neighbour", BORROWED), True),
        (Trace("neighbour", CLUSTER, OTHER), True),
        (Trace("route", CLUSTER, prefix=32), True),
    ],
)
def test_what_others_do_with_a_borrowed_address_is_not_left_behind(
    trace: Trace, left: bool
) -> None:
    found = nothing_left(_reading(), (), (trace,))
    assert found.verdict is (Verdict.WRONG if left else Verdict.RIGHT)
    assert found.evidence == ((str(trace),) if left else ())
    assert nothing_left(_reading(), (trace,), (trace,)).verdict is Verdict.RIGHT


def test_who_begins_to_use_a_borrowed_address_makes_the_verdict_unclear() -> None:
    reading = _reading()
    reading.listen_to({4: (BORROWED,)})
    assert isinstance(BORROWED, IPv4Address)
    reading.transcript.heard(1.0, gratuitous_arp(OTHER, BORROWED)[0])
    (found,) = everything_heard(reading, 0)
    assert (found.verdict, found.cause) == (Verdict.UNKNOWN, Cause.BORROWED_TAKEN)
    assert str(OTHER) in found.evidence[0]
