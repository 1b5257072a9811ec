"""Files on disk, and the model that comes out of a right one."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from shunt.config import load, load_located, parse
from shunt.errors import ConfigError, UsageError
from shunt.model.config import (
    Advisor,
    Dispatcher,
    Member,
    Mode,
    OnDown,
    OperatingSystem,
    Protocol,
    Server,
    Sticky,
    Track,
)

FULL = """\
x-web: &web {on_down: move}
dispatcher:
  interfaces: [eth0, eth1]
  mode: generic
  group: adm
  secret: 00112233445566778899001122334455
  exceptions: 2048
  exceptions_rate: 100
  announce: 2m
clusters:
  web:
    <<: *web
    address: [192.0.2.10, "2001:db8::10"]
    stale: 10m
    sticky: {time: 1h, mask: 24, cross: [80, any]}
    ports:
      - port: 080
        protocol: both
        servers: {a: 3, b: , c: {weight: 0}}
        on_down: reset
        sticky: {time: 0}
        advisor: {type: http, request: GET /health, expect: 200, headers: {Host: on}, codes: [08, ]}
      - {port: any, servers: [c, a], track: all, udp_idle: 5, stale: 1d}
  old:
    address: 192.0.2.11
    ports: [{port: 21, servers: [a]}, {port: 23, servers: [b]}, {port: 22, servers: [b]}]
servers:
  a: {address: [192.0.2.21, "2001:db8::21"], weight: 7, via: local, netns: blue,
      interface: Ethernet 2}
  b: {address: 192.0.2.22, os: aix-wpar, wpar: app1, gateway: 192.0.2.1}
  c: {address: 2001:db8::23}
"""


def test_every_key_reaches_the_model() -> None:
    config = parse(FULL, "f")
    assert config.dispatcher == Dispatcher(
        interfaces=("eth0", "eth1"),
        mode=Mode.GENERIC,
        group="adm",
        secret=bytes.fromhex("00112233445566778899001122334455"),
        exceptions=2048,
        exceptions_rate=100,
        announce=120,
    )
    v4, v6 = IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10")
    web = [service for service in config.services if service.cluster == "web"]
    assert [(s.address, s.protocol, s.port) for s in web] == [
        (v4, Protocol.TCP, 80), (v4, Protocol.UDP, 80), (v4, Protocol.TCP, 0),
        (v6, Protocol.TCP, 80), (v6, Protocol.UDP, 80), (v6, Protocol.TCP, 0),
    ]  # fmt: skip
    http, rest = web[0], web[2]
    assert http.members == (Member("a", 3), Member("b", 10), Member("c", 0))
    assert (http.stale, http.on_down, http.track, http.sticky) == (
        600,
        OnDown.RESET,
        Track.AUTO,
        None,
    )
    (advisor,) = http.advisors
    assert advisor == Advisor(
        "http",
        {
            "request": "GET /health",
            "expect": "200",
            "headers": {"Host": "on"},
            "codes": ("08",),
        },
    )
    assert rest.members == (Member("c", 10), Member("a", 7))
    assert (rest.stale, rest.on_down, rest.track, rest.udp_idle) == (
        86400,
        OnDown.MOVE,
        Track.ALL,
        5,
    )
    assert rest.sticky == Sticky(time=3600, mask4=24, mask6=128, cross=(80,))
    assert config.servers["a"] == Server(
        name="a",
        addresses=(IPv4Address("192.0.2.21"), IPv6Address("2001:db8::21")),
        weight=7,
        via="local",
        netns="blue",
        interface="Ethernet 2",
    )
    assert config.servers["b"].os is OperatingSystem.AIX_WPAR
    assert list(config.servers) == ["a", "b", "c"]


def test_ftp_and_telnet_rest_for_longer() -> None:
    config = parse(FULL, "f")
    assert [s.stale for s in config.services if s.cluster == "old"] == [900, 259_200, 300]


def test_nothing_of_the_model_can_be_changed() -> None:
    config = parse(FULL, "f")
    (advisor,) = config.services[0].advisors
    for mapping in (config.servers, advisor.settings, advisor.settings["headers"]):
        with pytest.raises(TypeError):
            mapping["new"] = "x"  # type: ignore[index]  # that it is refused is the test


def test_places_are_found_again(tmp_path: Path) -> None:
    file = tmp_path / "shunt.yaml"
    file.write_text(FULL)
    located = load_located(file)
    assert located.config == load(file)
    assert located.where(("clusters", "web", "address", 1)) == (13, 27)
    assert located.where(("clusters", "old", "address", 0)) == (25, 14)
    assert located.where(("dispatcher", "interfaces", 1)) == (3, 22)
    assert located.where(("servers", "b", "weight")) == (30, 6)  # a default: its server
    assert located.where(("elsewhere",)) == (1, 1)
    v6 = located.addresses[IPv6Address("2001:db8::10")]
    problem = located.problem(v6, "is held by this host")
    expected = f"{file}:13:27: clusters.web.address[1]: is held by this host"
    assert problem.render(str(file)) == expected


def test_unreadable_files_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(UsageError, match="is a directory"):
        load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be read: not a directory"):
        load(tmp_path / "file" / "x")


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        (b"a: 1\nb: \xe9t\xe9\n", "2:4", "no UTF-8"),
        ("é: 1".encode() + b"\xff", "1:5", "no UTF-8"),
        ("a: 1".encode("utf-16"), "1:1", "UTF-16"),
    ],
)
def test_text_is_utf8(tmp_path: Path, data: bytes, place: str, words: str) -> None:
    file = tmp_path / "shunt.yaml"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=f":{place}: .*{words}"):
        load(file)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A device may have no end, and nobody may ever write into a named pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(UsageError, match="is not a regular file"):
            load(path)


def test_a_file_of_any_size_costs_no_more_than_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "shunt.yaml"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(UsageError, match="has more than 64 MiB"):
        load(file)


@pytest.mark.parametrize(
    "text",
    [
        "root:*:20228:0:99999:7:::\ns3cret:*:20228:0:99999:7:::\n",
        "s3cret: s3cret\ntoken: s3cret\nmore: {s3cret: 1}\n",
        "- s3cret\n- s3cret: s3cret\n",
        "s3cret\n",
    ],
)
def test_of_another_kind_of_file_nothing_is_repeated(text: str) -> None:
    """`sudo shunt config check` must not be a way to read any file there is."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    assert "s3cret" not in caught.value.message
