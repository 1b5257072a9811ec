"""What hangs on an address, on a real kernel: routes by their source, addresses of its network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from shunt.errors import RemoteError
from shunt.servers import record as records
from shunt.servers.drivers.linux import parse
from shunt.servers.steps import Command, Output, Severity
from tests.servers.linux.setting_up import (
    CLUSTER,
    CLUSTER6,
    do,
    examine,
    put_record,
    record_of,
    remove,
    wish,
)

if TYPE_CHECKING:
    from shunt.lab.host import Host

pytestmark = pytest.mark.lab
OTHER = "10.9.0.101"
ROUTES = (
    "default via 10.9.0.1 dev eth0",
    "172.16.0.0/16 via 10.9.0.1 dev eth0 proto static metric 7 mtu 1400",
    "172.17.0.0/16 nhid 5",
    "172.18.0.0/16 proto static nexthop via 10.9.0.1 dev eth0 nexthop via 10.9.0.2 dev eth0",
    "unreachable 172.19.0.0/16",
    "172.20.0.0/16 via inet6 2001:db8:9::1 dev eth0",
)


def routes(server: Host, *, sources: bool = True) -> list[dict[str, object]]:
    rows = json.loads(server.ip("-4", "-j", "route"))
    if not sources:
        for row in rows:
            row.pop("prefsrc", None)
    return sorted(rows, key=str)


def add(server: Host, source: str) -> None:
    server.ip("nexthop", "add", "id", "5", "via", "10.9.0.1", "dev", "eth0")
    for row in ROUTES:
        first, *rest = row.split(" nexthop ", 1)
        tail = ["nexthop", *rest[0].split()] if rest else []
        server.ip("route", "add", *first.split(), "src", source, *tail)


def addresses(server: Host, device: str) -> list[tuple[str, str, str]]:
    (row,) = json.loads(server.ip("-4", "-j", "address", "show", "dev", device))
    return [(f"{a['local']}/{a['prefixlen']}", a["scope"], a["label"]) for a in row["addr_info"]]


@pytest.mark.parametrize("by", ["remove", "apply --only"])
async def test_a_route_outlives_the_alias_that_is_its_source(server: Host, by: str) -> None:
    await do(server, wish(server, CLUSTER, OTHER))
    add(server, OTHER)
    before = routes(server, sources=False)
    if by == "remove":
        assert (await remove(server, wish(server))).now.settled
    else:
        assert (await do(server, wish(server, CLUSTER))).now.settled
    assert OTHER not in json.dumps(json.loads(server.ip("-4", "-j", "address")))
    assert routes(server, sources=False) == before
    assert not [row for row in routes(server) if row.get("prefsrc") == OTHER]


@pytest.mark.parametrize("place", [f"{CLUSTER}/24 dev eth0", f"{CLUSTER}/16 dev lo"])
async def test_a_source_is_as_it_was_where_the_address_is_given_back(
    server: Host, place: str
) -> None:
    server.ip("address", "add", *place.split())
    add(server, CLUSTER)
    before = routes(server)
    assert (await do(server, wish(server))).done
    assert routes(server) == before
    await remove(server, wish(server))
    assert routes(server) == before


async def test_the_twin_that_is_there_is_enough(server: Host) -> None:
    await do(server, wish(server))
    server.ip("route", "add", "default", "via", "10.9.0.1")
    before = routes(server)
    server.ip("route", "prepend", "default", "via", "10.9.0.1", "src", CLUSTER)
    await remove(server, wish(server))
    assert routes(server) == before


@pytest.mark.parametrize("by", ["remove", "apply --only"])
async def test_a_route_that_is_lost_is_told(server: Host, by: str) -> None:
    """As an undo of an older release loses it."""
    await do(server, wish(server, CLUSTER, OTHER))
    server.ip("route", "add", "default", "via", "10.9.0.1", "src", OTHER)
    text = record_of(server, wish(server))
    assert text is not None
    record = records.parse(Output(text))
    bare = Command.sh(f"ip address del {OTHER}/32 dev lo")
    entries = tuple(
        records.Entry(e.id, e.what, (bare,)) if e.id == f"alias:{OTHER}" else e
        for e in record.entries
    )
    put_record(server, wish(server), records.Record(entries, record.clusters).dump())
    now = (await (remove if by == "remove" else do)(server, wish(server, CLUSTER))).now
    (lost,) = (f for f in now.plan.findings if f.severity is Severity.ERROR)
    assert "the route default via 10.9.0.1" in lost.what
    assert not now.settled
    server.run(["sh", "-c", lost.fix or "false"])
    assert "default via 10.9.0.1" in server.ip("route")


async def test_an_ipv6_route_loses_its_source_alone(server: Host) -> None:
    await do(server, wish(server))
    server.ip("-6", "route", "add", "default", "via", "2001:db8:9::1", "src", CLUSTER6)
    assert (await remove(server, wish(server))).now.settled
    assert "default via 2001:db8:9::1" in server.ip("-6", "route")


async def test_no_address_goes_with_a_wide_alias(server: Host) -> None:
    for address in (CLUSTER, "10.9.0.77", "10.9.0.78"):
        server.ip("address", "add", f"{address}/24", "dev", "lo")
    before = addresses(server, "lo")
    (error,) = (
        f
        for f in (await examine(server, wish(server))).plan.findings
        if f.severity is Severity.ERROR
    )
    assert "10.9.0.77, 10.9.0.78 hangs on it" in error.what
    await do(server, wish(server))
    assert {*before} <= {*addresses(server, "lo")}
    server.sysctl("net.ipv4.conf.lo.promote_secondaries", "1")
    await do(server, wish(server))
    assert {*before[2:], (f"{CLUSTER}/32", "host", "lo")} <= {*addresses(server, "lo")}
    await remove(server, wish(server))
    assert {*addresses(server, "lo")} == {*before}


async def test_cluster_addresses_that_hang_on_each_other(server: Host) -> None:
    for address in (CLUSTER, OTHER):
        server.ip("address", "add", f"{address}/24", "dev", "lo")
    before = addresses(server, "lo")
    done = await do(server, wish(server, CLUSTER, OTHER))
    assert done.now.settled
    kinds = [what.partition(" ")[0] for what in done.done if " lo" in what]
    assert kinds == ["add", "add", "take", "take"]  # so that neither is ever missing
    await remove(server, wish(server, CLUSTER, OTHER))
    assert {*addresses(server, "lo")} == {*before}


async def test_an_address_is_given_back_with_its_label(server: Host) -> None:
    server.ip("address", "add", f"{CLUSTER}/24", "dev", "eth0", "label", "eth0:1")
    before = addresses(server, "eth0")
    await do(server, wish(server))
    assert addresses(server, "eth0") != before
    await remove(server, wish(server))
    assert addresses(server, "eth0") == before


@pytest.mark.parametrize("row", ["10.9.0.64/26 dev lo tos 0x10", "10.9.0.64/26 nhid 12"])
async def test_an_extra_route_goes_and_comes_back_as_it_was(server: Host, row: str) -> None:
    server.ip("nexthop", "add", "id", "12", "dev", "lo")
    server.ip("route", "add", *row.split())
    before = routes(server)
    assert (await do(server, wish(server))).now.settled
    assert routes(server) != before
    await remove(server, wish(server))
    assert routes(server) == before


async def test_what_was_not_deleted_is_not_given_back(
    server: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the words do not name the row: the deletion fails, and `replace` would add one."""
    server.ip("route", "add", "10.9.0.64/26", "dev", "lo", "tos", "0x10")
    before = routes(server)
    monkeypatch.setattr(parse, "_ROUTE_WORDS", ())
    with pytest.raises(RemoteError, match="everything was undone"):
        await do(server, wish(server))
    assert routes(server) == before
