"""Whom a check by hand asks: never an address that requests do not come by."""

from __future__ import annotations

import asyncio
import os
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

import pytest

from shunt.advisors.check import make
from shunt.config import parse
from shunt.dispatcher.commands import Commands, allow
from shunt.dispatcher.control import Client
from shunt.dispatcher.health_once import Aim, aim, reachable
from shunt.dispatcher.wishes import UNKNOWN, Way
from shunt.errors import NetworkError, UsageError
from shunt.model.addresses import Mac

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from shunt.dispatcher.daemon import Daemon

CONFIG = parse(
    """\
dispatcher: {interface: eth0}
clusters:
  web: {address: [192.0.2.10, "2001:db8::10"], ports: [{port: 80, servers: [a, b]}]}
  all: {address: 0.0.0.0, ports: [{port: 53, protocol: udp, servers: [a]}]}
servers:
  a: {address: [192.0.2.21, "2001:db8::21"]}
  b: {address: 192.0.2.22}
""",
    "f",
)


def asked(place: str, *, kind: str = "http", at: str | None = None, server: str = "a") -> Aim:
    check = make(kind, {"at": at} if at else {}, port=80)
    return aim(CONFIG, check, ip_address(place), 80, server)


@pytest.mark.parametrize("place", ["192.0.2.10", "2001:db8::10"])
def test_a_cluster_address_is_asked_along_the_path(place: str) -> None:
    found = asked(place, server="b")
    assert found.along
    assert (str(found.target.address), found.target.port, found.target.server) == (place, 80, "b")


@pytest.mark.parametrize(
    ("place", "server", "own"),
    [("192.0.2.10", "a", "192.0.2.21"), ("2001:db8::10", "a", "2001:db8::21"),
     ("2001:db8::10", "b", "192.0.2.22"), ("2001:db8::21", "a", "2001:db8::21")],
)  # fmt: skip
def test_at_server_asks_the_servers_own_address(place: str, server: str, own: str) -> None:
    found = asked(place, at="server", server=server)
    assert not found.along
    assert str(found.target.address) == own


def test_a_service_for_every_address_is_asked_at_the_server() -> None:
    found = asked("0.0.0.0")
    assert (found.along, str(found.target.address)) == (False, "192.0.2.21")


@pytest.mark.parametrize("at", [None, "server"])
@pytest.mark.parametrize("place", ["192.0.2.1", "192.0.2.22", "127.0.0.1", "224.0.0.1", "::"])
def test_other_addresses_are_refused(place: str, at: str | None) -> None:
    with pytest.raises(UsageError, match="no cluster address") as refused:
        asked(place, at=at)
    assert "192.0.2.10" in str(refused.value.hint)
    assert "leave out --server" in str(refused.value.hint)


def test_a_servers_own_address_is_no_cluster_address() -> None:
    with pytest.raises(UsageError, match="no cluster address") as refused:
        asked("192.0.2.21")
    assert "at=server" in str(refused.value.hint)


def test_a_server_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no server 'c'") as refused:
        asked("192.0.2.10", server="c")
    assert refused.value.hint == "there is a, b"


def test_a_server_whose_mac_is_not_known_is_said_to_be_so() -> None:
    server = CONFIG.servers["a"]
    known = Way(Mac(b"\2\0\0\0\0\1"), 2, lost=True)
    assert reachable(server, known) is known
    with pytest.raises(NetworkError, match="its MAC address is not known yet"):
        reachable(server, UNKNOWN)


SHELL = {"command": ("/bin/sh", "-c", "id")}


def test_a_member_of_the_group_gets_no_more_than_it_has() -> None:
    member, root = Client(user=65534, connection=-1), Client(user=0, connection=-1)
    ourselves = Client(user=os.geteuid(), connection=-1)
    exec_ = make("exec", SHELL, port=80)
    reading = make("https", {"verify": "yes", "authorities": "/etc/shadow",
                             "server_name": "www.example"}, port=443)  # fmt: skip
    for client in (root, ourselves):
        allow(client, "exec", exec_)
        allow(client, "https", reading)
    with pytest.raises(UsageError, match="runs a command") as refused:
        allow(member, "exec", exec_)
    assert "root" in str(refused.value.hint)
    with pytest.raises(UsageError, match="opens a file"):
        allow(member, "https", reading)
    allow(member, "http", make("http", {}, port=80))
    allow(member, "https", make("https", {}, port=443))


def test_a_member_of_the_group_runs_no_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shunt.advisors.registry.plug_ins", lambda: {"own": None})
    with pytest.raises(UsageError, match="plug-in"):
        allow(Client(user=65534, connection=-1), "own")


def test_the_daemon_asks_who_it_is_before_it_does_anything() -> None:
    daemon = cast("Daemon", None)  # which it must not come to
    advise = Commands(daemon).handlers()["advise"]
    asked = {"kind": "exec", "settings": dict(SHELL), "address": "192.0.2.10", "port": 80}
    with pytest.raises(UsageError, match="for root only"):
        asyncio.run(_done(advise(asked | {"server": "a"}, Client(user=65534, connection=-1))))
    with pytest.raises(UsageError, match="bad request"):
        asyncio.run(
            _done(advise(asked | {"server": "a", "port": []}, Client(user=0, connection=-1)))
        )


async def _done(work: Awaitable[Any]) -> Any:
    return await work
