"""`track: none`: flows are where their slots say, and stay when they come to be remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from shunt.balance import transitions
from shunt.dispatcher.sweep import sweep
from shunt.dispatcher.wishes import Wish
from shunt.model.config import Protocol, Track
from tests.bpf.flows import SYN
from tests.bpf.segment import A, B
from tests.bpf.test_avoided import CLUSTER, Site
from tests.bpf.world import World, service

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.bpf

TCP, UDP = Protocol.TCP, Protocol.UDP


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World.made(tmp_path_factory.mktemp("none")) as made:
        yield made


def tracks(site: Site, track: Track) -> None:
    site.service = replace(site.service, track=track)


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("track", [Track.AUTO, Track.ALL])
def test_flows_stay_when_they_come_to_be_remembered(
    world: World, protocol: Protocol, track: Track
) -> None:
    site = Site(world, protocol, track=Track.NONE)
    site.has("s1")
    site.has("s2")
    assert site.servers(site.flows(), SYN) == {"s2"}
    tracks(site, track)
    site.has("s2")
    assert site.servers(site.flows()) == {"s2"}
    site.has("s3")
    assert site.servers(site.flows()) == {"s2"}


def test_what_was_remembered_before_is_forgotten(world: World) -> None:
    site = Site(world, TCP)
    site.has("s1")
    site.has("s2")
    assert site.servers(site.flows(), SYN) == {"s2"}
    tracks(site, Track.NONE)
    site.has("s3")
    assert site.servers(site.flows(), SYN) == {"s3"}
    world.wait(2)
    report = sweep(world.balancer)
    assert report.forgotten == len(site.flows())
    tracks(site, Track.AUTO)
    site.has("s3")
    assert site.servers(site.flows()) == {"s3"}


def test_no_slot_has_an_elder(world: World) -> None:
    """Also one that had an elder before settles at once."""
    site = Site(world, TCP)
    site.has("s1")
    site.has("s2")
    tracks(site, Track.NONE)
    for taker in ("s3", "s1"):
        site.has(taker)
    world.wait(2)
    sweep(world.balancer)
    (placed,) = world.balancer.placed.values()
    slots = world.balancer.slots_of(placed.table)
    assert (transitions.elder_of(slots) == transitions.SETTLED).all()


def test_services_that_remember_flows_keep_their_elders(world: World) -> None:
    """They stand on a table of their own."""
    both = [service(str(CLUSTER), 80), service(str(CLUSTER), 443, track=Track.NONE)]
    for weights in ((1, 0), (0, 1)):
        claims = A.claim(weights[0]), B.claim(weights[1])
        world.balancer.apply([Wish(each, claims) for each in both])
    elders = [
        transitions.elder_of(world.balancer.slots_of(placed.table))
        for placed in world.balancer.placed.values()
    ]
    assert [int(np.count_nonzero(each != transitions.SETTLED)) for each in elders] == [
        len(elders[0]),
        0,
    ]
