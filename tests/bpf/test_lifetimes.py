"""To the second: a flow that is heard again after exactly its idle time has its server still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shunt.dispatcher.sweep import sweep
from shunt.model.config import Protocol, Sticky
from tests.bpf.flows import ACK, SYN
from tests.bpf.test_avoided import AVOIDED, Site
from tests.bpf.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.bpf

TCP, UDP = Protocol.TCP, Protocol.UDP
STALE, IDLE = 300, 60


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World.made(tmp_path_factory.mktemp("lifetimes")) as made:
        yield made


def heard_every(site: Site, seconds: int, server: str) -> None:
    """Assert that flow 0 stays where it is, though slots settle as early as they may."""
    for _ in range(3):
        site.world.wait(seconds)
        sweep(site.world.balancer)
        assert site.server(site.flow(0)) == server


def test_a_connection_of_the_elder(world: World) -> None:
    site = Site(world, TCP)
    site.has("s1")
    site.server(site.flow(0), SYN)
    site.has("s2")
    assert site.server(site.flow(0), ACK) == "s1"
    heard_every(site, STALE, "s1")
    world.wait(STALE + 1)
    assert sweep(world.balancer).settled


def test_a_connection_that_is_an_exception(world: World) -> None:
    site = Site(world, TCP)
    site.has("s1")
    site.has("s2")
    site.server(site.flow(0), SYN)
    site.has("s3")
    heard_every(site, STALE, "s2")


def test_a_udp_flow_across_a_change(world: World) -> None:
    site = Site(world, UDP, udp_idle=IDLE)
    site.has("s1")
    assert site.server(site.flow(0)) == "s1"
    site.has("s2")
    heard_every(site, IDLE, "s1")
    site.has("s3")
    heard_every(site, IDLE, "s1")


@pytest.mark.parametrize("rate", [0, 1])
def test_a_udp_flow_whose_client_is_to_leave_its_server(world: World, rate: int) -> None:
    site = Site(world, UDP, udp_idle=IDLE, sticky=Sticky(1000))
    site.has("s1")
    assert site.server(site.flow(0)) == "s1"
    world.settings(exceptions_rate=rate)
    site.has("s2", AVOIDED)
    heard_every(site, IDLE, "s1")
