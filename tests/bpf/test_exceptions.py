"""How many flows are remembered: none without need, and never more than the rate allows."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shunt.dispatcher.wishes import Wish
from shunt.model.config import Protocol
from tests.bpf.flows import ACK, FIN, RST, SYN, Flow
from tests.bpf.segment import V4, WEB, A, B
from tests.bpf.world import World, service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

pytestmark = pytest.mark.bpf

CLUSTER = IPv4Address(V4.cluster(WEB))
SYNS = 1_000_000
CHUNK = 50_000
CLIENT = slice(26, 30)  # of the frame: the client's address
LIVE, FLOOD, RATE = 1000, 20_000, 100


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service on server A, with room for 4,096 exceptions."""
    with World.made(tmp_path_factory.mktemp("exceptions")) as made:
        weigh(made, 1, 0)
        yield made


def weigh(world: World, a: int, b: int) -> None:
    world.balancer.apply([Wish(service(str(CLUSTER), 80), (A.claim(a), B.claim(b)))])


def clients(first: int, count: int, flags: int = SYN) -> NDArray[np.uint8]:
    """Return packets of `count` clients with consecutive addresses, (count, 54)."""
    one = Flow(Protocol.TCP, IPv4Address(0), 40000, CLUSTER, 80).frame(flags)
    frames = np.tile(np.frombuffer(one, np.uint8), (count, 1))
    numbers = np.arange(first, first + count, dtype=">u4")
    frames[:, CLIENT] = numbers.view(np.uint8).reshape(count, 4)
    return frames


def servers_of(world: World, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Send the frames; return the MACs that they went to, (n, 6)."""
    batch, causes = world.send_many(frames, np.full(len(frames), frames.shape[1]))
    assert causes == {"forwarded": len(frames)}
    return batch.frames[:, :6]


def remembered(world: World) -> NDArray[Any]:
    """Return the clients of all remembered flows, as numbers."""
    keys, _ = world.plane.maps["flows"].items()
    packed = np.ascontiguousarray(keys["client"]["halves"]).view(np.uint8).reshape(len(keys), 16)
    return np.ascontiguousarray(packed[:, 12:]).view(">u4")[:, 0]


def budget(world: World, name: str) -> int:
    return int(world.plane.maps["budgets"].get(0)[name].sum())


def test_a_million_connections_in_settled_slots_leave_no_trace(world: World) -> None:
    for first in range(0, SYNS, CHUNK):
        servers_of(world, clients(first, CHUNK))
    assert len(remembered(world)) == 0
    assert budget(world, "recorded") == 0


def test_a_flood_is_remembered_at_its_rate_and_breaks_no_flow(world: World) -> None:
    """In slots that have all changed hands, with exceptions that live there already."""
    old = servers_of(world, clients(1 << 24, LIVE))
    weigh(world, 0, 1)
    live = servers_of(world, clients(2 << 24, LIVE))
    assert set(remembered(world)) == set(range(2 << 24, (2 << 24) + LIVE))

    world.settings(exceptions_rate=RATE)
    world.wait(2)  # this second's allowance is used up
    begin, before = world.plane.now(), budget(world, "recorded")
    flood = servers_of(world, clients(3 << 24, FLOOD))
    seconds = world.plane.now() - begin + 1
    recorded = budget(world, "recorded") - before
    assert recorded + budget(world, "refused") == FLOOD
    assert recorded <= RATE * seconds * world.plane.maps["budgets"].cpus
    assert 0 < recorded < FLOOD
    known = remembered(world)
    assert set(known) >= set(range(2 << 24, (2 << 24) + LIVE)), "a live exception was pushed out"
    assert len(known) == LIVE + recorded

    # The refused ones belong to the elder, as what is unknown does; nobody changes server.
    assert (servers_of(world, clients(3 << 24, FLOOD, ACK)) == flood).all()
    assert (servers_of(world, clients(2 << 24, LIVE, ACK)) == live).all()
    assert (servers_of(world, clients(1 << 24, LIVE, ACK)) == old).all()
    assert A.mac is not None
    assert B.mac is not None
    to_elder = (flood == list(A.mac.octets)).all(axis=1)
    assert to_elder.sum() == FLOOD - recorded
    assert (live == list(B.mac.octets)).all()


def test_without_a_rate_the_same_flood_pushes_live_exceptions_out(world: World) -> None:
    """Why there is a rate, and that the test above would notice."""
    weigh(world, 0, 1)
    servers_of(world, clients(2 << 24, LIVE))
    servers_of(world, clients(3 << 24, FLOOD))
    assert not set(remembered(world)) & set(range(2 << 24, (2 << 24) + LIVE))


def test_resets_are_no_sign_of_an_elders_flows(world: World) -> None:
    weigh(world, 0, 1)
    (placed,) = world.balancer.placed.values()
    begin = world.balancer.sights_of(placed.table).copy()
    world.wait(100)
    assert A.mac is not None
    for flags in (RST, RST | ACK):
        assert (servers_of(world, clients(1, LIVE, flags)) == list(A.mac.octets)).all()
    assert (world.balancer.sights_of(placed.table) == begin).all()
    servers_of(world, clients(1, LIVE, FIN | ACK))
    assert (world.balancer.sights_of(placed.table) != begin).any(), "the end of one that lived"


def test_an_unknown_udp_flow_is_old_though_another_cpus_clock_is_ahead(world: World) -> None:
    """The slot changed hands a second later than it is here."""
    site = service(str(CLUSTER), 53, Protocol.UDP, udp_idle=60)
    world.balancer.apply([Wish(site, (A.claim(), B.claim(0)))])
    world.wait(10)
    world.balancer.apply([Wish(site, (A.claim(0), B.claim()))])
    world.wait(-2)
    sent = world.send(Flow(Protocol.UDP, IPv4Address("198.51.100.7"), 5000, CLUSTER, 53).frame())
    assert A.mac is not None
    assert sent.frame[:6] == A.mac.octets
