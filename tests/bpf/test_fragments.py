"""How long the first fragment of a packet leads the others, and what must still be as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import TCP

from shunt.dispatcher.wishes import Wish
from tests.bpf.segment import V4, WEB, A, B, ether
from tests.bpf.world import World, service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bpf.world import Server

pytestmark = pytest.mark.bpf

FIRST = bytes(ether() / V4.ip(WEB, id=7, flags="MF", proto=6) / TCP(dport=80) / bytes(1460))
LAST = bytes(ether() / V4.ip(WEB, id=7, frag=185, proto=6) / b"tail")


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World.made(tmp_path_factory.mktemp("fragments")) as made:
        made.address(V4.cluster(WEB), "CLUSTER", "ACTIVE")
        serve(made, A)
        assert made.send(FIRST).cause == "forwarded"
        yield made


def serve(world: World, *takers: Server) -> None:
    claims = tuple(server.claim(int(server in takers)) for server in (A, B))
    world.balancer.apply([Wish(service(V4.cluster(WEB), 80), claims)])


def test_for_as_long_as_packets_are_put_together(world: World) -> None:
    """RFC 8200, section 4.5."""
    world.wait(55)
    assert world.send(LAST).cause == "forwarded_fragment"
    world.wait(10)
    assert world.send(LAST).cause == "dropped_early_fragment"


def test_to_the_first_ones_server_though_its_slot_has_changed_hands(world: World) -> None:
    serve(world, B)
    sent = world.send(LAST)
    assert A.mac is not None
    assert (sent.cause, sent.frame[:6]) == ("forwarded_fragment", A.mac.octets)


def test_not_when_the_service_is_another_one_by_now(world: World) -> None:
    world.balancer.apply([])
    assert world.send(LAST).cause == "dropped_early_fragment"
    serve(world, B)
    assert world.send(LAST).cause == "dropped_early_fragment"
    world.restart()
    serve(world, B)
    assert world.send(LAST).cause == "dropped_early_fragment"
