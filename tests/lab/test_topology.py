"""The standard laboratory: who answers for a cluster address, and that all counts agree."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from shunt.lab import asking, nginx, requests, topology, witness

if TYPE_CHECKING:
    from shunt.lab.lab import Lab
    from shunt.lab.topology import Topology
    from shunt.model.addresses import Address

pytestmark = pytest.mark.lab
FOUR, SIX = topology.CLUSTERS


@pytest.fixture
def standing(lab: Lab) -> Topology:
    return topology.build(lab, {"a": 10, "b": 20})


def answering(standing: Topology, address: Address) -> list[str]:
    return [standing.macs[mac] for mac in asking.who_answers(standing.client, address)]


def test_macs_and_addresses_read_alike(standing: Topology) -> None:
    for name, host in standing.lab.hosts.items():
        found = host.interface("eth0")
        assert standing.macs[found.mac] == name
        assert f"192.0.2.{int(str(found.mac)[-2:])}" in {str(each.ip) for each in found.addresses}


def test_an_unprepared_server_answers_for_the_cluster_address(standing: Topology) -> None:
    topology.add_alias(standing.servers["a"])
    topology.prepare(standing.servers["b"])
    assert answering(standing, FOUR) == ["a"]
    topology.drop_alias(standing.servers["a"])
    assert answering(standing, FOUR) == []


def test_linux_does_not_advertise_an_ipv6_alias_of_the_loopback(standing: Topology) -> None:
    topology.add_alias(standing.servers["a"])
    assert answering(standing, SIX) == []
    standing.servers["a"].ip("address", "add", f"{SIX}/128", "dev", "eth0", "nodad")
    assert answering(standing, SIX) == ["a"]


def test_requests_are_counted_alike_by_client_server_and_switch(standing: Topology) -> None:
    server = standing.servers["a"]
    topology.prepare(server)
    web = nginx.start(server, [(address, 80) for address in topology.CLUSTERS])
    (web.files / "payload").write_bytes(b"\0\xff" * 500)
    standing.client.run(["ping", "-n", "-c1", "192.0.2.21"])  # the switch learns who is where
    witness.place(standing)
    for address in topology.CLUSTERS:
        mac = str(server.interface("eth0").mac)
        standing.client.ip("neighbour", "replace", str(address), "lladdr", mac, "dev", "eth0")
        asked = requests.curl(standing.client, requests.url(address), 50)
        assert (asked.answers, asked.failures) == (Counter(a=50), Counter())
    size = ["curl", "-s", "-o", "/dev/null", "-w", "%{size_download}"]
    where = requests.url(FOUR, path="/files/payload")
    assert standing.client.run([*size, where]).stdout == "1000"

    end = time.monotonic() + 10
    while (told := web.answered()).requests.total() < 101 and time.monotonic() < end:
        time.sleep(0.01)
    assert told.requests == told.connections == Counter({FOUR: 51, SIX: 50})
    frames = witness.read(standing)
    assert frames.replies_from["a"] >= 101 * 3
    assert frames.replies_from["b"] == frames.requests_in == frames.replies_through == 0


def test_load_by_wrk(standing: Topology) -> None:
    server = standing.servers["a"]
    topology.prepare(server)
    web = nginx.start(server, [(FOUR, 80)], keepalive=True)
    mac = str(server.interface("eth0").mac)
    standing.client.ip("neighbour", "replace", str(FOUR), "lladdr", mac, "dev", "eth0")
    load = requests.wrk(standing.client, requests.url(FOUR), seconds=1, connections=4)
    assert load.errors == 0
    assert load.requests > 0
    assert web.answered().connections.total() == 4
