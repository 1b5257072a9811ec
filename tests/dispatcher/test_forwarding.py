"""Real requests, through the real daemon's data plane, to real servers."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from shunt.lab import requests
from shunt.lab.topology import CLUSTERS
from shunt.model.addresses import Mac
from tests.dispatcher.endpoints import CONVERSATION, DIGEST
from tests.dispatcher.scene import DEADLINE, FOUR, SIX, Scene, configuration, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address

pytestmark = [pytest.mark.lab, pytest.mark.bpf]
WEIGHTS = {"a": 10, "b": 20, "c": 30}
MEGABYTE = 1 << 20
ABORT = struct.pack("ii", 1, 0)  # struct linger: a reset instead of the ceremony of closing


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Scene.made() as made:
        made.up(configuration(WEIGHTS))
        yield made


families = pytest.mark.parametrize("cluster", CLUSTERS, ids=["IPv4", "IPv6"])


@families
def test_of_many_requests_none_fails(scene: Scene, cluster: Address) -> None:
    asked = requests.curl(scene.client, requests.url(cluster), 5000)
    assert not asked.failures
    assert asked.answers.total() == 5000
    assert asked.answers.keys() == WEIGHTS.keys()


@families
def test_shares_are_the_weights(scene: Scene, cluster: Address) -> None:
    """Of 30,000 connections, from as many ports: the same every time, for the key is fixed.

    They come from an address of their own, whose ports no other test has used.
    """
    source, prefix = ("192.0.2.3", 24) if cluster.version == 4 else ("2001:db8::3", 64)
    nodad = [] if cluster.version == 4 else ["nodad"]
    scene.client.ip("address", "add", f"{source}/{prefix}", "dev", "eth0", *nodad)
    before = {name: row["opened"] for name, row in scene.servers(cluster=cluster).items()}
    count, first = 30_000, 10_000

    def connect() -> None:
        for port in range(first, first + count):
            with socket.socket(_family(cluster)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                connection.settimeout(DEADLINE)
                connection.bind((source, port))
                connection.connect((str(cluster), 80))

    scene.client.call(connect)
    after = {name: row["opened"] for name, row in scene.servers(cluster=cluster).items()}
    opened = {name: after[name] - before[name] for name in WEIGHTS}
    total = sum(opened.values())
    assert total >= count
    for name, weight in WEIGHTS.items():
        assert opened[name] / total == pytest.approx(weight / 60, rel=0.03), opened


def _family(cluster: Address) -> socket.AddressFamily:
    return socket.AF_INET if cluster.version == 4 else socket.AF_INET6


@pytest.mark.parametrize("size", [32, 100 * MEGABYTE], ids=["32 bytes", "100 MB"])
@families
def test_what_is_sent_arrives_unchanged(scene: Scene, cluster: Address, size: int) -> None:
    data = os.urandom(32) * (size // 32)

    def send() -> bytes:
        with socket.create_connection((str(cluster), DIGEST), timeout=DEADLINE) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return connection.makefile("rb").read()

    assert scene.client.call(send).decode() == hashlib.sha256(data).hexdigest()


@families
def test_what_is_fetched_arrives_unchanged(scene: Scene, cluster: Address) -> None:
    data = os.urandom(MEGABYTE)
    for web in scene.webs.values():
        with (web.files / "large").open("wb") as file:
            file.writelines([data] * 100)
    url = requests.url(cluster, path="/files/large")
    got = scene.client.directory / "large"
    scene.client.run(["curl", "-sSfg", "-o", str(got), "--max-time", "60", url], timeout=90)
    with got.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    assert found == hashlib.sha256(data * 100).hexdigest()
    got.unlink()


@families
def test_datagrams_are_echoed_by_one_server_each_flow(scene: Scene, cluster: Address) -> None:
    names: set[bytes] = set()

    def talk() -> None:
        for flow in range(64):
            with socket.socket(_family(cluster), socket.SOCK_DGRAM) as sender:
                sender.settimeout(DEADLINE)
                sender.connect((str(cluster), CONVERSATION))
                servers = set()
                for number in range(5):
                    sent = b"flow%d %d %s" % (flow, number, os.urandom(600).hex().encode())
                    sender.send(sent)
                    server, _, rest = sender.recv(65536).partition(b" ")
                    assert rest == sent
                    servers.add(server)
                assert len(servers) == 1
                names.update(servers)

    scene.client.call(talk)
    assert names == {b"a", b"b", b"c"}


def test_a_server_whose_mac_changes_goes_on(scene: Scene) -> None:
    server = scene.standing.servers["c"]
    old, new = server.interface("eth0").mac, Mac.parse("02:00:00:00:07:77")
    assert scene.servers()["c"]["mac"] == str(old)
    opened = scene.servers()["c"]["opened"]
    server.ip("link", "set", "dev", "eth0", "address", str(new))
    try:
        eventually(lambda: scene.servers()["c"]["mac"] == str(new), "the new MAC is in the map")
        assert scene.fetch(60)["c"] > 0
        assert scene.fetch(60, SIX)["c"] > 0
        assert scene.servers()["c"]["opened"] > opened
        unsettled = [service["unsettled"] for service in scene.ask("status")["services"]]
        assert set(unsettled) == {0}, "no slot changed hands for it"
    finally:
        server.ip("link", "set", "dev", "eth0", "address", str(old))
    eventually(lambda: scene.servers()["c"]["mac"] == str(old), "the old MAC is back")
    assert f"mac={new}" in scene.said().replace("'", "")


def test_a_server_that_goes_away_gets_no_new_flows_until_it_is_back(scene: Scene) -> None:
    server = scene.standing.servers["b"]
    server.ip("link", "set", "dev", "eth0", "down")
    try:
        eventually(lambda: scene.servers()["b"]["weight"] == 0, "the server is out")
        row = scene.servers()["b"]
        assert row["share"] == 0
        assert row["reason"] == "192.0.2.22 does not answer ARP on eth0"
        assert row["configured_weight"] == 20
        assert row["mac"] is not None, "its old flows have where to go"
        assert scene.fetch(60).keys() == scene.fetch(60, SIX).keys() == {"a", "c"}
    finally:
        server.ip("link", "set", "dev", "eth0", "up")
        server.ip("-6", "address", "replace", "2001:db8::22/64", "dev", "eth0", "nodad")
    eventually(lambda: scene.servers()["b"]["weight"] == 20, "the server is back")
    assert scene.servers()["b"]["reason"] is None
    assert scene.servers()["b"]["share"] == pytest.approx(1 / 3, abs=0.01)
    assert scene.fetch(60).keys() == scene.fetch(60, FOUR).keys() == WEIGHTS.keys()


def test_an_interface_that_goes_down_and_up_again_is_gone_on_with(scene: Scene) -> None:
    assert scene.process is not None
    scene.dispatcher.ip("link", "set", "dev", "eth0", "down")
    try:
        eventually(lambda: scene.servers()["a"]["weight"] == 0, "the servers are out of reach")
        assert scene.carried() is not None
    finally:
        scene.dispatcher.ip("link", "set", "dev", "eth0", "up")
        scene.dispatcher.ip("address", "replace", "2001:db8::2/64", "dev", "eth0", "nodad")
    eventually(lambda: [r["weight"] for r in scene.servers().values()] == [10, 20, 30], "all back")
    assert scene.process.status is None
    assert scene.fetch(60).keys() == scene.fetch(60, SIX).keys() == WEIGHTS.keys()


def test_the_dispatchers_own_traffic_is_left_alone(scene: Scene) -> None:
    """A ping to its own address, and a connection to a port where nothing listens."""
    scene.client.run(["ping", "-n", "-c1", "-W5", "192.0.2.2"])
    scene.client.run(["ping", "-n", "-c1", "-W5", "2001:db8::2"])

    def refused() -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("192.0.2.2", 80), timeout=DEADLINE)

    scene.client.call(refused)


def test_the_dispatchers_own_requests_get_nowhere(scene: Scene) -> None:
    """The program sees frames that come in; nobody answers the host's question for the address."""

    def refused() -> None:
        with pytest.raises(OSError, match="No route to host"):
            socket.create_connection((str(FOUR), 80), timeout=DEADLINE)

    scene.dispatcher.call(refused)


@families
def test_a_ping_to_a_cluster_address_is_answered(scene: Scene, cluster: Address) -> None:
    scene.client.run(["ping", "-n", "-c2", "-i0.1", "-W5", str(cluster)])
