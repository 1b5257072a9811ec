"""The rule of extra routes, case by case, and jc as a second reader where it can read."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from typing import Any

import jc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem as System
from shunt.servers.routes.answer import answer
from shunt.servers.routes.delete import UNTYPEABLE, Deletion, deletion
from shunt.servers.routes.recognise import read
from shunt.servers.routes.rows import Kind, Listing, Route, Where
from shunt.servers.routes.rule import Rule, Severity, Surroundings, extra_routes

from .captures import CAPTURES

CLUSTER = ip_address("192.0.2.10")
OWN = ip_address("192.0.2.21")


def route(
    destination: str, gateway: str | None = None, interface: str = "em0", **more: Any
) -> Route:
    network = ip_network(destination)
    via = ip_address(gateway) if gateway else None
    return Route(1, destination, network.network_address, network.prefixlen, via, interface, **more)


def judge(row: Route, around: Surroundings | None = None) -> tuple[Rule, Severity] | None:
    found = extra_routes(
        Listing(System.FREEBSD, "", (row,)), (CLUSTER,), around or Surroundings((OWN,))
    )
    return (found[0].rule, found[0].severity) if found else None


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (route("192.0.2.0/24", "192.0.2.10"), Rule.GATEWAY),
        (route("0.0.0.0/0", "192.0.2.10"), Rule.GATEWAY),
        (route("192.0.2.0/24", interface="lo0"), Rule.LOOPBACK),
        (route("192.0.2.0/24", interface="lo0:1"), Rule.LOOPBACK),
        (route("192.0.2.0/24", "127.0.0.1", interface="lo0"), Rule.LOOPBACK),
        (route("192.0.0.0/16", interface="7", holders=(CLUSTER,)), Rule.INTERFACE),
        (route("192.0.2.0/24", interface="x", source=CLUSTER), Rule.SOURCE),
        (route("192.0.2.0/24", "192.0.2.21"), None),
        (route("192.0.2.10/32", "192.0.2.10", interface="lo0"), None),
        (route("198.51.100.0/24", "192.0.2.10"), None),
        (route("224.0.0.0/3", "192.0.2.10"), None),
        (route("127.0.0.0/8", "127.0.0.1", interface="lo0"), None),
        (route("0.0.0.0/0", interface="lo0", kind=Kind.REFUSE), None),
        (route("192.0.2.0/24", interface="lo0", kind=Kind.OTHER), None),
        (route("192.0.0.0/16", interface="7", holders=(CLUSTER, OWN)), None),
        (route("0.0.0.0/0", "192.0.2.1", interface="eth0", source=CLUSTER), None),
        (route("2001:db8::/64", interface="lo0"), None),
    ],
    ids=str,
)
def test_rule(row: Route, rule: Rule | None) -> None:
    found = judge(row)
    assert (found[0] if found else None) == rule


def test_severity_is_what_the_route_covers() -> None:
    row = route("192.0.2.0/28", "192.0.2.10")
    assert judge(row) == (Rule.GATEWAY, Severity.WARNING)
    for around in (
        Surroundings(own=(ip_address("192.0.2.9"),)),
        Surroundings(gateways=(ip_address("192.0.2.1"),)),
        Surroundings(dispatchers=(ip_address("192.0.2.2"),)),
    ):
        assert judge(row, around) == (Rule.GATEWAY, Severity.ERROR)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 31))
def test_any_network_of_the_cluster_address_is_found_whatever_its_class(prefix: int) -> None:
    network = IPv4Network((CLUSTER, prefix), strict=False)
    row = Route(1, "", network.network_address, prefix, IPv4Address(CLUSTER.packed), "em0")
    assert judge(row) == (Rule.GATEWAY, Severity.ERROR if OWN in network else Severity.WARNING)


ROW = route("192.0.2.0/24", "192.0.2.10", interface="lo0")
DEFAULT = route("0.0.0.0/0", "192.0.2.10")
LINK = route("10.0.0.0/8", interface="lo0")
LOCAL = route("192.0.2.0/24", interface="lo", kind=Kind.LOCAL, where=Where.LOCAL, table="local")


@pytest.mark.parametrize(
    ("system", "row", "commands"),
    [
        (System.AIX, ROW, ["route delete -net 192.0.2.0/24 192.0.2.10"]),
        (System.AIX_WPAR, ROW, ["route delete -net 192.0.2.0/24 192.0.2.10"]),
        (System.HP_UX, ROW, ["route delete net 192.0.2.0 netmask 255.255.255.0 192.0.2.10"]),
        (System.HP_UX, DEFAULT, ["route delete default 192.0.2.10"]),
        (System.SOLARIS10, ROW, ["route delete -net 192.0.2.0/24 192.0.2.10"]),
        (System.ILLUMOS, ROW, ["route delete -net 192.0.2.0/24 192.0.2.10"]),
        (System.FREEBSD, DEFAULT, ["route delete -net default 192.0.2.10"]),
        (System.OPENBSD, LINK, ["route delete -net 10.0.0.0/8 -iface lo0"]),
        (System.MACOS, LINK, ["route delete -net 10.0.0.0/8 -interface lo0"]),
        (System.LINUX, LOCAL, ["ip route del local 192.0.2.0/24 dev lo table local"]),
        (System.WINDOWS, ROW, ["route delete 192.0.2.0 192.0.2.10"]),
        (System.WINDOWS2003, ROW, []),
    ],
)  # fmt: skip
def test_delete_commands(system: System, row: Route, commands: list[str]) -> None:
    assert list(deletion(system, row, CLUSTER).commands) == commands


@pytest.mark.parametrize("name", ["linux-netstat", "linux-route-dummy-german"])
def test_jc_reads_the_same_rows_of_net_tools(name: str) -> None:
    text = next(capture.text for capture in CAPTURES if capture.name == name)
    english = text.replace("Ziel   ", "Destination ").replace("Router ", "Gateway ")
    theirs = jc.parse("route", english, quiet=True)
    ours = read(text).routes
    assert [(row["destination"], row["genmask"], row["iface"]) for row in theirs] == [
        (r.written, str(r.network.netmask if r.network else ""), r.interface) for r in ours
    ]


def test_jc_reads_the_same_rows_of_freebsd() -> None:
    text = next(capture.text for capture in CAPTURES if capture.name == "freebsd-old-columns")
    theirs = jc.parse("netstat", text, quiet=True)
    assert [(row["destination"], row["iface"]) for row in theirs] == [
        (r.written, r.interface) for r in read(text).routes
    ]


HOSTILE = ("eth0;id", "$(id)", "`id`", "a'b", 'a"b', "a|b", "a&b", "~", "*", "<x")


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("system", [System.LINUX, System.FREEBSD, System.OPENBSD])
def test_a_shell_takes_names_of_the_listing_as_one_word(system: System, name: str) -> None:
    row = route("10.0.0.0/8", interface=name, table=name)
    how = deletion(system, row, CLUSTER)
    told = 'ip() { printf "%s\\n" "$@"; }; route() { ip "$@"; }; '
    for text in (*how.commands, (how.note or "()").partition("(")[2].rpartition(")")[0]):
        words = subprocess.run(
            ["sh", "-c", told + text], capture_output=True, text=True, check=True, timeout=30
        ).stdout.splitlines()
        assert text == "" or name in words


@pytest.mark.parametrize("name", ["eth\x1b]0;x\x07", "eth\u202e0", "a b", "a\nb", "a\0", "\udc80"])
def test_names_that_a_terminal_cannot_show_as_they_are_make_no_command(name: str) -> None:
    plain = route("10.0.0.0/8", interface="lo0")
    for row in (replace(plain, interface=name), replace(plain, table=name)):
        for system in (System.LINUX, System.FREEBSD):
            assert deletion(system, row, CLUSTER) == Deletion((), UNTYPEABLE)


TABLE = (
    "default via 192.0.2.1 dev eth0 proto static\n"
    "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.21\n"
    "local 192.0.2.21 dev eth0 table local proto kernel scope host src 192.0.2.21\n"
)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("192.0.2.10 via 192.0.2.7 dev eth0", "a route through 192.0.2.7"),
        ("192.0.2.10 dev eth0 scope link", "a route to eth0, not an address"),
        ("192.0.2.10 dev lo scope link", "a route to lo, not an address"),
        ("blackhole 192.0.2.10", "one that refuses its packets"),
        ("broadcast 192.0.2.10 dev eth0 table local", "a broadcast or multicast address"),
    ],
)
def test_a_row_of_the_address_is_not_yet_an_address(row: str, why: str) -> None:
    result = answer(TABLE + row, (CLUSTER,))
    assert result.exit_code == 2
    assert result.blind[0].why.endswith(f"is {why}")


@pytest.mark.parametrize("device", ["lo", "svc0", "lb-anycast"])
def test_an_address_is_held_on_whatever_the_device_is_called(device: str) -> None:
    row = f"local 192.0.2.10 dev {device} table local proto kernel scope host src 192.0.2.10"
    assert answer(TABLE + row, (CLUSTER,)).exit_code == 0


@pytest.mark.parametrize(
    ("row", "note"),
    [
        ("192.0.2.0/26 dev lo proto static scope link", "somebody added it (static)"),
        ("192.0.2.0/26 dev lo scope link", "if it comes back, an alias has this mask"),
        (
            "local 192.0.2.0/26 dev lo table local proto kernel scope host src 192.0.2.10",
            "ip addr del 192.0.2.10/26 dev lo; ip addr add 192.0.2.10/32 dev lo",
        ),
    ],
)
def test_what_is_advised_for_a_route_of_linux_is_there_to_be_done(row: str, note: str) -> None:
    held = "\nlocal 192.0.2.10 dev lo table local proto kernel scope host src 192.0.2.10"
    (_, how), *others = answer(TABLE + row + held, (CLUSTER,)).extras
    assert not others
    assert note in (how.note or "")


HELD = "\nlocal 192.0.2.10 dev lo table local proto kernel scope host src 192.0.2.10"


@pytest.mark.parametrize(
    ("rows", "command"),
    [
        ("192.0.2.0/26 dev lo tos 0x10 scope link", "ip route del 192.0.2.0/26 dev lo tos 0x10"),
        (
            "192.0.2.0/26 nhid 12 dev lo \n\tnh_info id 12 dev lo scope host proto unspec ",
            "ip route del 192.0.2.0/26 nhid 12",
        ),
    ],
)
def test_what_tells_a_row_from_others_is_in_the_command(rows: str, command: str) -> None:
    ((_, how),) = answer(TABLE + rows + HELD, (CLUSTER,)).extras
    assert how.commands == (command,)


def test_a_route_with_a_good_way_is_not_deleted() -> None:
    rows = "192.0.2.0/26 \n\tnexthop dev lo weight 1 \n\tnexthop via 192.0.2.3 dev eth0 weight 1"
    result = answer(TABLE + rows + HELD, (CLUSTER,))
    assert result.exit_code == 1
    assert [how.commands for _, how in result.extras] == [()]


def test_another_alias_of_the_network_is_the_one_to_be_narrowed() -> None:
    row = "local 192.0.2.0/24 dev lo table local proto kernel scope host src 192.0.2.99"
    ((_, how),) = answer(TABLE + row + HELD, (CLUSTER,)).extras
    assert "ip addr del 192.0.2.99/24 dev lo" in (how.note or "")


def test_the_source_of_a_route_is_not_the_address_of_its_card() -> None:
    table = TABLE.replace("link src 192.0.2.21", "link src 192.0.2.10") + HELD
    assert not answer(table, (CLUSTER,)).on_the_wire


def test_an_interface_with_other_addresses_may_be_a_card() -> None:
    rows = (
        "198.51.100.0/24 dev eth1 proto kernel scope link src 198.51.100.7\n"
        "local 198.51.100.7 dev eth1 table local proto kernel scope host src 198.51.100.7\n"
        "local 192.0.2.10 dev eth1 table local proto kernel scope host src 192.0.2.10"
    )
    result = answer(TABLE + rows, (CLUSTER,))
    assert result.exit_code == 2
    assert "eth1 has 198.51.100.7 as well" in result.blind[0].why
    alone = "local 192.0.2.10 dev eth1 table local proto kernel scope host src 192.0.2.10"
    assert answer(TABLE + alone, (CLUSTER,)).exit_code == 0


def test_the_kernel_writes_a_route_to_lo_like_one_that_refuses() -> None:
    """/proc/net/ipv6_route gives both the flag RTF_REJECT."""
    zeroes = "0" * 32
    line = (
        f"20010db8{'0' * 24} 40 {zeroes} 00 {zeroes} 00000100 00000001 00000000 00200200       lo\n"
        f"20010db8{'0' * 22}10 80 {zeroes} 00 {zeroes} 00000000 00000002 00000000 80200001   lo\n"
    )
    with pytest.raises(ParseError, match="one that refuses"):
        read(line)


def test_a_network_twice_in_a_tree_is_two_routes() -> None:
    text = next(capture.text for capture in CAPTURES if capture.name == "linux-fib-trie-host")
    twice = text.replace("/24 link UNICAST", "/24 link UNICAST\n                 /24 link UNICAST")
    assert len(read(twice).routes) == len(read(text).routes) + 1
