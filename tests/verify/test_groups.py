"""IPv6 where groups are filtered: by the interface, or by a switch that looks into MLD."""

from __future__ import annotations

import asyncio
import json
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.lab import topology
from shunt.network.frames import (
    Arp,
    Frame,
    Solicitation,
    arp_request,
    neighbour_solicitation,
)
from shunt.network.packets import PacketSocket
from shunt.verify.examine import Manner, Report, examine
from shunt.verify.findings import Verdict
from shunt.verify.subject import Cluster, Examined, Subject

if TYPE_CHECKING:
    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from shunt.model.addresses import Mac

pytestmark = pytest.mark.lab

OWN, CLUSTER = ip_address("2001:db8::21"), ip_address("2001:db8::10")
SUBJECT = Subject({"a": Examined("a", (OWN,))}, (Cluster("web", CLUSTER, ("a",)),))


def _right_server(lab: Lab) -> None:
    server = lab.host("a")
    lab.join(server, "lan", addresses=[f"{OWN}/64"])
    topology.silence(server)
    server.ip("-6", "address", "add", f"{CLUSTER}/128", "dev", "lo", "nodad")


def _examined(host: Host, interface: str, mac: Mac | None = None) -> Report:
    manner = Manner(interface, rate=1000, listen=1, requests=False, mac=mac)
    return host.call(lambda: asyncio.run(examine(SUBJECT, manner)))


def _assert_right(report: Report) -> None:
    assert {each.verdict for each in report.findings} == {Verdict.RIGHT}, report.findings


def test_on_an_interface_that_filters_groups(lab: Lab) -> None:
    lab.segment("lan")
    _right_server(lab)
    verifier = lab.host("verifier")
    lab.join(verifier, "lan")
    verifier.ip("link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge")
    verifier.ip("link", "set", "mv0", "up")
    verifier.ip("-6", "address", "add", "2001:db8::9/64", "dev", "mv0", "nodad")
    _assert_right(_examined(verifier, "mv0", verifier.interface("mv0").mac))


def test_behind_a_switch_that_brings_groups_to_their_listeners_only(lab: Lab) -> None:
    lab.segment("lan")
    switch = lab.segments["lan"]
    (bridge,) = (
        link["ifname"] for link in json.loads(switch.ip("-json", "link", "show", "type", "bridge"))
    )
    switch.sysctl(f"net.ipv6.conf.{bridge}.disable_ipv6", "0")
    switch.ip("-6", "address", "add", "fe80::5/64", "dev", bridge, "nodad")
    # Hundredths of a second: so soon does it know who listens, and send to nobody else.
    bridged = ("link", "set", bridge, "type", "bridge")
    switch.ip(*bridged, "mcast_query_response_interval", "50", "mcast_mld_version", "2")
    switch.ip(*bridged, "mcast_startup_query_interval", "100", "mcast_query_interval", "100")
    switch.ip(*bridged, "mcast_snooping", "1")
    switch.ip(*bridged, "mcast_querier", "1")
    _right_server(lab)
    verifier = lab.host("verifier")
    lab.join(verifier, "lan", addresses=["2001:db8::9/64"])
    _wait_until_it_filters(lab.hosts["a"], verifier)
    _assert_right(_examined(verifier, "eth0"))


def _wait_until_it_filters(sender: Host, listener: Host) -> None:
    """Wait until a question in a group that nobody listens to does not arrive any more."""
    deadline = time.monotonic() + 20
    strange = IPv6Address("2001:db8::ab:cdef")
    with (
        sender.call(lambda: PacketSocket("eth0")) as out,
        listener.call(lambda: PacketSocket("eth0", promiscuous=True)) as heard,
    ):
        while True:
            assert time.monotonic() < deadline, "the switch sends groups to everybody"
            out.send(neighbour_solicitation(out.mac, strange))
            out.send(arp_request(out.mac, IPv4Address("192.0.2.1")))  # to everybody, afterwards
            if not _arrived(heard):
                return
            time.sleep(0.1)


def _arrived(heard: PacketSocket) -> bool:
    """Whether the question arrived before the one to everybody."""
    seen = False
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if (frame := heard.receive_now()) is None:
            time.sleep(0.005)
            continue
        parsed = frame.parsed()
        assert isinstance(parsed, Frame)
        if isinstance(parsed.network, Arp):
            return seen
        seen = seen or isinstance(parsed.message, Solicitation)
    raise AssertionError("not even the question to everybody arrived")
