"""What the neighbour table means for a server, and how large the maps are made."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from types import MappingProxyType

import pytest

from shunt.dispatcher.engine import sizes_for
from shunt.dispatcher.whereabouts import Whereabouts, way_to
from shunt.dispatcher.wishes import Way
from shunt.model.addresses import Mac, packed16
from shunt.model.config import Config, Dispatcher, Server, Sticky
from shunt.network.neighbours import Hop, Neighbour, State
from tests.bpf.world import service
from tests.dispatcher.making import with_members

OLD, NEW = Mac.parse("02:00:00:00:00:21"), Mac.parse("02:00:00:00:00:77")
ADDRESS = ip_address("192.0.2.21")
SILENT = "192.0.2.21 does not answer ARP on eth0"
YET = "192.0.2.21 has not answered ARP on eth0 yet"


def neighbour(
    state: State, mac: Mac | None = None, reason: str | None = None, index: int = 3
) -> Neighbour:
    hop = Hop(index, ADDRESS) if index else None
    return Neighbour(ADDRESS, "eth0", hop, state, mac, reason, 0.0)


FOUND = neighbour(State.REACHABLE, NEW)
FAILED = neighbour(State.FAILED, None, SILENT)
ASKED = neighbour(State.INCOMPLETE, None, YET)


@pytest.mark.parametrize(
    ("found", "before", "way"),
    [
        (FOUND, None, Way(NEW, 3)),
        (FOUND, Way(OLD, 2), Way(NEW, 3)),
        (FOUND, Way(OLD, 3, SILENT, lost=True), Way(NEW, 3)),
        (FAILED, None, Way(None, 3, SILENT)),
        (FAILED, Way(None, 3, YET), Way(None, 3, SILENT)),
        (FAILED, Way(OLD, 3), Way(OLD, 3, SILENT, lost=True)),
        (FAILED, Way(OLD, 3, "earlier", lost=True), Way(OLD, 3, SILENT, lost=True)),
        (ASKED, None, Way(None, 3, YET, asked=True)),
        (ASKED, Way(None, 3, YET, asked=True), Way(None, 3, YET, asked=True)),
        (ASKED, Way(None, 3, SILENT), Way(None, 3, YET)),
        (neighbour(State.NONE, None, "no way to it", index=0), None, Way(None, 0, "no way to it")),
        # Asked anew, after a restart for instance: nobody has failed to answer yet.
        (ASKED, Way(OLD, 3), Way(OLD, 3)),
        (ASKED, Way(OLD, 3, SILENT, lost=True), Way(OLD, 3, SILENT, lost=True)),
        (
            neighbour(State.NONE, None, "no way to it", index=0),
            Way(OLD, 3),
            Way(OLD, 3, "no way to it", lost=True),
        ),
    ],
)
def test_what_the_neighbour_table_means(found: Neighbour, before: Way | None, way: Way) -> None:
    assert way_to(found, before) == way


def test_a_server_behind_a_router_cannot_be_reached_by_its_mac() -> None:
    behind = replace(FOUND, hop=Hop(3, ip_address("192.0.2.254")))
    way = way_to(behind, Way(OLD, 3))
    assert way.mac is None
    assert way.reason is not None
    assert "behind the router 192.0.2.254" in way.reason


def config(*services: object, **options: object) -> Config:
    return Config(
        Dispatcher(("eth0",), **options),  # type: ignore[arg-type]  # any option
        tuple(services),  # type: ignore[arg-type]  # services all
        MappingProxyType({}),
    )


def test_maps_have_room_to_grow() -> None:
    names = [f"s{number}" for number in range(100)]
    made = [with_members(service(f"192.0.2.{n}", 80), *names, weight=n) for n in range(1, 11)]
    found = sizes_for(config(*made, exceptions=4096), highest_ifindex=7, cpus=2)
    assert found.slots >= 2 * 10 * 65536
    assert found.members >= 2 * 10 * 2 * 100
    assert found.flows == 4096
    assert found.ports > 7
    assert all(number & (number - 1) == 0 for number in (found.slots, found.members, found.ports))


def test_services_with_equal_servers_need_room_for_one_table() -> None:
    alike = [with_members(service(f"192.0.2.{n}", 80), "a", "b") for n in range(1, 201)]
    assert sizes_for(config(*alike), 1, 2).slots < 200 * 16384


def test_only_affinity_needs_a_large_map_of_it() -> None:
    plain = with_members(service("192.0.2.10", 80), "a")
    sticky = with_members(service("192.0.2.10", 81, sticky=Sticky(60)), "a")
    assert (
        sizes_for(config(plain), 1, 2).affinities
        < sizes_for(config(plain, sticky), 1, 2).affinities
    )


def test_what_forgets_the_least_recent_has_room_for_what_each_cpu_sets_aside() -> None:
    """Kernels before June 2025 keep 128 entries free for each possible CPU."""
    plain = with_members(service("192.0.2.10", 80), "a")
    small = sizes_for(config(plain, exceptions=1024), 1, cpus=4)
    assert (small.flows, small.newcomers, small.fragments) == (1024, 65536, 8192)
    large = sizes_for(config(plain, exceptions=1024), 1, cpus=512)
    found = large.flows, large.newcomers, large.affinities, large.fragments
    assert found == (512 * 256,) * 4
    assert set(found) <= set(large.by_map().values())


def test_a_new_address_is_another_machine() -> None:
    other = ip_address("192.0.2.77")
    known = Whereabouts()
    known.learn({ADDRESS: FOUND}, (ADDRESS, other))
    servers = {"a": Server("a", (ADDRESS,)), "b": Server("b", (other,))}
    both = replace(config(), servers=MappingProxyType(servers))
    assert known.by_server(both) == {"a": Way(NEW, 3)}
    renamed = {"a": Server("a", (other,))}
    assert known.by_server(replace(both, servers=MappingProxyType(renamed))) == {}
    known.learn({}, (ADDRESS,))
    assert known.by_identity() == {packed16(ADDRESS): Way(NEW, 3)}
    known.learn({ADDRESS: FAILED}, (ADDRESS,))
    assert known.by_identity()[packed16(ADDRESS)].lost
    known.learn({}, (other,))
    assert known.by_identity() == {}, "who is not watched any more is forgotten"
