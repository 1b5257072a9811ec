"""What the kernel answers on the wire, in every row of the tables that the plan relies on."""

from __future__ import annotations

import asyncio
import time
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest

from shunt.servers.wish import Silence
from tests.servers.linux.asking import OWN
from tests.servers.linux.setting_up import CLUSTER, CLUSTER6, do, examine, remove, wish

if TYPE_CHECKING:
    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from tests.servers.linux.asking import Asker

pytestmark = pytest.mark.lab
C, C6 = IPv4Address(CLUSTER), IPv6Address(CLUSTER6)

# settings, scope of the alias -> does the kernel answer for the cluster address?
ROWS = [
    ({}, "global", True),
    ({"lo.arp_ignore": 1}, "global", True),
    ({"lo.arp_ignore": 2}, "global", True),
    ({"all.arp_ignore": 3}, "global", True),
    ({"all.arp_filter": 1}, "global", True),
    ({}, "host", True),
    ({"all.arp_ignore": 1, "eth0.arp_ignore": 3}, "global", True),
    ({"default.arp_ignore": 1}, "global", True),
    ({"all.arp_ignore": 4}, "global", True),
    ({"all.arp_ignore": 1}, "global", False),
    ({"all.arp_ignore": 2}, "global", False),
    ({"eth0.arp_ignore": 1}, "global", False),
    ({"all.arp_ignore": 3}, "host", False),
    ({"all.arp_ignore": 1}, "host", False),
    ({"all.arp_ignore": 2, "eth0.arp_ignore": 1}, "host", False),
]


def _prepare(server: Host, settings: dict[str, int], scope: str) -> None:
    for key, value in settings.items():
        server.sysctl(f"net.ipv4.conf.{key}", str(value))
    server.ip("address", "add", f"{CLUSTER}/32", "dev", "lo", "scope", scope)


@pytest.mark.parametrize(("settings", "scope", "answered"), ROWS, ids=str)
async def test_the_plan_agrees_with_the_kernel_and_apply_silences(
    server: Host, asker: Asker, settings: dict[str, int], scope: str, *, answered: bool
) -> None:
    _prepare(server, settings, scope)
    assert asker.says(C) == ({asker.server} if answered else set())
    assert asker.says(C, sender=IPv4Address(0), to=asker.server) == asker.says(C)
    steps = [step.id for step in (await examine(server, wish(server, CLUSTER))).plan.steps]
    if answered:
        assert any("arp_ignore" in step for step in steps)
    result = await do(server, wish(server, CLUSTER))
    assert result.now.settled
    assert asker.says(C) == set()
    assert asker.asks_as(C) == OWN
    await remove(server, wish(server, CLUSTER))
    assert asker.says(C) == ({asker.server} if answered else set())


@pytest.mark.parametrize("setting", ["arp_ignore", None])
async def test_values_that_silence_the_own_address_are_told(
    server: Host, asker: Asker, setting: str | None
) -> None:
    if setting:
        server.sysctl("net.ipv4.conf.all.arp_ignore", "8")
    else:
        server.ip("link", "set", "eth0", "arp", "off")
    assert not asker.answers_for_itself()
    plan = (await examine(server, wish(server, CLUSTER))).plan
    if setting:
        assert any("arp_ignore is 8 on eth0" in finding.what for finding in plan.findings)


@pytest.mark.parametrize(("announce", "sender"), [(0, C), (1, C), (2, OWN)])
def test_what_the_servers_own_requests_carry(
    server: Host, asker: Asker, announce: int, sender: IPv4Address
) -> None:
    _prepare(server, {"all.arp_ignore": 1, "all.arp_announce": announce}, "global")
    assert asker.asks_as(C) == sender


async def test_a_second_nic_of_the_segment_is_silent_too(
    lab: Lab, server: Host, asker: Asker
) -> None:
    lab.join(server, "lan", interface="eth1", addresses=["10.9.0.6/24"])
    asker.own[IPv4Address("10.9.0.6")] = server.interface("eth1").mac
    _prepare(server, {"eth0.arp_ignore": 1}, "global")
    assert asker.says(C) == {server.interface("eth1").mac}
    await do(server, wish(server, CLUSTER))
    assert asker.says(C) == set()


async def test_an_ipv6_alias_is_silent_on_lo_and_loud_on_the_nic(
    server: Host, asker: Asker
) -> None:
    server.ip("-6", "address", "add", f"{CLUSTER6}/128", "dev", "eth0", "nodad")
    deadline = time.monotonic() + 10
    while server.ip("-6", "address", "show", "dev", "eth0", "tentative"):  # `nodad` takes its turn
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert asker.says6(C6) == {asker.server}
    result = await do(server, wish(server, CLUSTER6))
    assert result.now.settled
    assert asker.says6(C6) == set()
    assert asker.is_reached(C6)


async def test_an_alias_on_the_nic_is_moved(server: Host, asker: Asker) -> None:
    server.ip("address", "add", f"{CLUSTER}/24", "dev", "eth0")
    server.sysctl("net.ipv4.conf.all.arp_ignore", "1")
    assert asker.says(C) == {asker.server}
    assert (await do(server, wish(server, CLUSTER))).now.settled
    assert asker.says(C) == set()
    assert asker.is_reached(C)


@pytest.mark.parametrize("method", [Silence.NFT, Silence.ARPTABLES])
async def test_filters_silence_without_a_kernel_setting(
    server: Host, asker: Asker, method: Silence
) -> None:
    wanted = wish(server, CLUSTER, silence=method)
    result = await do(server, wanted)
    assert result.now.settled
    assert server.sysctl("net.ipv4.conf.all.arp_ignore") == "0"
    assert asker.says(C) == set()
    assert asker.asks_as(C) == OWN
    await remove(server, wanted)
    _prepare(server, {}, "global")
    assert asker.says(C) == {asker.server}


async def test_redirect_needs_no_alias(server: Host, asker: Asker) -> None:
    wanted = wish(server, CLUSTER, silence=Silence.REDIRECT)
    assert (await do(server, wanted)).now.settled
    assert CLUSTER not in server.ip("address")
    assert asker.says(C) == set()
    assert asker.is_reached(C)


async def test_a_wide_alias_swallows_the_neighbours_until_it_is_narrowed(
    server: Host, asker: Asker
) -> None:
    server.ip("address", "add", f"{CLUSTER}/24", "dev", "lo")
    assert "local" in server.ip("route", "get", "10.9.0.42")
    assert "10.9.0.0/24" not in server.run(["sh", "-c", "cat /proc/net/route"]).stdout
    assert (await do(server, wish(server, CLUSTER))).now.settled
    assert "dev eth0" in server.ip("route", "get", "10.9.0.42")
    assert asker.is_reached(C)


async def test_an_alias_on_a_macvlan_is_moved(server: Host, asker: Asker) -> None:
    server.ip("link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge")
    server.ip("link", "set", "mv0", "up")
    server.ip("address", "add", "10.9.0.7/24", "dev", "mv0")
    asker.own[IPv4Address("10.9.0.7")] = server.interface("mv0").mac
    server.ip("address", "add", f"{CLUSTER}/32", "dev", "mv0")
    server.sysctl("net.ipv4.conf.all.arp_ignore", "1")
    assert asker.says(C) == {server.interface("mv0").mac}
    assert (await do(server, wish(server, CLUSTER))).now.settled
    assert asker.says(C) == set()


async def test_a_local_route_without_an_address_is_silenced(server: Host, asker: Asker) -> None:
    server.ip("route", "add", "local", f"{CLUSTER}/32", "dev", "lo")
    assert asker.says(C) == {asker.server}
    assert (await do(server, wish(server, CLUSTER))).now.settled
    assert asker.says(C) == set()
    await remove(server, wish(server, CLUSTER))
    assert asker.says(C) == {asker.server}


async def test_a_published_entry_is_taken_away(server: Host) -> None:
    server.ip("neighbour", "add", "proxy", CLUSTER, "dev", "eth0")
    assert (await do(server, wish(server, CLUSTER))).now.settled
    assert CLUSTER not in server.ip("neighbour", "show", "proxy")
    await remove(server, wish(server, CLUSTER))
    assert CLUSTER in server.ip("neighbour", "show", "proxy")
