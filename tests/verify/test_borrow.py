"""Which addresses are borrowed: of the right network, nobody's, and never the same from habit."""

from __future__ import annotations

import random
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.verify.borrow import CANDIDATES, candidates, choose, home, refusal

_interfaces = st.one_of(
    st.builds(
        lambda number, length: IPv4Interface((number, length)),
        st.integers(2**24, 2**31),
        st.integers(8, 32),
    ),
    st.builds(
        lambda number, length: IPv6Interface((number, length)),
        st.integers(2**120, 2**127),
        st.integers(32, 128),
    ),
)


@settings(max_examples=200, deadline=None)
@given(_interfaces, st.integers(0, 2**32), st.data())
def test_candidates_are_hosts_of_the_network(
    where: IPv4Interface | IPv6Interface, seed: int, data: st.DataObject
) -> None:
    network = where.network
    hosts = [network[number] for number in range(min(network.num_addresses, 8))]
    avoid = {where.ip, *data.draw(st.lists(st.sampled_from(hosts)))}
    found = candidates(where, avoid, random.Random(seed))
    assert len(set(found)) == len(found) <= CANDIDATES
    assert all(address in network for address in found)
    assert not avoid.intersection(found)
    if network.num_addresses > 2:
        reserved = {network.network_address}
        if where.version == 4:
            reserved.add(network.broadcast_address)
        assert not reserved.intersection(found)
    if network.num_addresses > 64:
        assert len(found) == CANDIDATES


def test_small_networks_are_used_up() -> None:
    where = ip_interface("198.18.0.1/29")
    found = candidates(where, {where.ip, ip_address("198.18.0.2")}, random.Random(1))
    assert set(map(str, found)) == {f"198.18.0.{number}" for number in (3, 4, 5, 6)}
    assert candidates(ip_interface("198.18.0.1/32"), {where.ip}, random.Random(1)) == ()


def test_home_is_where_the_servers_are() -> None:
    here = [
        ip_interface(each)
        for each in ("10.0.0.1/8", "192.0.2.9/24", "fe80::9/64", "2001:db8::9/64")
    ]
    servers = [ip_address(each) for each in ("192.0.2.21", "192.0.2.22", "2001:db8:5::1")]
    assert home(here, servers, 4) == here[1]
    assert home(here, servers, 6) == here[3]
    assert home(here[:2], servers, 6) is None


def test_what_is_taken_is_not_chosen() -> None:
    one, two, three, four = (ip_address(f"192.0.2.{number}") for number in (1, 2, 3, 4))
    offered = {4: (one, two, three), 6: ()}
    assert choose(offered, {one}) == ({4: two}, {4: three}, {}, {})
    assert choose(offered, {one, three}) == ({4: two}, {4: two}, {}, {})
    assert choose(offered, {one, two, three}) == ({}, {}, {}, {})
    assert choose(offered, set()) == ({4: one}, {4: two}, {4: three}, {})
    assert choose({4: (one, two, three, four)}, set()) == (
        {4: one},
        {4: two},
        {4: four},
        {4: three},
    )


@pytest.mark.parametrize("cluster", ["198.18.0.100", "198.18.1.100"])
@pytest.mark.parametrize("seed", range(5))
def test_packets_come_from_the_half_without_cluster_addresses(cluster: str, seed: int) -> None:
    """Else an alias whose network is that half would swallow all that is sent from there."""
    where, address = ip_interface("198.18.0.1/23"), ip_address(cluster)
    found = candidates(where, {where.ip, address}, random.Random(seed))
    packets, _, spare, _ = choose({4: found}, (), (address,))
    half = ip_network(f"{cluster}/24", strict=False)
    assert packets[4] not in half
    assert spare[4] in half, "what swallows the one leaves the other"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.77", None),
        ("2001:db8::77", None),
        ("192.0.2.1", "this machine's own"),
        ("192.0.2.10", "a cluster address"),
        ("192.0.2.0", "broadcast"),
        ("192.0.2.255", "broadcast"),
        ("10.9.9.9", "not in the interface's network"),
        ("2001:db8:5::1", "not in the interface's network"),
        ("224.0.0.5", "no machine's"),
        ("0.0.0.0", "no machine's"),
        ("ff02::1", "no machine's"),
    ],
)
def test_what_has_an_owner_is_refused(address: str, reason: str | None) -> None:
    here = [ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64")]
    taken = {
        ip_address("192.0.2.1"): "it is this machine's own",
        ip_address("192.0.2.10"): "it is a cluster address",
    }
    found = refusal(ip_address(address), here, taken)
    assert found is None if reason is None else reason in str(found)
