"""Entries for cluster addresses: confirmed, never permanent, and gone when they are taken away."""

from __future__ import annotations

import json
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import NetworkError
from shunt.model.addresses import Mac
from shunt.network.neighbours import DELNEIGH, DESTINATION, HEADER, LINK_ADDRESS, NEWNEIGH, State
from shunt.network.netlink import Message, attribute
from shunt.network.placeholder import Placeholder, confirm, forget, lost, way_out

if TYPE_CHECKING:
    from shunt.lab.host import Host
    from shunt.lab.lab import Lab

pytestmark = pytest.mark.lab

CLUSTERS = tuple(map(ip_address, ("192.0.2.10", "2001:db8::10")))


@pytest.fixture
def host(lab: Lab) -> Host:
    lab.segment("lan")
    made = lab.host("host")
    lab.join(made, "lan", addresses=["192.0.2.2/24", "2001:db8::2/64"])
    made.route("198.51.100.0/24", via="192.0.2.254")
    return made


def entries(host: Host) -> dict[str, tuple[str, list[str]]]:
    rows = json.loads(host.ip("-json", "neighbour", "show") or "[]")
    return {row["dst"]: (row.get("lladdr", ""), row["state"]) for row in rows}


def test_entries_are_confirmed_and_taken_away(host: Host) -> None:
    index = host.interface("eth0").index
    mac = Mac(b"\2\0\0\0\0\7")
    wanted = [Placeholder(address, index, mac) for address in CLUSTERS]
    for _ in range(2):
        host.call(lambda: confirm(wanted))
        assert {key: entries(host)[key] for key in map(str, CLUSTERS)} == {
            str(address): (str(mac), ["REACHABLE"]) for address in CLUSTERS
        }
    for _ in range(2):
        host.call(lambda: forget(wanted))
        assert not {str(address) for address in CLUSTERS} & entries(host).keys()


@pytest.mark.parametrize(
    ("kind", "state", "is_lost"),
    [(DELNEIGH, State.REACHABLE, True), (NEWNEIGH, State.FAILED, True),
     (NEWNEIGH, State.INCOMPLETE, True), (NEWNEIGH, State.REACHABLE, False),
     (NEWNEIGH, State.STALE, False), (NEWNEIGH, State.PERMANENT, False)],
)  # fmt: skip
def test_the_kernels_news_tell_which_entries_are_lost(
    kind: int, state: State, is_lost: bool
) -> None:
    mac = Mac(b"\2\0\0\0\0\7")
    ours = [Placeholder(address, 2, mac) for address in CLUSTERS]

    def told(address: str, index: int) -> Message:
        family = {4: socket.AF_INET, 6: socket.AF_INET6}[ip_address(address).version]
        body = HEADER.pack(family, index, state.number, 0, 0)
        body += attribute(DESTINATION, ip_address(address).packed)
        return Message(kind, 0, 0, body + attribute(LINK_ADDRESS, mac.octets))

    news = [told("192.0.2.10", 2), told("192.0.2.11", 2), told("2001:db8::10", 3)]
    assert lost(news, ours) == (frozenset(ours[:1]) if is_lost else frozenset())


def test_the_way_out_is_found_and_its_absence_said(host: Host) -> None:
    index = host.interface("eth0").index
    found = host.call(lambda: [way_out(address) for address in CLUSTERS])
    assert found == [(index, True)] * 2
    assert host.call(lambda: way_out(ip_address("198.51.100.7"))) == (index, False)
    with pytest.raises(NetworkError, match="no route"):
        host.call(lambda: way_out(ip_address("203.0.113.1")))
