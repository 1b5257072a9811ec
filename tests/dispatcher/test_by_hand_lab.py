"""In a laboratory: checks by hand tell the truth, and touch nothing; clearing harms nobody."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shunt.lab import daemon, nginx, topology
from shunt.lab.processes import run
from tests.dispatcher.scene import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.daemon import Daemon
    from shunt.lab.host import Host
    from shunt.lab.topology import Topology

pytestmark = [pytest.mark.lab, pytest.mark.bpf]

FOUR, SIX = topology.CLUSTERS
SERVICE = f"{FOUR}:80/tcp"
ADVISOR = "advisor: {type: http, request: /, interval: 300ms, connect_timeout: 300ms}"
BRIEF = ("connect_timeout=300ms", "receive_timeout=300ms")
SILENT = """\
import socket
server = socket.create_server(("", 81))
print("listening", flush=True)
heard = []
while True:
    heard.append(server.accept())
"""
UNKNOWN = "\n  d: {address: 192.0.2.99}\n"


def entry(standing: Topology, address: object) -> str:
    """Return the MAC and state that the dispatcher has for an address."""
    return standing.dispatcher.ip("neighbour", "show", str(address)).strip()


def falls(running: Daemon) -> int:
    found: int = running.status()["events"].get("serverDown", 0)
    return found


def checks(running: Daemon) -> int:
    found: int = running.status()["health"]["checks"]
    return found


def further(running: Daemon) -> None:
    """Wait until each server was checked again."""
    before = checks(running)
    eventually(lambda: checks(running) >= before + 6, "the checks went on")


@pytest.fixture
def running(direct_return: Topology) -> Iterator[Daemon]:
    nginx.start_all(direct_return)
    text = direct_return.configuration()
    text = text.replace("servers: [a, b, c]}", f"servers: [a, b, c], {ADVISOR}}}") + UNKNOWN
    made = daemon.start(direct_return.dispatcher, text)
    eventually(lambda: checks(made) >= 6, "all were checked")
    yield made
    made.shunt("down")


def test_a_check_by_hand_touches_no_other_address(direct_return: Topology, running: Daemon) -> None:
    """Neither a neighbour, nor the server's own address: both would be lost to the dispatcher."""
    client = str(direct_return.client.interface("eth0").addresses[0].ip)
    own = str(direct_return.servers["a"].interface("eth0").addresses[0].ip)
    direct_return.dispatcher.run(["ping", "-c1", "-W1", client])
    mac = str(direct_return.dispatcher.interface("eth0").mac)
    for place in (client, own, "192.0.2.77"):
        refused = running.shunt("advisor", "run", "ping", place, *BRIEF, "--server", "a",
                                check=False)  # fmt: skip
        assert refused.status == 2, refused
        assert "no cluster address" in refused.stderr
        assert mac not in entry(direct_return, place)
    further(running)
    assert falls(running) == 0
    direct_return.dispatcher.run(["ping", "-c1", "-W1", client])


def test_what_is_asked_by_hand_is_what_was_meant(direct_return: Topology, running: Daemon) -> None:
    asked = ["advisor", "run", "http", f"{FOUR}:80", "request=/", *BRIEF, "--server"]
    assert running.shunt(*asked, "b").status == 0
    own = running.shunt(*asked, "b", "at=server", check=False)  # nginx has the cluster address only
    assert own.status == 1
    assert "nothing listens" in own.stdout
    unknown = running.shunt(*asked, "d", check=False)
    assert unknown.status == 1
    assert "server d (192.0.2.99) cannot be reached" in unknown.stderr
    nobody = running.shunt("advisor", "run", "http", f"{FOUR}:80", check=False)
    assert nobody.status == 2
    assert "add --server" in nobody.stderr
    listed = [f"command={word}" for word in ("/bin/echo", "-n", "%s", "has", "%p")]
    said = running.shunt("advisor", "run", "exec", f"{FOUR}:80", *listed, "at=server",
                         "--server", "c")  # fmt: skip
    assert "c has 80" in said.stdout


def test_a_check_whose_client_goes_away_leaves_nothing(direct_return: Topology) -> None:
    """No advisor asks the cluster addresses here, so nothing of a path is there before."""
    running = daemon.start(direct_return.dispatcher, direct_return.configuration())
    silent = direct_return.servers["b"]
    listening = silent.start([sys.executable, "-c", SILENT])
    listening.wait_until_says("listening", timeout=20)
    command = str(Path(sys.executable).with_name("shunt"))
    words = ["advisor", "run", "http", f"{FOUR}:81", "receive_timeout=1h", "--server", "b"]
    for rooted in (
        ["--root", str(running.root)],
        ["--root", str(running.root) + "-absent", "-c", str(running.config)],
    ):  # by the daemon, and without one
        waiting = direct_return.dispatcher.start([command, *words, *rooted])
        eventually(lambda: "REACHABLE" in entry(direct_return, FOUR), "it is on its way")
        waiting.signal(signal.SIGINT)
        eventually(lambda: not entry(direct_return, FOUR), "all was taken back")
    assert not entry(direct_return, SIX)
    running.shunt("down")


def flush(host: Host) -> None:
    """Clear the neighbour table; `ip` gives up after ten rounds if others fill it meanwhile."""
    done = run(["ip", "-n", host.namespace, "neighbour", "flush", "dev", "eth0"], check=False)
    assert done.status == 0 or "Flush not complete" in done.stdout, done.stderr


def test_clearing_the_neighbour_table_takes_nobody_down(
    direct_return: Topology, running: Daemon
) -> None:
    for _ in range(10):
        flush(direct_return.dispatcher)
        further(running)
    assert falls(running) == 0


def test_an_address_that_cannot_be_checked_is_said_and_the_others_are(
    direct_return: Topology, running: Daemon
) -> None:
    dispatcher = direct_return.dispatcher
    six = f"[{SIX}]:80/tcp"

    def row(service: str) -> dict[str, object]:
        found: dict[str, object] = running.status()["health"]["services"][service]["servers"]["a"]
        return found

    dispatcher.ip("-6", "route", "add", "unreachable", f"{SIX}/128")
    flush(dispatcher)
    eventually(lambda: "not checked: no route" in str(row(six)["words"]), "it was said")
    assert "not checked: no route" in running.shunt("status").stdout.replace("\n", " ")
    further(running)
    assert row(SERVICE)["up"]
    dispatcher.ip("-6", "route", "del", "unreachable", f"{SIX}/128")
    eventually(lambda: "not checked" not in str(row(six)["words"]), "it is checked again")
    assert falls(running) == 0


def test_who_may_not_is_told_so_in_our_words(direct_return: Topology) -> None:
    config = direct_return.dispatcher.write("shunt.yaml", direct_return.configuration())
    command = str(Path(sys.executable).with_name("shunt"))
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", command]
    asked = ["advisor", "run", "http", f"{FOUR}:80", "--server", "a", "-c", str(config)]
    root = str(direct_return.dispatcher.directory / "absent")
    refused = direct_return.dispatcher.run([*powerless, *asked, "--root", root], check=False)
    assert refused.status == 2, refused
    assert "RLIMIT" not in refused.stderr
    assert "libbpf" not in refused.stderr
    assert "root" in refused.stderr
