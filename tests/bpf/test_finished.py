"""A FIN or a RST from the client: the end of a flow, if its server thinks so too.

Both can be made up by anyone who knows addresses and ports, and a half-closed flow waits for its
answer. Server A has all slots of a service; then B, then C, and flows of B are exceptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shunt.dispatcher.sweep import sweep
from shunt.model.config import Protocol, Sticky, Track
from tests.bpf.flows import ACK, FIN, RST, SYN
from tests.bpf.test_avoided import Site
from tests.bpf.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.bpf

STALE = 300
FINISHED = 4  # seconds of silence after which a SYN begins another flow


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Flow 0 is an exception: it is B's, in a slot that C has now and A had before."""
    with World.made(tmp_path_factory.mktemp("finished")) as world:
        made = Site(world, Protocol.TCP)
        made.has("s1")
        made.has("s2")
        assert made.server(made.flow(0), SYN) == "s2"
        made.has("s3")
        yield made


@pytest.mark.parametrize("end", [FIN | ACK, RST, FIN | RST])
def test_it_is_remembered_like_others(site: Site, end: int) -> None:
    """A request, a FIN, and minutes later the answer that the client acknowledges."""
    assert site.server(site.flow(0), end) == "s2"
    site.world.wait(STALE)
    assert sweep(site.world.balancer).forgotten == 0
    assert site.server(site.flow(0)) == "s2"
    site.world.wait(STALE + 1)
    assert sweep(site.world.balancer).forgotten == 1


@pytest.mark.parametrize("end", [FIN | ACK, RST])
def test_a_syn_soon_after_begins_no_other(site: Site, end: int) -> None:
    """Two made-up packets do not take a flow away from its server while it speaks."""
    for _ in range(3):
        assert site.server(site.flow(0), end) == "s2"
        site.world.wait(FINISHED)
        assert site.server(site.flow(0), SYN) == "s2"
        assert site.server(site.flow(0)) == "s2"


@pytest.mark.parametrize("end", [FIN | ACK, RST])
def test_a_port_that_is_used_again_later_begins_another_flow(site: Site, end: int) -> None:
    assert site.server(site.flow(0), end) == "s2"
    site.world.wait(FINISHED + 1)
    assert site.server(site.flow(0), SYN) == "s3"
    assert site.server(site.flow(0)) == "s3"


def test_a_flow_that_began_again_at_its_server_is_not_finished(site: Site) -> None:
    assert site.server(site.flow(0), RST) == "s2"
    assert site.server(site.flow(0), SYN) == "s2"
    site.world.wait(FINISHED + 1)
    assert site.server(site.flow(0), SYN) == "s2"


def test_a_syn_alone_takes_no_exception_away(site: Site) -> None:
    site.world.wait(STALE)
    assert site.server(site.flow(0), SYN) == "s2"
    assert site.server(site.flow(0)) == "s2"


@pytest.mark.parametrize(
    ("options", "forgotten"), [({"track": Track.ALL}, 1), ({"sticky": Sticky(1000)}, 0)]
)
def test_where_the_slot_says_the_same_a_finished_flow_is_forgotten_sooner(
    tmp_path_factory: pytest.TempPathFactory, options: dict[str, object], forgotten: int
) -> None:
    with World.made(tmp_path_factory.mktemp("finished")) as world:
        made = Site(world, Protocol.TCP, **options)
        made.has("s1")
        made.has("s2")
        assert made.servers(made.flows(3), SYN) == {"s2"}
        world.wait(STALE + 1)
        sweep(world.balancer)
        assert made.servers(made.flows(3)) == {"s2"}
        assert made.server(made.flow(0), FIN | ACK) == "s2"
        world.wait(60)
        assert sweep(world.balancer).forgotten == 0
        world.wait(1)
        assert sweep(world.balancer).forgotten == forgotten
        assert made.servers(made.flows(3)) == {"s2"}
