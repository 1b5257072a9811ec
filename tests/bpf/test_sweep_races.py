"""Packets that come in the middle of a sweep, before each of its steps: no flow changes its server.

Each test plays its story once for every step of the sweep, until there are no more.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from shunt.dispatcher.sweep import sweep
from shunt.dispatcher.wishes import Flag
from shunt.model.config import Protocol, Sticky
from tests.bpf.flows import ACK, FIN, SYN
from tests.bpf.stepwise import Stepwise, interrupted
from tests.bpf.test_avoided import AVOIDED, DOWN, Site, stored
from tests.bpf.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.bpf

TCP, UDP = Protocol.TCP, Protocol.UDP
STALE, STICKY = 300, 100
PLENTY = 1 << 20
MOST_STEPS = 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World.made(tmp_path_factory.mktemp("races")) as made:
        yield made


class Stage:
    """The world, empty again at each call."""

    def __init__(self, world: World) -> None:
        self.world = world

    def site(self, protocol: Protocol = TCP, **options: Any) -> Site:
        self.world.settings(exceptions_rate=PLENTY)
        self.world.balancer.apply([])
        for name in ("flows", "newcomers", "affinities"):
            self.world.forget(name)
        return Site(self.world, protocol, **options)

    def play(self, story: Callable[[], Iterator[None]]) -> int:
        """Let each story happen up to its `yield`, then at a step what comes next, then the rest.

        Returns how many steps there were.
        """
        for step in range(MOST_STEPS):
            telling = story()
            next(telling)
            report = interrupted(self.world.balancer, step, partial(next, telling))
            if report is None:
                return step
            with pytest.raises(StopIteration):
                next(telling)
        raise AssertionError("the sweep does not end")


@pytest.fixture
def stage(world: World) -> Stage:
    return Stage(world)


def test_every_step_is_named(stage: Stage) -> None:
    """What the stories below may fall between, if flows die, settle and are needless."""
    site = stage.site()
    site.has("s1")
    site.has("s2")
    site.server(site.flow(0), SYN)
    stage.world.wait(STALE + 1)
    steps = Stepwise(stage.world.balancer, lambda _: None)
    assert sweep(stage.world.balancer, steps).settled
    assert steps.steps == [
        "hold False", "now",
        "read newcomers", "read flows", "look at flows", "take flows", "read more flows",
        "read affinities",
        "slots", "sights", "hold True", "wait", "sights", "settle", "wait", "hold False",
        "read newcomers", "read flows",
    ]  # fmt: skip


def test_a_connection_that_is_refused_while_slots_settle(stage: Stage) -> None:
    """It goes to the elder, or to the new server, and stays there."""

    def story() -> Iterator[None]:
        site = stage.site()
        site.has("s1")
        site.has("s2")
        stage.world.wait(STALE + 1)
        stage.world.settings(exceptions_rate=0)
        yield
        found = site.server(site.flow(0), SYN)
        yield
        assert site.server(site.flow(0)) == found
        stage.world.settings(exceptions_rate=PLENTY)
        site.has("s3")
        assert site.server(site.flow(0)) == found

    assert stage.play(story) > 10


def test_a_newcomer_that_is_admitted_while_flows_are_read(stage: Stage) -> None:
    def story() -> Iterator[None]:
        site = stage.site()
        site.has("s1")
        site.has("s2", AVOIDED)
        stage.world.settings(exceptions_rate=0)
        assert site.server(site.flow(0), SYN) == "s2"
        assert stored(stage.world, "newcomers") == 1
        stage.world.settings(exceptions_rate=PLENTY)
        site.has("s1")
        stage.world.wait(2)
        yield
        assert site.server(site.flow(0)) == "s2"
        assert stored(stage.world, "flows") == 1
        yield
        assert site.server(site.flow(0)) == "s2"

    assert stage.play(story) > 5


@pytest.mark.parametrize("end", [None, FIN | ACK], ids=["idle", "closed"])
@pytest.mark.parametrize("taker", ["s2", "s3"], ids=["its own slot", "another's"])
def test_a_port_used_again_while_its_old_flow_is_forgotten(
    stage: Stage, end: int | None, taker: str
) -> None:
    def story() -> Iterator[None]:
        site = stage.site()
        site.has("s1")
        site.has("s2")
        assert site.server(site.flow(0), SYN) == "s2"
        if end is not None:
            site.server(site.flow(0), end)
        site.has(taker)
        stage.world.wait(STALE + 1)
        yield
        found = site.server(site.flow(0), SYN)
        yield
        assert site.server(site.flow(0)) == found
        sweep(stage.world.balancer)
        assert site.server(site.flow(0)) == found

    assert stage.play(story) > 10


def test_a_client_that_comes_again_while_its_affinity_is_forgotten(stage: Stage) -> None:
    """Its connection is none of those that are remembered: the client is."""

    def story() -> Iterator[None]:
        site = stage.site(sticky=Sticky(STICKY))
        site.has("s1")
        assert site.server(site.flow(0), SYN) == "s1"
        site.has("s2")
        site.has("s3")
        stage.world.wait(STALE + 1)
        yield
        found = site.server(site.flow(0))
        yield
        assert site.server(site.flow(0)) == found
        sweep(stage.world.balancer)
        assert site.server(site.flow(0)) == found

    assert stage.play(story) > 5


def test_what_is_remembered_while_its_slot_settles_does_not_speak_later(stage: Stage) -> None:
    """The server goes, its client begins anew with another one, and the server comes back."""

    def story() -> Iterator[None]:
        site = stage.site()
        site.has("s2")
        site.has("s1")
        stage.world.wait(STALE + 1)
        yield
        assert site.server(site.flow(0), SYN) == "s1"
        yield
        assert stored(stage.world, "flows") == 0
        site.has("s2", DOWN | Flag.MOVE)
        assert site.server(site.flow(0), SYN) == "s2"
        site.has("s1")
        assert site.server(site.flow(0)) == "s2"

    assert stage.play(story) > 10


@pytest.mark.parametrize("rate", [0, PLENTY])
def test_udp_flows_that_begin_while_slots_settle(stage: Stage, rate: int) -> None:
    def story() -> Iterator[None]:
        site = stage.site(UDP, udp_idle=60)
        site.has("s1")
        site.has("s2")
        stage.world.wait(61)
        stage.world.settings(exceptions_rate=rate)
        yield
        found = site.server(site.flow(0))
        yield
        stage.world.settings(exceptions_rate=PLENTY)
        assert site.server(site.flow(0)) == found
        site.has("s3")
        assert site.server(site.flow(0)) == found

    assert stage.play(story) > 10


def test_a_server_does_not_leave_while_a_flow_that_was_read_moves(stage: Stage) -> None:
    """A newcomer of a server that has left the service since."""

    def story() -> Iterator[None]:
        site = stage.site()
        site.has("s1")
        site.has("s3", AVOIDED)
        stage.world.settings(exceptions_rate=0)
        assert site.server(site.flow(0), SYN) == "s3"
        stage.world.settings(exceptions_rate=PLENTY)
        wish = site.wish("s1")
        stage.world.balancer.apply([type(wish)(wish.service, wish.claims[:2])])
        stage.world.wait(2)
        yield
        assert site.server(site.flow(0)) == "s3"
        yield
        assert site.server(site.flow(0)) == "s3"

    assert stage.play(story) > 5


def test_the_hold_ends_with_a_sweep_that_failed(stage: Stage) -> None:
    site = stage.site()
    site.has("s1")
    site.has("s2")
    stage.world.wait(STALE + 1)

    class RefusedError(Exception):
        """The kernel refused."""

    class Failing(Stepwise):
        def settle(self, *_: Any) -> None:
            assert stage.world.plane.maps["settings"].get(0)["settling"]
            raise RefusedError

    with pytest.raises(RefusedError):
        sweep(stage.world.balancer, Failing(stage.world.balancer, lambda _: None))
    assert not stage.world.plane.maps["settings"].get(0)["settling"]


def test_a_hold_that_was_left_on_ends_with_the_next_sweep(stage: Stage) -> None:
    site = stage.site()
    site.has("s1")
    stage.world.settings(settling=1)
    site.has("s2")
    stage.world.settings(exceptions_rate=0)
    assert site.server(site.flow(0), SYN) == "s2", "a newcomer"
    assert site.server(site.flow(0)) == "s2"
    sweep(stage.world.balancer)
    assert site.server(site.flow(1), SYN) == "s1"
