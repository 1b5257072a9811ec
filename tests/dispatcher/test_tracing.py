"""`shunt trace` says what would become of a packet, also of one that may not be remembered."""

from __future__ import annotations

import os
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from shunt.dispatcher.tracing import Packet, trace
from shunt.model.config import Protocol, Track
from tests.bpf.flows import SYN
from tests.bpf.test_avoided import CLUSTER, DOWN, Site, stored

if TYPE_CHECKING:
    from shunt.dispatcher.wishes import Flag
    from tests.bpf.world import World

pytestmark = pytest.mark.bpf

TCP, UDP = Protocol.TCP, Protocol.UDP
CLIENT, CLIENT_PORT = IPv4Address("198.51.100.7"), 1024
RATE = 5


def traced(world: World, protocol: Protocol, *, syn: bool = False) -> tuple[str, str]:
    said = trace(world.balancer, Packet(CLIENT, CLIENT_PORT, CLUSTER, 80, protocol, syn), {})
    return said["server"], said["reason"]


@pytest.mark.parametrize(
    ("protocol", "flags", "seconds", "allowed", "refused"),
    [
        (TCP, None, 0, "new_flow", "new_flow_refused"),
        (TCP, DOWN, 0, "new_flow", "new_flow"),
        (UDP, None, 0, "udp_old", "udp_old_refused"),
        (UDP, None, 61, "udp_new", "udp_new"),
        (UDP, DOWN, 0, "udp_elder_down", "udp_elder_down"),
    ],
)
def test_what_is_said_happens(
    world: World,
    protocol: Protocol,
    flags: Flag | None,
    seconds: int,
    allowed: str,
    refused: str,
) -> None:
    for rate, expected in ((RATE, allowed), (0, refused)):
        site = Site(world, protocol, udp_idle=60)
        world.balancer.apply([])
        site.has("s1")
        site.has("s2", *([] if flags is None else [flags]))
        world.wait(seconds)
        world.settings(exceptions_rate=rate)
        server, reason = traced(world, protocol, syn=True)
        assert reason == expected
        assert stored(world, "flows") == stored(world, "newcomers") == 0
        went = site.server(site.flow(0), SYN)
        assert server == f"10.0.0.{went[1:]}"
        for name in ("flows", "newcomers"):
            world.forget(name)


def test_where_all_flows_are_remembered(world: World) -> None:
    site = Site(world, TCP, track=Track.ALL)
    site.has("s1")
    assert traced(world, TCP) == ("10.0.0.1", "recorded")
    world.settings(exceptions_rate=0)
    assert traced(world, TCP) == ("10.0.0.1", "recorded_refused")


def test_a_trace_spends_nothing(world: World) -> None:
    site = Site(world, TCP)
    site.has("s1")
    site.has("s2")
    world.settings(exceptions_rate=RATE)
    for _ in range(3 * RATE):
        assert traced(world, TCP, syn=True) == ("10.0.0.2", "new_flow")
    assert sum(world.plane.maps["budgets"].get(0)["refused"]) == 0


@pytest.mark.parametrize("cpu", sorted(os.sched_getaffinity(0))[:2])
def test_the_packet_comes_where_least_is_left(world: World, cpu: int) -> None:
    before = os.sched_getaffinity(0)
    site = Site(world, TCP)
    site.has("s1")
    site.has("s2")
    world.settings(exceptions_rate=RATE)
    os.sched_setaffinity(0, {cpu})
    try:
        for number in range(2 * RATE):
            site.server(site.flow(1000 + number), SYN)
    finally:
        os.sched_setaffinity(0, before)
    assert traced(world, TCP, syn=True) == ("10.0.0.1", "new_flow_refused")
    assert os.sched_getaffinity(0) == before
    world.wait(1)
    assert traced(world, TCP, syn=True) == ("10.0.0.2", "new_flow")
