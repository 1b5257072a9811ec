"""Jumbo frames in native mode, on a veth pair with an MTU of 9,000."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from shunt.lab import topology
from tests.dispatcher.endpoints import CONVERSATION
from tests.dispatcher.scene import DEADLINE, Scene, configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address

pytestmark = [pytest.mark.lab, pytest.mark.bpf]
MTU = "9000"
DONT_FRAGMENT = {4: (socket.IPPROTO_IP, 10, 2), 6: (socket.IPPROTO_IPV6, 23, 2)}  # linux/in.h


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Scene.made() as made:
        switch = made.lab.segments[topology.SEGMENT]
        for host in made.lab.hosts.values():
            port = made.lab.peer_port(host).interface
            switch.ip("link", "set", "dev", port, "mtu", MTU)
            host.ip("link", "set", "dev", "eth0", "mtu", MTU)
        made.up(configuration({"a": 1, "b": 1}))
        yield made


def test_the_program_runs_natively(scene: Scene) -> None:
    found = scene.ask("status")["interfaces"]["eth0"]
    assert (found["mode"], found["mtu"], found["native_refused"]) == ("native", int(MTU), None)
    assert found["notes"] == found["problems"] == []


@pytest.mark.parametrize("cluster", topology.CLUSTERS, ids=["IPv4", "IPv6"])
def test_datagrams_as_long_as_a_frame_are_echoed(scene: Scene, cluster: Address) -> None:
    size = int(MTU) - (20 if cluster.version == 4 else 40) - 8

    def talk() -> None:
        kind = socket.AF_INET if cluster.version == 4 else socket.AF_INET6
        with socket.socket(kind, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(*DONT_FRAGMENT[cluster.version])
            sender.settimeout(DEADLINE)
            sender.connect((str(cluster), CONVERSATION))
            data = os.urandom(size)
            sender.send(data)
            assert data in sender.recv(1 << 16)

    before = _bytes(scene, cluster)
    scene.client.call(talk)
    assert _bytes(scene, cluster) - before == int(MTU) + 14


def _bytes(scene: Scene, cluster: Address) -> int:
    rows = scene.servers(CONVERSATION, cluster).values()
    return sum(row["bytes"] for row in rows)


@pytest.mark.parametrize("cluster", topology.CLUSTERS, ids=["IPv4", "IPv6"])
def test_pings_as_long_as_a_frame_are_answered(scene: Scene, cluster: Address) -> None:
    size = int(MTU) - (20 if cluster.version == 4 else 40) - 8
    scene.client.run(["ping", "-n", "-c2", "-i0.1", "-W5", "-Mdo", f"-s{size}", str(cluster)])
