"""Other shapes of the network: a server behind another interface, one family, generic mode."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shunt.lab import nginx, topology
from shunt.lab.topology import let_transmit
from tests.dispatcher.scene import FOUR, OWN, SIX, Scene, configuration, eventually, start_endpoints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.host import Host
    from shunt.lab.topology import Topology
    from shunt.model.addresses import Address

pytestmark = [pytest.mark.lab, pytest.mark.bpf]
FAR = "198.51.100.24"
ADDRESSES = {**OWN, "d": FAR}


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Scene]:
    """A fourth server, `d`, stands behind the dispatcher's eth1, and answers by a way of its own.

    client ---- lan ---- dispatcher (eth0) (eth1) ---- back ---- (eth0) d (eth1) ---- lan
    """
    with Scene.made() as made:
        lab = made.lab
        lab.segment("back")
        lab.join(made.dispatcher, "back", interface="eth1", addresses=["198.51.100.2/24"])
        let_transmit(lab, made.dispatcher, "eth1")
        far = lab.host("d")
        lab.join(far, "back", addresses=[f"{FAR}/24"], mac="02:00:00:00:00:24")
        lab.join(far, "lan", interface="eth1", addresses=["192.0.2.24/24", "2001:db8::24/64"])
        topology.prepare(far)
        nginx.start(far, [(FOUR, 80), (SIX, 80)])
        start_endpoints(far, "d")
        yield made


@pytest.fixture
def scene(laboratory: Scene) -> Iterator[Scene]:
    yield laboratory
    laboratory.down()


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_a_server_behind_another_interface_gets_its_share(scene: Scene, mode: str) -> None:
    weights = {"a": 10, "b": 10, "c": 10, "d": 10}
    scene.up(
        configuration(weights, addresses=ADDRESSES, dispatcher=f"interface: eth0\n  mode: {mode}")
    )
    status = scene.ask("status")
    assert {name: link["mode"] for name, link in status["interfaces"].items()} == {"eth0": mode}
    back = scene.dispatcher.interface("eth1").counters.tx_packets
    for cluster in (FOUR, SIX):
        answers = scene.fetch(80, cluster)
        assert answers.keys() == weights.keys()
        assert answers["d"] >= 5
    rows = scene.servers()
    assert (rows["d"]["mac"], rows["d"]["address"]) == ("02:00:00:00:00:24", FAR)
    sent = scene.dispatcher.interface("eth1").counters.tx_packets - back
    assert sent >= rows["d"]["packets"] > 0
    causes = {name: found["packets"] for name, found in scene.ask("status")["causes"].items()}
    assert {name for name, count in causes.items() if count and name.startswith("dropped")} == set()


def test_requests_may_come_in_by_either_interface(scene: Scene) -> None:
    """Server `d` stands where the requests come from now, and the others are elsewhere."""
    weights = {"a": 10, "d": 10}
    text = configuration(weights, addresses=ADDRESSES, dispatcher="interface: [eth0, eth1]")
    scene.up(text)
    guest = scene.lab.host("guest")
    scene.lab.join(guest, "back", addresses=["198.51.100.9/24"])
    for name in weights:
        scene.lab.hosts[name].route("198.51.100.9/32", via="192.0.2.2")
    scene.dispatcher.sysctl("net.ipv4.ip_forward", "1")
    guest.route(f"{FOUR}/32", dev="eth0")
    home, scene.standing = scene.standing, _with_client(scene, guest)
    try:
        assert scene.fetch(40).keys() == weights.keys()
    finally:
        scene.standing = home
        scene.dispatcher.sysctl("net.ipv4.ip_forward", "0")
    assert scene.fetch(40).keys() == weights.keys()


def _with_client(scene: Scene, client: Host) -> Topology:
    return replace(scene.standing, client=client)


def test_a_cluster_with_ipv6_alone(scene: Scene) -> None:
    six = {name: f"2001:db8::{number}" for name, number in zip("abc", (21, 22, 23), strict=True)}
    scene.up(configuration(dict.fromkeys("abc", 10), clusters=(SIX,), addresses=six))
    assert scene.fetch(60, SIX).keys() == set("abc")
    row = scene.servers(cluster=SIX)["a"]
    assert (row["address"], row["mac"]) == ("2001:db8::21", "02:00:00:00:00:21")
    assert {s["address"] for s in scene.ask("status")["services"]} == {str(SIX)}
    assert scene.client.run(["ping", "-c1", "-W1", str(FOUR)], check=False).status != 0


def test_every_port_and_every_cluster(scene: Scene) -> None:
    """A named port goes to `a`, every other one of the address to `b`, other addresses to `c`."""
    other = type(FOUR)("192.0.2.99")
    for server in scene.standing.servers.values():
        server.ip("address", "replace", f"{other}/32", "dev", "lo")
    scene.client.ip("route", "replace", f"{other}/32", "via", "192.0.2.2")
    scene.up(
        f"dispatcher: {{interface: eth0}}\n"
        f"clusters:\n"
        f"  web:\n    address: {FOUR}\n"
        f"    ports: [{{port: 9, servers: [a]}}, {{port: any, servers: [b]}}]\n"
        f"  rest: {{address: 0.0.0.0, ports: [{{port: 7, protocol: udp, servers: [c]}}]}}\n"
        f"servers:\n" + "".join(f"  {n}: {{address: {OWN[n]}}}\n" for n in "abc")
    )
    assert scene.fetch(20) == {"b": 20}
    rows = scene.servers(port=0)
    assert rows["b"]["opened"] == 20
    scene.client.call(lambda: send_datagram(other, 7))
    eventually(
        lambda: scene.servers(port=7, cluster=type(FOUR)("0.0.0.0"))["c"]["packets"] == 1,
        "a datagram for another address reaches c",
    )
    scene.client.run(["ping", "-n", "-c1", "-W5", "192.0.2.2"])
    scene.dispatcher.ip("address", "add", f"{other}/32", "dev", "eth0")
    with scene.dispatcher.call(lambda: listening(other, 7)) as own:

        def heard() -> bool:
            scene.client.call(lambda: send_datagram(other, 7))
            with contextlib.suppress(TimeoutError):
                return own.recv(100) == b"x 0"
            return False

        eventually(heard, "what is for an address that the host has got meanwhile reaches the host")


def listening(address: Address, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((str(address), port))
    made.settimeout(0.1)
    return made


def send_datagram(address: Address, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x 0", (str(address), port))
