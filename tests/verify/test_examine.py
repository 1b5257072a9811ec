"""Examinations whose own means fail: nothing is called clean, and no traceback is shown."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.lab import topology
from shunt.network.packets import PacketSocket
from shunt.verify.examine import Manner, Report, examine
from shunt.verify.findings import Cause, Check, Verdict
from shunt.verify.subject import Cluster, Examined, Subject

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
