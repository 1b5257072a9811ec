"""What goes to a server that is to be avoided: its own flows, and nothing that might be another's.

Server A has all slots of a service until it is down, or quiesced at once; then B has them.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from shunt.dispatcher.sweep import sweep
from shunt.dispatcher.wishes import Flag, Wish
from shunt.model.addresses import Mac
from shunt.model.config import Protocol, Sticky
from tests.bpf.flows import ACK, FIN, RST, SYN, Flow
from tests.bpf.segment import BY_MAC, V4, WEB, A, B, C
from tests.bpf.world import World, service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

pytestmark = pytest.mark.bpf

CLUSTER = IPv4Address(V4.cluster(WEB))
TCP, UDP = Protocol.TCP, Protocol.UDP
AVOIDED = Flag.READY | Flag.AVOID
DOWN = AVOIDED | Flag.DOWN
RATE, MANY = 5, 100


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World.made(tmp_path_factory.mktemp("avoided")) as made:
        yield made


class Site:
    """A service on three servers; `has` gives all its slots to one of them."""

    def __init__(self, world: World, protocol: Protocol, **options: Any) -> None:
        self.world, self.protocol = world, protocol
        self.service = service(str(CLUSTER), 80, protocol, **options)

    def wish(self, taker: str, flags: Flag = Flag.READY) -> Wish:
        """Return the wish that `taker` has the slots; `flags` are server A's."""
        a = A.claim(int(taker == "s1"), flags=flags)
        return Wish(self.service, (a, B.claim(int(taker == "s2")), C.claim(int(taker == "s3"))))

    def has(self, taker: str, flags: Flag = Flag.READY) -> None:
        self.world.balancer.apply([self.wish(taker, flags)])

    def flow(self, number: int, client: str = "198.51.100.7") -> Flow:
        return Flow(self.protocol, IPv4Address(client), 1024 + number, CLUSTER, 80)

    def flows(self, count: int = MANY, first: int = 0) -> list[Flow]:
        return [self.flow(first + number) for number in range(count)]

    def server(self, flow: Flow, flags: int = ACK) -> str:
        """Send a packet; return the name of the server that it went to, or its cause."""
        sent = self.world.send(flow.frame(flags))
        return BY_MAC[Mac(sent.frame[:6])].name if sent.cause == "forwarded" else sent.cause

    def servers(self, flows: Iterable[Flow], flags: int = ACK) -> set[str]:
        return {self.server(flow, flags) for flow in flows}


def stored(world: World, name: str) -> int:
    return len(world.plane.maps[name].items()[0])


@pytest.mark.parametrize("flags", [DOWN, AVOIDED])
def test_connections_beyond_the_rate_are_not_sent_there(world: World, flags: Flag) -> None:
    site = Site(world, TCP)
    site.has("s1")
    old = site.flows(first=20_000)
    assert site.servers(old, SYN) == {"s1"}
    site.has("s2", flags)
    live = site.flows(first=30_000)
    assert site.servers(live, SYN) == {"s2"}
    world.settings(exceptions_rate=0)
    assert site.servers(site.flows(), SYN) == {"s2"}
    assert stored(world, "flows") == MANY, "a flood of them pushes no live flow out"
    assert site.servers(site.flows()) == {"s2"}
    assert site.servers(live) == {"s2"}
    assert site.servers(old) == {"s1"}


def test_a_connection_beyond_the_rate_is_admitted_with_its_next_packet(world: World) -> None:
    site = Site(world, TCP)
    site.has("s1")
    site.has("s2", DOWN)
    world.settings(exceptions_rate=0)
    assert site.servers(site.flows(), SYN) == {"s2"}
    world.settings(exceptions_rate=RATE)
    world.wait(2)
    assert site.servers(site.flows(), SYN) == {"s2"}
    assert stored(world, "flows") == 0, "a SYN sent again proves nothing"
    world.wait(2)
    assert site.servers(site.flows()) == {"s2"}
    assert stored(world, "flows") >= RATE
    assert stored(world, "flows") + stored(world, "newcomers") == MANY
    site.has("s1")
    assert site.servers(site.flows()) == {"s2"}, "also when the server is back"
    world.wait(400)
    sweep(world.balancer)
    assert stored(world, "newcomers") == 0


@pytest.mark.parametrize("flags", [ACK, FIN | ACK, RST])
def test_a_newcomer_that_is_admitted_has_been_heard_just_now(world: World, flags: int) -> None:
    """Not when it was refused: it would be forgotten too early."""
    site = Site(world, TCP)
    site.has("s1")
    site.has("s2", DOWN)
    world.settings(exceptions_rate=0)
    assert site.server(site.flow(0), SYN) == "s2"
    world.settings(exceptions_rate=RATE)
    site.has("s3", DOWN)
    world.wait(200)
    assert site.server(site.flow(0), flags) == "s2"
    (flow,) = world.plane.maps["flows"].items()[1]
    assert (flow["seen"], flow["closed"]) == (world.plane.now(), flags != ACK)
    world.wait(101)
    assert sweep(world.balancer).forgotten == 0
    assert site.server(site.flow(0)) == "s2"


def test_what_was_remembered_for_a_service_that_is_gone_hides_no_newcomer(world: World) -> None:
    site = Site(world, TCP)
    site.has("s1")
    site.has("s3")
    assert site.servers(site.flows(), SYN) == {"s3"}
    world.balancer.apply([])
    site.has("s1")
    site.has("s2", DOWN)
    world.settings(exceptions_rate=0)
    assert site.servers(site.flows(), SYN) == {"s2"}
    assert site.servers(site.flows()) == {"s2"}


def test_clients_do_not_use_up_the_rate_of_flows(world: World) -> None:
    plain, sticky = Site(world, TCP), service(str(CLUSTER), 443, sticky=Sticky(1000))
    for taker, flags in (("s1", Flag.READY), ("s2", AVOIDED)):
        settled = Wish(sticky, (A.claim(), B.claim(0), C.claim(0)))
        world.balancer.apply([plain.wish(taker, flags), settled])
    world.settings(exceptions_rate=2 * MANY)
    world.wait(2)
    for number in range(3 * MANY):
        client = IPv4Address("203.0.113.0") + number
        world.send(Flow(TCP, client, 5000, CLUSTER, 443).frame(SYN))
    assert stored(world, "affinities") >= 2 * MANY
    assert plain.servers(plain.flows(), SYN) == {"s2"}
    assert stored(world, "newcomers") == 0


def test_a_connection_that_a_dead_server_had_begins_anew_elsewhere(world: World) -> None:
    """It was remembered on B, and B died before it answered."""
    site = Site(world, TCP)
    site.has("s2")
    site.has("s1")
    assert site.server(site.flow(0), SYN) == "s1"
    assert site.server(site.flow(1), SYN) == "s1"
    site.has("s3", DOWN)
    assert site.server(site.flow(0)) == "s1"
    assert site.server(site.flow(1), SYN) == "s3"
    assert site.server(site.flow(1)) == "s3"


# UDP.


def test_unknown_udp_does_not_go_to_a_dead_server(world: World) -> None:
    site = Site(world, UDP, udp_idle=60)
    site.has("s2")
    site.has("s1")
    known = site.flows(first=20_000)
    world.wait(70)
    assert site.servers(known) == {"s1"}
    site.has("s3", DOWN)
    world.wait(10)
    assert site.servers(known) == {"s1"}, "its own: on_down says keep"


def test_new_udp_flows_leave_a_dead_server_for_good(world: World) -> None:
    site = Site(world, UDP, udp_idle=60)
    site.has("s1")
    site.has("s2", DOWN)
    world.wait(50)
    assert site.servers(site.flows()) == {"s2"}
    site.has("s1")
    assert site.servers(site.flows()) == {"s2"}, "they live there now"


def test_beyond_the_rate_they_do_too(world: World) -> None:
    site = Site(world, UDP, udp_idle=60)
    site.has("s1")
    site.has("s2", DOWN)
    world.settings(exceptions_rate=0)
    assert site.servers(site.flows()) == {"s2"}
    site.has("s1")
    assert site.servers(site.flows()) == {"s2"}


def test_where_there_is_no_other_server_they_go_to_it(world: World) -> None:
    """The check may err, and to send nothing helps nobody."""
    site = Site(world, UDP)
    site.has("s1")
    site.has("none", DOWN)
    assert site.servers(site.flows()) == {"s1"}


def test_live_udp_flows_stay_with_a_server_that_is_only_quiesced(world: World) -> None:
    site = Site(world, UDP, udp_idle=60)
    site.has("s1")
    assert site.servers(site.flows()) == {"s1"}
    site.has("s2", AVOIDED)
    for _ in range(4):
        world.wait(40)
        assert site.servers(site.flows()) == {"s1"}
    assert site.servers(site.flows(first=20_000)) == {"s2"}


def test_live_udp_flows_that_may_not_be_remembered_keep_their_server(world: World) -> None:
    site = Site(world, UDP, udp_idle=60)
    site.has("s1")
    assert site.servers(site.flows()) == {"s1"}
    world.settings(exceptions_rate=0)
    site.has("s2")
    for _ in range(4):
        world.wait(40)
        assert site.servers(site.flows()) == {"s1"}
    world.settings(exceptions_rate=1 << 20)
    for _ in range(4):
        world.wait(40)
        assert site.servers(site.flows()) == {"s1"}
    assert site.servers(site.flows(first=20_000)) == {"s2"}


def test_new_udp_flows_that_may_not_be_remembered_keep_theirs_at_the_next_change(
    world: World,
) -> None:
    site = Site(world, UDP, udp_idle=60)
    site.has("s1")
    site.has("s2")
    world.wait(70)
    world.settings(exceptions_rate=0)
    assert site.servers(site.flows()) == {"s2"}
    site.has("s3")
    assert site.servers(site.flows()) == {"s2"}


# UDP with affinity.


def test_a_client_of_a_dead_server_sends_new_udp_flows_elsewhere(world: World) -> None:
    site = Site(world, UDP, udp_idle=60, sticky=Sticky(1000))
    site.has("s1")
    assert site.server(site.flow(0)) == "s1"
    site.has("s2", DOWN)
    for number in range(1, 5):
        assert site.server(site.flow(number)) == "s2"
    world.wait(70)
    assert site.server(site.flow(5)) == "s2"
    site.has("s1")
    assert site.servers(site.flows(5, first=1)) == {"s2"}
    assert site.server(site.flow(6)) == "s2", "the client's affinity is to the other server now"


def test_a_clients_live_udp_flows_finish_on_a_server_that_is_quiesced_at_once(
    world: World,
) -> None:
    site = Site(world, UDP, udp_idle=60, sticky=Sticky(1000))
    site.has("s1")
    assert site.server(site.flow(0)) == "s1"
    site.has("s2", AVOIDED)
    for number in range(4):
        world.wait(40)
        assert site.server(site.flow(0)) == "s1"
        assert site.server(site.flow(1 + number)) == ("s1" if number < 1 else "s2")


def test_its_live_udp_flows_stay_when_they_may_not_be_remembered(world: World) -> None:
    site = Site(world, UDP, udp_idle=60, sticky=Sticky(1000))
    site.has("s1")
    assert site.server(site.flow(0)) == "s1"
    site.has("s2", AVOIDED)
    world.settings(exceptions_rate=0)
    for _ in range(4):
        world.wait(40)
        assert site.server(site.flow(0)) == "s1"


# Services that share affinities.


def test_a_server_that_is_down_for_one_port_keeps_the_flows_of_the_other(world: World) -> None:
    """Port 80 says `move`, and 443 goes on."""
    both = [service(str(CLUSTER), p, sticky=Sticky(1000, cross=(523 - p,))) for p in (80, 443)]
    client = [Flow(TCP, IPv4Address("198.51.100.7"), 5000, CLUSTER, port) for port in (80, 443)]
    site = Site(world, TCP)

    def serve(weight: int, flags: Flag = Flag.READY) -> None:
        world.balancer.apply([
            Wish(both[0], (A.claim(weight, flags=flags), B.claim(1 - weight))),
            Wish(both[1], (A.claim(), B.claim(1 - weight))),
        ])  # fmt: skip

    serve(1)
    assert site.servers(client, SYN) == {"s1"}
    serve(0, DOWN | Flag.MOVE)
    assert [site.server(flow) for flow in client] == ["s2", "s1"]
    sweep(world.balancer)
    assert [site.server(flow) for flow in client] == ["s2", "s1"]
    assert site.server(Flow(TCP, client[0].client, 5001, CLUSTER, 80), SYN) == "s2"
    assert site.server(Flow(TCP, client[0].client, 5001, CLUSTER, 443), SYN) == "s2"
    assert [site.server(flow) for flow in client] == ["s2", "s1"]
