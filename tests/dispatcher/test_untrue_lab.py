"""In a laboratory: what would be believed though it is untrue, and is told instead.

The host itself answers its checks; a server never answered; a stranger answers for a server.
"""

from __future__ import annotations

import sys
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from shunt.lab import daemon, nginx, topology
from shunt.model.addresses import Mac
from shunt.network.frames import gratuitous_arp
from shunt.network.packets import PacketSocket
from tests.dispatcher.scene import eventually
from tests.dispatcher.seen import OWN, WEB, checks, configuration, down, status, up

if TYPE_CHECKING:
    from shunt.lab.daemon import Daemon
    from shunt.lab.topology import Topology

pytestmark = [pytest.mark.lab, pytest.mark.bpf]

FOUR = topology.CLUSTERS[0]
ADVISOR = "advisor: {type: http, interval: 100ms, connect_timeout: 2s, receive_timeout: 2s}"
CHECKED = configuration(f"{{port: 80, servers: [a, b, c], {ADVISOR}}}")
UNCHECKED = configuration("{port: 80, servers: [a, b, c]}")
STRANGER = Mac.parse("02:00:00:00:00:66")
REAL = "02:00:00:00:00:21"


def counts(running: Daemon) -> dict[str, int]:
    found: dict[str, int] = status(running)["events"]
    return found


def test_a_host_that_takes_the_cluster_address_answers_no_check(direct_return: Topology) -> None:
    """Every server is dead then, and the host's own web server would say 200 for each."""
    webs = nginx.start_all(direct_return)
    running = daemon.start(direct_return.dispatcher, CHECKED)
    host = direct_return.dispatcher
    eventually(lambda: up(running) == {"a", "b", "c"}, "all are up")
    webs["c"].process.kill()
    eventually(lambda: down(running) == {"c"}, "c is down")
    command = [sys.executable, "-m", "http.server", "--bind", "0.0.0.0", "80"]
    host.start(
        command,
    )
    falls = [line for line in running.process.output().splitlines() if "server up" in line]
    host.ip("address", "add", f"{FOUR}/32", "dev", "lo")
    eventually(lambda: all(row["untold"] for row in checks(running).values()), "none is checked")
    webs["a"].process.kill()
    made = status(running)["health"]["checks"]
    eventually(lambda: status(running)["daemon"]["held"], "the host is seen to hold it")
    said = running.shunt("status", check=False)
    assert said.status == 1
    assert f"ip address del {FOUR}/32 dev lo" in " ".join(said.stdout.split())
    assert f"ip address del {FOUR}/32 dev lo" in running.process.output()
    rows = checks(running)
    assert (rows["a"]["up"], rows["c"]["up"]) == (True, False), "as they were"
    assert status(running)["health"]["checks"] == made
    eventually(lambda: counts(running)["addressHeld"] == 1, "the event")
    assert [
        line for line in running.process.output().splitlines() if "server up" in line
    ] == falls, "the host was believed for nobody"
    host.ip("address", "del", f"{FOUR}/32", "dev", "lo")
    eventually(lambda: down(running) == {"a", "c"}, "checks go on by themselves")
    eventually(lambda: counts(running)["addressReleased"] == 1, "the event")
    assert running.shunt("status", check=False).status == 0


def test_a_daemon_that_starts_beside_the_address_looks_after_what_is_left(
    direct_return: Topology,
) -> None:
    """It must not leave the servers unchecked for good; a first start is refused."""
    nginx.start_all(direct_return)
    host = direct_return.dispatcher
    running = daemon.start(host, CHECKED)
    running.process.kill()
    host.ip("address", "add", f"{FOUR}/32", "dev", "lo")
    running = daemon.start(host, CHECKED)
    assert counts(running)["addressHeld"] == 1
    assert all(row["up"] is None for row in checks(running).values())
    host.ip("address", "del", f"{FOUR}/32", "dev", "lo")
    eventually(lambda: up(running) == {"a", "b", "c"}, "all are checked")


@pytest.mark.parametrize("text", [CHECKED, UNCHECKED], ids=["checked", "without an advisor"])
def test_a_server_that_never_answered_is_a_warning_and_an_event(
    direct_return: Topology, text: str
) -> None:
    nginx.start_all(direct_return)
    direct_return.servers["b"].ip("link", "set", "eth0", "down")
    running = daemon.start(direct_return.dispatcher, text)

    def told(event: str) -> list[str]:
        lines = running.process.output().splitlines()
        return [line for line in lines if event in line and "server=b" in line]

    eventually(lambda: told("server down"), "its silence is told")
    assert "does not answer ARP" in told("server down")[0]
    assert counts(running)["serverDown"] == 1
    if text == CHECKED:
        assert checks(running)["b"]["up"] is None
    direct_return.servers["b"].ip("link", "set", "eth0", "up")
    eventually(lambda: told("server up"), "its return is told")
    direct_return.servers["b"].ip("link", "set", "eth0", "down")
    eventually(lambda: len(told("server down")) == 2, "and its death")


def claim(standing: Topology, times: int = 1) -> None:
    """Say on the segment, so many times, that server a's address is at the stranger's MAC."""

    def body() -> None:
        with PacketSocket("eth0") as sender:
            for _ in range(times):
                for frame in gratuitous_arp(STRANGER, IPv4Address(OWN["a"])):
                    sender.send(frame)

    standing.client.call(body)


def member(running: Daemon) -> dict[str, Any]:
    (found,) = (each for each in status(running)["services"] if each["name"] == WEB)
    row: dict[str, Any] = next(each for each in found["servers"] if each["server"] == "a")
    return row


def test_a_stranger_who_answers_for_a_server_is_told_in_bounds(direct_return: Topology) -> None:
    nginx.start_all(direct_return)
    running = daemon.start(direct_return.dispatcher, UNCHECKED)
    assert member(running)["mac"] == REAL
    claim(direct_return)
    eventually(lambda: counts(running)["serverMac"], "the first claim is told")
    eventually(lambda: any(n["contested"] for n in macs(running)), "two owners are noticed")
    said = running.shunt("status", check=False)
    assert said.status == 1
    assert str(STRANGER) in said.stdout
    for _ in range(30):
        claim(direct_return, 100)
    assert counts(running)["serverMac"] <= 4
    lines = running.process.output().splitlines()
    assert sum(str(STRANGER) in line for line in lines) < 30
    eventually(lambda: member(running)["mac"] == REAL, "the server has the last word")


def macs(running: Daemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = status(running)["daemon"]["server_macs"]
    return found


def test_a_pinned_mac_holds_whoever_answers(direct_return: Topology) -> None:
    nginx.start_all(direct_return)
    text = configuration("{port: 80, servers: [a, b, c]}", servers={"a": f", mac: '{REAL}'"})
    running = daemon.start(direct_return.dispatcher, text)
    assert f"{REAL} pinned" in " ".join(running.shunt("status").stdout.split())
    slots = status(running)["moved"]["slots"]
    claim(direct_return)
    eventually(lambda: counts(running)["serverMac"], "it is told")
    assert macs(running)[0]["pinned"] is True
    assert member(running)["mac"] == REAL
    assert status(running)["moved"]["slots"] == slots
    eventually(lambda: not macs(running), "the server answers again")
