"""The dispatcher on kernels of Debian's: a day of its life, on a card that is no veth.

`make test-oldest` runs it on the oldest kernel that is promised, CI does so each time.
"""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from contextlib import ExitStack, closing
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from shunt.lab import nginx, topology
from shunt.lab.requests import curl, url
from tests.machines import software
from tests.machines.images import image
from tests.machines.machine import NETWORK, Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from shunt.lab.processes import Completed

pytestmark = [pytest.mark.machines, pytest.mark.lab, pytest.mark.timeout(1800)]

CLUSTER, CLUSTER6 = "10.9.0.100", "2001:db8:9::100"
SERVERS = {"a": ("10.9.0.11", "2001:db8:9::11"), "b": ("10.9.0.12", "2001:db8:9::12")}
PATIENCE = 300.0  # seconds: an emulated machine on a busy one


class Site:
    """Client and two servers in namespaces, the dispatcher a machine between them."""

    def __init__(self, lab: Lab, machine: Machine) -> None:
        self.machine = machine
        self.client = machine.client
        self.client.ip("address", "add", "2001:db8:9::1/64", "dev", "eth0", "nodad")
        for name, (four, six) in SERVERS.items():
            server = lab.host(name)
            server.ip("link", "set", "lo", "up")
            lab.join(server, "lan", addresses=[f"{four}/24", f"{six}/64"])
            self._serve(server)

    def _serve(self, server: Host) -> None:
        topology.silence(server)
        addresses = [ip_address(CLUSTER), ip_address(CLUSTER6)]
        for address in addresses:
            server.ip("address", "add", f"{address}/{address.max_prefixlen}", "dev", "lo")
        nginx.start(server, [(address, 80) for address in addresses], keepalive=True)

    def shunt(self, command: str, *, check: bool = True) -> Completed:
        return self.machine.ssh(f"shunt {command}", check=check, timeout=PATIENCE)

    def asked(self, command: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.shunt(f"{command} --json").stdout)
        return document

    def write_configuration(self, weights: dict[str, int]) -> None:
        members = ", ".join(f"{name}: {weight}" for name, weight in weights.items())
        servers = "".join(
            f'  {name}: {{address: ["{four}", "{six}"]}}\n' for name, (four, six) in SERVERS.items()
        )
        text = (
            "dispatcher: {interface: eth0}\n"
            f'clusters:\n  web:\n    address: ["{CLUSTER}", "{CLUSTER6}"]\n    ports:\n'
            f"      - port: 80\n        servers: {{{members}}}\n"
            "        advisor: {type: http, request: GET /, expect: 200}\n"
            f"servers:\n{servers}"
        )
        self.machine.ssh(f"mkdir -p /etc/shunt; cat > /etc/shunt/shunt.yaml <<'END'\n{text}END")

    def fetch(self, count: int = 40) -> Counter[str]:
        """Ask both cluster addresses; return who answered. Nothing may fail."""
        answers: Counter[str] = Counter()
        for address in (CLUSTER, CLUSTER6):
            asked = curl(self.client, url(ip_address(address)), count, parallel=8)
            assert not asked.failures, (address, asked)
            answers += asked.answers
        return answers

    def in_service(self) -> set[tuple[str, str]]:
        """Return who has slots, by cluster address, and was found right by the advisor."""
        status = self.asked("status")
        right = {
            name
            for service in status["health"]["services"].values()
            for name, row in service["servers"].items()
            if row["checked"] and row["up"]
        }
        return {
            (service["address"], server["server"])
            for service in status["services"]
            for server in service["servers"]
            if server["share"] > 0 and server["server"] in right
        }

    def answers_arp(self) -> bool:
        self.client.flush_neighbours()
        self.client.run(["ping", "-c", "1", "-W", "2", CLUSTER], check=False)
        return self.client.neighbour(CLUSTER) is not None


class Kept:
    """A connection that stays."""

    def __init__(self, client: Host, address: str) -> None:
        self._socket = client.call(lambda: socket.create_connection((address, 80), timeout=20))

    def close(self) -> None:
        self._socket.close()

    def ask(self) -> str:
        """Return the name of the server that answers."""
        self._socket.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        answer = b""
        while not answer.partition(b"\r\n\r\n")[2].endswith(b"\n"):
            more = self._socket.recv(4096)
            assert more, "the server closed"
            answer += more
        assert answer.startswith(b"HTTP/1.1 200 ")
        return answer.partition(b"\r\n\r\n")[2].decode().strip()


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it never came about that {what}"


@pytest.fixture(params=["6.1", "6.12"])
def site(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> Iterator[Site]:
    machine = Machine(
        lab,
        image(),
        NETWORK,
        "systemd.wants=systemd-networkd.service",
        kernel=request.param,
        more_disks=[software.disk(tmp_path)],
    )
    try:
        machine.boot()
        assert machine.ssh("uname -r").stdout.startswith(f"{request.param}.")
        software.install(machine)
        yield Site(lab, machine)
    finally:
        machine.close()


def test_a_day_of_a_dispatcher(site: Site) -> None:
    everybody = {(address, name) for address in (CLUSTER, CLUSTER6) for name in SERVERS}
    site.write_configuration({"a": 10, "b": 10})
    site.machine.ssh("systemctl start shunt")
    eventually(lambda: site.in_service() == everybody, "all servers are in service")
    assert [each["mode"] for each in site.asked("status")["interfaces"].values()] == ["native"]
    assert site.fetch().keys() == set(SERVERS)
    for address in (CLUSTER, CLUSTER6):
        site.client.run(["ping", "-c", "3", address])

    traced = site.asked(f"trace --from 10.9.0.1:40000 --to {CLUSTER}:80")
    assert (traced["verdict"], traced["reason"]) == ("tx", "settled")
    assert traced["server"] in SERVERS

    with ExitStack() as open_ones:
        kept = [
            open_ones.enter_context(closing(Kept(site.client, address)))
            for address in (CLUSTER, CLUSTER6)
            for _ in range(8)
        ]
        change_and_restart(site, kept)

    assert site.answers_arp()
    site.shunt("down")
    assert not site.answers_arp()
    assert "xdp" not in site.machine.ssh("ip link show dev eth0").stdout
    site.machine.ssh("test ! -e /sys/fs/bpf/shunt")
    assert site.machine.ssh("systemctl is-active shunt", check=False).stdout.strip() == "inactive"


def change_and_restart(site: Site, kept: Sequence[Kept]) -> None:
    """Give every slot to one server, then stop and start the daemon: no connection moves."""
    theirs = [each.ask() for each in kept]
    assert set(theirs) == set(SERVERS)

    site.write_configuration({"a": 10, "b": 0})
    site.machine.ssh("systemctl reload shunt")
    eventually(lambda: {name for _, name in site.in_service()} == {"a"}, "a has every slot")
    assert site.fetch().keys() == {"a"}
    assert [each.ask() for each in kept] == theirs

    forwarded = site.asked("status")["causes"]["forwarded"]["packets"]
    site.machine.ssh("systemctl stop shunt")
    assert [each.ask() for each in kept] == theirs
    assert site.fetch().keys() == {"a"}
    site.machine.ssh("systemctl start shunt")
    assert site.asked("status")["causes"]["forwarded"]["packets"] > forwarded
    assert [each.ask() for each in kept] == theirs
