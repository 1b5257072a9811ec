"""Affinities that services share, when the services come and go."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from shunt.dispatcher.sweep import sweep
from shunt.dispatcher.wishes import Wish
from shunt.model.config import Protocol, Sticky
from tests.bpf.flows import ACK, RST, SYN, Flow
from tests.bpf.segment import V4, WEB, A, B, C
from tests.bpf.world import Server, World, service

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.bpf

CLUSTER = IPv4Address(V4.cluster(WEB))
CLIENT = IPv4Address("198.51.100.7")


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World.made(tmp_path_factory.mktemp("affinity")) as made:
        yield made


def serve(world: World, taker: Server, *links: tuple[int, tuple[int, ...]]) -> None:
    """Give all slots of sticky services to one server; `links` are ports and what they share."""
    claims = tuple(server.claim(int(server is taker)) for server in (A, B, C))
    world.balancer.apply([
        Wish(service(str(CLUSTER), port, sticky=Sticky(1000, cross=cross)), claims)
        for port, cross in links
    ])  # fmt: skip


def goes_to(world: World, server: Server, port: int, client_port: int, flags: int) -> bool:
    sent = world.send(Flow(Protocol.TCP, CLIENT, client_port, CLUSTER, port).frame(flags))
    assert server.mac is not None
    return sent.frame[:6] == server.mac.octets


@pytest.mark.parametrize("removed", [80, 443])
def test_what_is_shared_outlives_the_service_that_it_is_named_after(
    world: World, removed: int
) -> None:
    both = ((80, (443,)), (443, (80,)))
    left = 80 + 443 - removed
    serve(world, A, *both)
    serve(world, B, *both)
    assert goes_to(world, B, left, 5001, SYN)
    assert goes_to(world, B, left, 5002, SYN), "affinity leads the second connection, too"
    serve(world, C, *both)
    serve(world, C, (left, (removed,)))
    sweep(world.balancer)
    assert goes_to(world, B, left, 5002, ACK)


def test_affinities_of_another_time_are_nobodys(world: World) -> None:
    """A number that a removed service's affinities carry is not given again."""
    alone = (80, ())
    serve(world, A, alone)
    assert goes_to(world, A, 80, 5001, SYN)
    world.balancer.apply([])
    world.restart()
    serve(world, B, alone)
    assert goes_to(world, B, 80, 5002, SYN)


def test_affinities_go_with_the_last_sticky_service(world: World) -> None:
    serve(world, A, (80, ()))
    assert goes_to(world, A, 80, 5001, SYN)
    world.balancer.apply([])
    assert sweep(world.balancer).forgotten == 1


def test_a_client_whose_flow_is_an_exception_is_active(world: World) -> None:
    """Its connection began in a slot that had changed hands, and speaks all the time."""
    one = Sticky(100)

    def serve_one(taker: Server) -> None:
        claims = tuple(server.claim(int(server is taker)) for server in (A, B, C))
        world.balancer.apply([Wish(service(str(CLUSTER), 80, sticky=one), claims)])

    serve_one(A)
    serve_one(B)
    assert goes_to(world, B, 80, 5001, SYN)
    for _ in range(5):
        world.wait(80)
        assert goes_to(world, B, 80, 5001, ACK)
    serve_one(C)
    assert goes_to(world, B, 80, 5002, SYN)
    for _ in range(2):
        world.wait(80)
        assert goes_to(world, B, 80, 5001, RST | ACK)
    world.wait(80)
    assert goes_to(world, C, 80, 5003, SYN), "resets keep no client"


def test_another_cpus_clock_may_be_ahead(world: World) -> None:
    serve(world, A, (80, ()))
    world.wait(10)
    assert goes_to(world, A, 80, 5001, SYN)
    world.wait(-2)
    serve(world, B, (80, ()))
    assert goes_to(world, A, 80, 5002, SYN)
