"""Packets that come while slots are copied to other room: what they note of the elder is kept.

Server A has all slots of a service, then B. A connection that is refused for its rate begins at A
and leaves nothing but the time in its slot.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from shunt.dataplane.plane import Plane
from shunt.dataplane.testrun import run
from shunt.dispatcher.balancer import Balancer
from shunt.dispatcher.ledger import read_ledger
from shunt.dispatcher.sweep import sweep
from shunt.dispatcher.wishes import Wish
from shunt.model.addresses import Mac
from shunt.model.config import Protocol
from tests.bpf.flows import ACK, SYN, Flow
from tests.bpf.segment import BY_MAC, A, B
from tests.bpf.test_avoided import CLUSTER, Site
from tests.bpf.world import Server, World, service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shunt.dataplane.maps import Map
    from shunt.dispatcher.ledger import Placed

pytestmark = pytest.mark.bpf

TCP, UDP = Protocol.TCP, Protocol.UDP
STALE, IDLE = 300, 60
LENGTHS = {TCP: STALE, UDP: IDLE}
CROWD = tuple(Server.numbered(number).claim(0) for number in range(10, 30))  # need more slots
OTHER = 443


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World.made(tmp_path_factory.mktemp("copies")) as made:
        yield made


class Watched(Balancer):
    """Lets something happen when slots have been copied, before a service uses the copy."""

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane)
        self.happens: list[Callable[[], None]] = []

    def _happen(self) -> None:
        while self.happens:
            self.happens.pop()()

    def _write_service(self, placed: Placed) -> None:
        in_use = read_ledger(self.plane).get(placed.place)
        if in_use is not None and in_use.table.slots != placed.table.slots:
            self._happen()
        super()._write_service(placed)

    def _point_to_table(self, placed: Placed) -> None:
        self._happen()
        super()._point_to_table(placed)


def refused(world: World, flow: Flow) -> None:
    """The flow begins, at the elder."""
    world.settings(exceptions_rate=0)
    assert Site.server(Site(world, flow.protocol), flow, SYN) == "s1"
    world.settings(exceptions_rate=1 << 20)


def changed(world: World, protocol: Protocol, **options: Any) -> tuple[Wish, Flow]:
    """Return what is wished once B has the slots, and a flow; as long ago as slots may settle."""
    its = service(str(CLUSTER), 80, protocol, udp_idle=IDLE, stale=STALE, **options)
    world.balancer.apply([Wish(its, (A.claim(), B.claim(0)))])
    now = Wish(its, (A.claim(0), B.claim()))
    world.balancer.apply([now])
    world.wait(LENGTHS[protocol])
    return now, Site(world, protocol).flow(0)


def stays(world: World, flow: Flow) -> None:
    """Assert that the flow keeps the elder, though its slot settles as soon as it may."""
    for _ in range(3):
        world.wait(1)
        sweep(world.balancer)
        assert Site(world, flow.protocol).server(flow, ACK) == "s1"


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_a_table_that_grows(world: World, protocol: Protocol) -> None:
    wish, flow = changed(world, protocol)
    world.balancer = balancer = Watched(world.plane)
    (placed,) = balancer.placed.values()
    before = placed.table.slots.size
    balancer.happens.append(partial(refused, world, flow))
    balancer.apply([Wish(wish.service, (*wish.claims, *CROWD))])
    assert not balancer.happens
    assert placed.table.slots.size > before
    stays(world, flow)


@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("leaving", [80, OTHER])
def test_a_table_that_is_split(world: World, protocol: Protocol, leaving: int) -> None:
    its = {p: service(str(CLUSTER), p, protocol, udp_idle=IDLE, stale=STALE) for p in (80, OTHER)}
    flows = [Flow(protocol, Site(world, TCP).flow(0).client, 5000, CLUSTER, p) for p in its]

    def apply(a: int, b: int, *more: int) -> None:
        world.balancer.apply([
            Wish(its[p], (A.claim(a), B.claim(b), *(CROWD[:1] if p in more else ())))
            for p in its
        ])  # fmt: skip

    world.balancer = balancer = Watched(world.plane)
    apply(1, 0)
    apply(0, 1)
    world.wait(LENGTHS[protocol])
    balancer.happens += [partial(refused, world, flow) for flow in flows]
    apply(0, 1, leaving)
    assert not balancer.happens
    assert len(balancer.tables) == 2
    for flow in flows:
        stays(world, flow)


class Slow(Plane):
    """Lets something happen when arrays have been copied, before the program uses the copies."""

    happens: tuple[Callable[[], None], ...] = ()

    def _replace_everywhere(self, copied: Mapping[str, Map]) -> None:
        for each in Slow.happens:
            each()
        super()._replace_everywhere(copied)


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_arrays_that_grow(
    world: World, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.balancer = Balancer(Slow.take_over(world.plane.pins))
    _, flow = changed(world, protocol)
    old = world.plane

    def happens() -> None:
        world.settings(exceptions_rate=0)
        sent = run(old.program, flow.frame(SYN))
        assert BY_MAC[Mac(sent.frame[:6])] is A
        world.settings(exceptions_rate=1 << 20)

    monkeypatch.setattr(Slow, "happens", (happens,))
    sights = old.maps["sights"].max_entries
    world.balancer.plane = old.grown({"slots": sights, "sights": 2 * sights})
    stays(world, flow)
