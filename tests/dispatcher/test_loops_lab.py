"""No frame goes round for ever: what a server sends back is dropped, told, and checked at once.

Each test sends a handful of packets, and counts what the dispatcher did with them.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from shunt.dispatcher.control import request
from shunt.dispatcher.places import places
from shunt.lab import daemon, topology
from tests.dispatcher.scene import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.lab.daemon import Daemon
    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from shunt.lab.topology import Topology

pytestmark = [pytest.mark.lab, pytest.mark.bpf]
FOUR, SIX = topology.CLUSTERS
SENT = 5


@pytest.fixture
def standing(lab: Lab) -> Topology:
    return topology.build(lab, {"a": 10})


def configured(server: str = "192.0.2.21", advisor: str = "") -> str:
    """Return a file with datagrams to port 53 for one server, and pages if they are checked."""
    web = f"      - {{port: 80, servers: [s], {advisor}}}\n" if advisor else ""
    return (
        "dispatcher: {interface: eth0}\n"
        "clusters:\n"
        "  web:\n"
        f'    address: ["{FOUR}", "{SIX}"]\n'
        "    ports:\n"
        "      - {port: 53, protocol: udp, servers: [s]}\n"
        f"{web}"
        f"servers: {{s: {{address: {server}}}}}\n"
    )


def send(host: Host, address: Any = FOUR, *, hops: int = 64, source: str | None = None) -> None:
    """Send datagrams to the cluster address."""

    def body() -> None:
        six = address.version == 6
        kind = socket.AF_INET6 if six else socket.AF_INET
        with socket.socket(kind, socket.SOCK_DGRAM) as sender:
            if six:
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
            else:
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
            if source:
                sender.bind((source, 0))
            for number in range(SENT):
                sender.sendto(b"question %d" % number, (str(address), 53))

    host.call(body)


def status(running: Daemon) -> dict[str, Any]:
    """Ask the daemon itself: the command would take a second each time."""
    found: dict[str, Any] = request(places(running.root).socket, "status")
    return found


def causes(running: Daemon) -> dict[str, int]:
    found = status(running)["causes"]
    return {name: cause["packets"] for name, cause in found.items() if cause["packets"]}


def counted(running: Daemon, cause: str, packets: int) -> Callable[[], bool]:
    return lambda: causes(running).get(cause, 0) >= packets


def resolved(running: Daemon) -> bool:
    return all(row["mac"] for s in status(running)["services"] for row in s["servers"])


def let_forward(server: Host) -> None:
    """Make a server a router without the alias, as each host of containers is."""
    for family in ("ipv4", "ipv6"):
        server.sysctl(f"net.{family}.conf.all.forwarding", "1")
    server.sysctl("net.ipv4.conf.all.send_redirects", "0")
    server.sysctl("net.ipv4.conf.eth0.send_redirects", "0")


@pytest.mark.parametrize("cluster", topology.CLUSTERS, ids=["IPv4", "IPv6"])
def test_a_forwarding_server_without_the_alias_sends_each_packet_back_once(
    standing: Topology, cluster: Any
) -> None:
    let_forward(standing.servers["a"])
    running = daemon.start(standing.dispatcher, configured())
    eventually(lambda: resolved(running), "the server's MAC is known")
    send(standing.client, cluster)
    eventually(counted(running, "dropped_loop", SENT), "what came back was dropped")
    found = causes(running)
    assert (found["forwarded"], found["dropped_loop"]) == (SENT, SENT)
    eventually(lambda: status(running)["diagnoses"] != [], "it is told")
    (diagnosis,) = status(running)["diagnoses"]
    assert (diagnosis["kind"], diagnosis["servers"]) == ("request_loop", ["s"])
    shown = " ".join(running.shunt("status").stdout.split())
    assert "server s sends requests back" in shown
    assert "is the cluster address on its loopback?" in shown
    assert status(running)["events"]["requestLoop"] == 1
    assert running.process.output().count("a server sends requests back") == 1


def test_a_server_that_sends_requests_back_is_checked_at_once(standing: Topology) -> None:
    """It is checked once an hour, and was up: the loop, and nothing else, finds that it is not."""
    server = standing.servers["a"]
    topology.prepare(server)
    listener = server.start(["python3", "-m", "http.server", "80", "--bind", "::"])
    eventually(
        lambda: server.run(["ss", "-Hltn", "sport", "=", "80"]).stdout != "", "somebody listens"
    )
    advisor = "advisor: {type: http, interval: 1h, connect_timeout: 300ms}"
    running = daemon.start(standing.dispatcher, configured(advisor=advisor))

    def up() -> set[bool]:
        return {
            row["up"] for each in status(running)["health"]["services"].values()
            for row in each["servers"].values() if row["checked"]
        }  # fmt: skip

    eventually(lambda: up() == {True}, "the server was found up")
    assert listener.status is None
    let_forward(server)
    topology.drop_alias(server)
    standing.client.call(_try_to_connect)
    eventually(lambda: False in up(), "it is found down long before the hour is over")
    assert causes(running)["dropped_loop"] > 0


def _try_to_connect() -> None:
    for _ in range(3):
        with socket.socket() as trying:
            trying.settimeout(0.2)
            with pytest.raises(TimeoutError):
                trying.connect((str(FOUR), 80))


def test_two_dispatchers_that_are_each_others_servers_do_not_play_ball(standing: Topology) -> None:
    """The second one knows the frame for its own server's, even with one hop left to go."""
    lab, first, second = standing.lab, standing.dispatcher, standing.servers["a"]
    topology.let_transmit(lab, second)
    one = daemon.start(first, configured())
    two = daemon.start(second, configured("192.0.2.2"))
    eventually(lambda: resolved(one) and resolved(two), "each knows the other")
    mac = str(first.interface("eth0").mac)
    standing.client.ip(
        "neighbour", "replace", str(FOUR), "lladdr", mac, "dev", "eth0", "nud", "permanent"
    )
    send(standing.client, hops=1)
    eventually(counted(two, "dropped_loop", SENT), "the frames end there")
    assert causes(one)["forwarded"] == SENT
    assert "forwarded" not in causes(two)
    eventually(lambda: status(two)["diagnoses"] != [], "it is told there")


def test_by_a_second_interface_a_packet_comes_back_as_often_as_it_has_hops(
    standing: Topology,
) -> None:
    """Another MAC than the one that it was sent to: nobody can tell, but each hop counts."""
    lab, server, hops = standing.lab, standing.servers["a"], 7
    lab.join(server, topology.SEGMENT, interface="eth1", mac="02:00:00:00:00:91")
    server.ip("address", "add", "192.0.2.91/24", "dev", "eth1")
    server.ip("route", "add", f"{FOUR}/32", "dev", "eth1")
    topology.silence(server)  # else it answers for its address by both
    let_forward(server)
    running = daemon.start(standing.dispatcher, configured())
    eventually(lambda: resolved(running), "the server's MAC is known")
    send(standing.client, hops=hops)
    eventually(counted(running, "forwarded", SENT * hops), "it came back with each hop but one")
    assert causes(running)["forwarded"] == SENT * hops
    assert "dropped_loop" not in causes(running)


def test_a_server_that_asks_for_its_own_service_is_no_loop(standing: Topology) -> None:
    """Its kernel does not hold the address, so its requests come here; they cannot go back."""
    server = standing.servers["a"]
    running = daemon.start(standing.dispatcher, configured())
    eventually(lambda: resolved(running), "the server's MAC is known")
    send(server, source="192.0.2.21")
    eventually(counted(running, "dropped_own", SENT), "they were dropped")
    assert status(running)["diagnoses"] == []
    assert status(running)["events"]["requestLoop"] == 0
