"""The parsers: what is rendered in the tools' own forms comes back, and garbage never does."""

from __future__ import annotations

import base64
import json
import subprocess
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.errors import ParseError
from shunt.servers.drivers.linux import facts, parse
from shunt.servers.drivers.linux.observed import Held, Link, Proxy, Route, Rule, Setting
from shunt.servers.steps import Output
from tests.servers.drivers.golden import FOLDER, load

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.servers.drivers.linux.observed import Host

DONE = load(FOLDER / "linux" / "done.yaml").outputs
NAMES = st.from_regex(r"[a-z][a-z0-9.:-]{0,13}", fullmatch=True)
HELD = st.builds(
    lambda address, length, scope, **flags: Held(
        address, min(length, address.max_prefixlen), scope, **flags
    ),
    st.ip_addresses(),
    st.integers(0, 128),
    st.sampled_from(["global", "link", "host"]),
    secondary=st.booleans(),
    deprecated=st.booleans(),
)
LINKS = st.lists(
    st.builds(
        Link,
        NAMES,
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["", "veth", "dummy", "bridge"]),
        st.lists(HELD, max_size=3).map(tuple),
    ),
    max_size=4,
)


def _host(**outputs: str) -> Host:
    return parse.host({**DONE, **{name: Output(text) for name, text in outputs.items()}})


def _rendered_link(link: Link) -> dict[str, Any]:
    flags = {"UP": link.up, "LOOPBACK": link.loopback, "NOARP": not link.arp}
    row: dict[str, Any] = {
        "ifname": link.name,
        "flags": [name for name, there in flags.items() if there],
        "addr_info": [
            {
                "family": "inet" if held.address.version == 4 else "inet6",
                "local": str(held.address),
                "prefixlen": held.length,
                "scope": held.scope,
                **({"secondary": True} if held.secondary else {}),
                **({"deprecated": True} if held.deprecated else {}),
            }
            for held in link.addresses
        ],
    }
    return row | ({"linkinfo": {"info_kind": link.kind}} if link.kind else {})


@given(LINKS)
@settings(max_examples=60, deadline=None)
def test_interfaces(links: list[Link]) -> None:
    loopback = Link("lo", up=True, loopback=True, arp=True, kind="", addresses=())
    rows = [_rendered_link(link) for link in (loopback, *links)]
    assert _host(links=json.dumps(rows)).links == (loopback, *links)


def test_a_host_without_a_loopback_is_none() -> None:
    with pytest.raises(ParseError, match="no loopback interface"):
        _host(links="[]")


@given(
    st.ip_addresses(v=4),
    st.integers(1, 32),
    st.sampled_from(["main", "local", "100"]),
    st.sampled_from(["unicast", "local", "blackhole"]),
    st.none() | NAMES,
    st.none() | st.ip_addresses(v=4),
)
@settings(max_examples=60, deadline=None)
def test_routes(
    address: Any, length: int, table: str, kind: str, device: str | None, gateway: Any
) -> None:
    network = ip_network((int(address) >> (32 - length) << (32 - length), length))
    row = {"type": kind, "dst": str(network), "table": table, "protocol": "boot", "scope": "link"}
    words = [*(() if kind == "unicast" else (kind,)), str(network)]
    for key, word, value in (("gateway", "via", gateway), ("dev", "dev", device)):
        if value is not None:
            row[key] = str(value)
            words += [word, str(value)]
    words += ["table", table, "proto", "boot", "scope", "link"]
    route = _host(routes4=json.dumps([row]), routes6="[]").routes
    assert route == (Route(network, table, kind, device, gateway, None, tuple(words)),)


@given(st.lists(st.tuples(st.ip_addresses(v=6), NAMES), max_size=4))
@settings(max_examples=30, deadline=None)
def test_published_entries(entries: list[tuple[Any, str]]) -> None:
    rows = [{"dst": str(address), "dev": name, "proxy": None} for address, name in entries]
    host = _host(proxies4="[]", proxies6=json.dumps(rows))
    assert host.proxies == tuple(Proxy(address, name) for address, name in entries)


@pytest.mark.parametrize(
    ("row", "everything"),
    [
        ({"priority": 7, "src": "all", "table": "5"}, True),
        ({"priority": 7, "src": "10.0.0.0", "srclen": 8, "table": "5"}, False),
        ({"priority": 7, "src": "all", "fwmark": "0x1", "table": "5"}, False),
        ({"priority": 7, "src": "all", "iif": "eth0", "table": "5"}, False),
        ({"priority": 7, "not": None, "src": "all", "fwmark": "0x1", "table": "5"}, False),
    ],
)
def test_rules(row: dict[str, Any], *, everything: bool) -> None:
    assert _host(rules4=json.dumps([row]), rules6="[]").rules == (Rule(4, 7, "5", everything),)


@given(st.dictionaries(NAMES, st.text(max_size=30), max_size=4))
@settings(max_examples=40, deadline=None)
def test_files(contents: dict[str, str]) -> None:
    lines = [
        f"/etc/{name} {base64.b64encode(text.encode()).decode()}."
        for name, text in contents.items()
    ]
    host = _host(files="\n".join([*lines, "/etc/none -", "end", ""]))
    assert host.files == {f"/etc/{name}": text for name, text in contents.items()} | {
        "/etc/none": None
    }


@pytest.mark.parametrize(
    ("line", "setting"),
    [
        ("/a.conf:net.ipv4.conf.all.arp_ignore = 1", ("net.ipv4.conf.all.arp_ignore", "1")),
        ("/a.conf:-net/ipv4/conf/all/rp_filter=2", ("net.ipv4.conf.all.rp_filter", "2")),
        ("/a.conf:-net.ipv4.conf.all.rp_filter", ("net.ipv4.conf.all.rp_filter", None)),
        ("/a.conf: - net.ipv4.conf.all.rp_filter ", ("net.ipv4.conf.all.rp_filter", None)),
        ("/a.conf:net.ipv4.conf.*.rp_filter = 2", ("net.ipv4.conf.*.rp_filter", "2")),
        ("/a.conf:net/ipv4/conf/eth0.5/arp_ignore=3", ("net.ipv4.conf.eth0/5.arp_ignore", "3")),
        ("/a.conf:net.ipv4.conf.eth0/5.arp_ignore=3", ("net.ipv4.conf.eth0/5.arp_ignore", "3")),
    ],
)
def test_lines_of_sysctl_files(line: str, setting: tuple[str, str | None]) -> None:
    assert _host(settings=f"{line}\nend\n").settings == (Setting("/a.conf", *setting),)


def test_what_is_neither_set_nor_excluded_is_passed_over_and_garbage_is_not() -> None:
    assert _host(settings="/a.conf:net.ipv4.conf.all.rp_filter\nend\n").settings == ()
    with pytest.raises(ParseError, match="sysctl file"):
        _host(settings="/a.conf:what?\nend\n")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("managers", "systemd=yes\nError: NetworkManager is not running.\nend\n"),
        ("files", "/etc/a abc.\nend\n"),
        ("files", "/etc/a a b.\nend\n"),
        ("filters", "\t\tarp daddr ip what drop\nend\n"),
    ],
)
def test_an_answer_half_of_which_makes_sense_is_an_error(name: str, text: str) -> None:
    with pytest.raises(ParseError):
        _host(**{name: text})


@pytest.mark.parametrize(
    ("lines", "addresses"),
    [
        (["\t\tarp operation request arp daddr ip 192.0.2.10 drop"], set()),
        (["-j DROP -d 192.0.2.10 "], set()),
        (
            ["-j DROP -d 192.0.2.10 ", "-j mangle -s 192.0.2.10 --mangle-ip-s 192.0.2.21 "],
            {"192.0.2.10"},
        ),
        (
            [
                "\t\tarp operation request arp daddr ip 192.0.2.10 drop",
                "\t\tarp saddr ip 192.0.2.10 arp saddr ip set 192.0.2.21",
            ],
            {"192.0.2.10"},
        ),
        (["\t\tip6 daddr 2001:db8::10 redirect"], {"2001:db8::10"}),
        (["-j DROP -s 10.1.0.0/16 -d 10.0.0.0/24 ", "-j mangle -s 10.0.0.0/24 "], set()),
        (
            ["-j DROP ! -d 192.0.2.10 ", "-j mangle -s 192.0.2.10 --mangle-ip-s 192.0.2.21 "],
            set(),
        ),
    ],
)
def test_a_filter_counts_only_if_it_drops_and_rewrites(
    lines: list[str], addresses: set[str]
) -> None:
    host = _host(filters="\n".join([*lines, "end", ""]))
    assert {str(address) for address in host.filtered} == addresses


GARBAGE = st.text(max_size=60).filter(
    lambda text: not text.strip().startswith("[") and not text.rstrip().endswith("end")
)


@given(st.sampled_from(sorted(set(DONE) - {"record"})), GARBAGE)
@settings(max_examples=150, deadline=None)
def test_garbage_never_passes_for_an_answer(name: str, text: str) -> None:
    with pytest.raises(ParseError):
        _host(**{name: text})


@pytest.mark.parametrize(
    ("mounts", "mode"),
    [
        ("proc /proc proc rw,nosuid 0 0", "rw"),
        ("proc /proc proc rw 0 0\nproc /proc/sys proc ro,nosuid 0 0", "ro"),
        # systemd-nspawn with a network of its own
        (
            "proc /proc proc rw 0 0\nproc /proc/sys proc ro 0 0\nproc /proc/sys/net proc rw 0 0",
            "rw",
        ),
        ("proc /proc proc rw 0 0\nproc /proc/sysrq-trigger proc ro 0 0", "rw"),
    ],
)
def test_the_deepest_mount_over_the_settings_decides(
    mounts: str, mode: str, tmp_path: Path
) -> None:
    (asked,) = (f.command.text for f in facts.facts([]) if f.name == "values")
    (tmp_path / "mounts").write_text(f"{mounts}\n")
    done = subprocess.run(
        ["sh", "-c", asked.replace("/proc/mounts", str(tmp_path / "mounts"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == f"mount:{mode}"
