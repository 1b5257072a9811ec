"""A service comes beside the one for every port, or for any cluster: its flows stay."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest

from shunt.dispatcher.balancer import Balancer
from shunt.dispatcher.sweep import sweep
from shunt.dispatcher.wishes import Flag, Wish
from shunt.model.addresses import Mac
from shunt.model.config import Protocol, Sticky
from tests.bpf.flows import ACK, SYN, Flow
from tests.bpf.segment import BY_MAC, A, B, C
from tests.bpf.world import World, service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shunt.dispatcher.ledger import Placed
    from shunt.model.addresses import Address
    from shunt.model.config import Service

pytestmark = pytest.mark.bpf

TCP, UDP = Protocol.TCP, Protocol.UDP
V4, V6 = IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10")
CLIENTS: dict[int, Address] = {4: IPv4Address("198.51.100.7"), 6: IPv6Address("2001:db8:c::7")}
PORTS = (80, 81)
MANY = 40
PLENTY = 1 << 20


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World.made(tmp_path_factory.mktemp("heirs")) as made:
        for cluster in (V4, V6):
            made.address(str(cluster), "CLUSTER", "ACTIVE")
        yield made


class Crowd:
    """Flows to two ports: of the elder, exceptions, and newcomers; and where they are."""

    def __init__(self, world: World, wide: Service, cluster: Address) -> None:
        self.world, self.wide, self.cluster = world, wide, cluster
        self.where: dict[Flow, str] = {}
        self.apply((1, 0, 0))
        self.open(1000)
        self.apply((0, 1, 0))
        self.open(2000)
        self.apply((0, 0, 1), Flag.READY | Flag.AVOID)
        if wide.protocol is TCP:
            world.settings(exceptions_rate=0)
            self.open(3000)
            world.settings(exceptions_rate=PLENTY)
        self.stay()

    def wish(self, its: Service, weights: tuple[int, int, int], flags: Flag = Flag.READY) -> Wish:
        a, b, c = weights
        return Wish(its, (A.claim(a, flags=flags), B.claim(b), C.claim(c)))

    def apply(self, weights: tuple[int, int, int], flags: Flag = Flag.READY) -> None:
        self.now = self.wish(self.wide, weights, flags)
        self.world.balancer.apply([self.now])

    def send(self, flow: Flow, flags: int) -> str:
        return BY_MAC[Mac(self.world.send(flow.frame(flags)).frame[:6])].name

    def open(self, first: int) -> None:
        for port in (self.wide.port,) if self.wide.port else PORTS:
            for number in range(first, first + MANY):
                client = CLIENTS[self.cluster.version]
                flow = Flow(self.wide.protocol, client, number, self.cluster, port)
                self.where[flow] = self.send(flow, SYN)

    def stay(self) -> None:
        assert len(set(self.where.values())) > 1 or self.wide.protocol is UDP
        assert {flow: self.send(flow, ACK) for flow in self.where} == self.where

    def heir(self, address: Address, port: int) -> Wish:
        return replace(self.now, service=replace(self.wide, address=address, port=port))


WIDER = [
    (service(str(V4), 0), V4),
    (service(str(V4), 0, UDP), V4),
    (service(str(V6), 0), V6),
]


@pytest.mark.parametrize(("wide", "cluster"), WIDER)
def test_every_flow_stays(world: World, wide: Service, cluster: Address) -> None:
    crowd = Crowd(world, wide, cluster)
    world.balancer.apply([crowd.now, crowd.heir(cluster, 80)])
    crowd.stay()
    world.wait(2)
    sweep(world.balancer)
    crowd.stay()
    heir = next(p for p in world.balancer.placed.values() if p.place[2] == 80)
    of_heir = world.plane.maps["flows"].items()[1]["service"] == heir.number
    assert of_heir.sum() >= MANY
    assert heir.before == 0


@pytest.mark.parametrize("weights", [(0, 0, 1), (1, 1, 1), (1, 0, 0)])
def test_also_if_it_has_other_weights(world: World, weights: tuple[int, int, int]) -> None:
    crowd = Crowd(world, service(str(V4), 0), V4)
    exact = crowd.heir(V4, 80).service
    world.balancer.apply([crowd.now, crowd.wish(exact, weights)])
    crowd.stay()


def test_also_for_those_who_have_left(world: World) -> None:
    crowd = Crowd(world, service(str(V4), 0), V4)
    left = replace(crowd.now, claims=crowd.now.claims[1:])
    world.balancer.apply([left])
    crowd.stay()
    world.balancer.apply([left, replace(left, service=crowd.heir(V4, 80).service)])
    crowd.stay()


class Slow(Balancer):
    """Lets packets come before a service has taken its flows over, and before each is written."""

    between: Callable[[], None] | None = None

    def _adopt(self, placed: Placed) -> None:
        if self.between is not None:
            self.between()
        super()._adopt(placed)


def test_also_while_they_are_taken_over(world: World) -> None:
    crowd = Crowd(world, service(str(V4), 0), V4)
    world.balancer = balancer = Slow(world.plane)
    balancer.between = crowd.stay
    balancer.apply([crowd.now, crowd.heir(V4, 80)])
    crowd.stay()


class KilledError(Exception):
    """The daemon was killed."""


def test_also_if_the_daemon_is_killed_meanwhile(world: World) -> None:
    crowd = Crowd(world, service(str(V4), 0), V4)
    world.balancer = balancer = Slow(world.plane)

    def killed() -> None:
        raise KilledError

    balancer.between = killed
    both = [crowd.now, crowd.heir(V4, 80)]
    with pytest.raises(KilledError):
        balancer.apply(both)
    crowd.stay()
    world.restart()
    crowd.stay()
    world.balancer.apply(both)
    assert all(placed.before == 0 for placed in world.balancer.placed.values())
    crowd.stay()


def test_a_cluster_beside_the_service_for_any_cluster(world: World) -> None:
    named, other = IPv4Address("192.0.2.77"), IPv4Address("192.0.2.78")
    crowd = Crowd(world, service("0.0.0.0", 80), named)
    elsewhere = [replace(flow, cluster=other) for flow in crowd.where]
    went = {flow: crowd.send(flow, ACK) for flow in elsewhere}
    world.balancer.apply([crowd.now, crowd.heir(named, 80)])
    crowd.stay()
    assert {flow: crowd.send(flow, ACK) for flow in elsewhere} == went


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("restart", [False, True])
def test_affinity_begins_anew(world: World, wide: bool, restart: bool) -> None:
    """Its slots are of clients, not of flows: nothing can be taken over."""
    sticky = {True: Sticky(60), False: None}
    one = Wish(service(str(V4), 0, sticky=sticky[wide]), (A.claim(), B.claim()))
    other = Wish(service(str(V4), 80, sticky=sticky[not wide]), (A.claim(), B.claim()))
    world.balancer.apply([one])
    if restart:
        world.restart()
    world.balancer.apply([one, other])
    heir = next(p for p in world.balancer.placed.values() if p.place[2] == 80)
    assert heir.before == 0
    assert len(world.balancer.tables) == 2
