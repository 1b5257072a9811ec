"""Apply, restart the network's manager, reboot, remove, reboot: on machines of every manager."""

from __future__ import annotations

import json
import select
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from shunt.network.frames import Arp, Frame, arp_request
from shunt.network.packets import PacketSocket
from tests.machines.container import Container
from tests.machines.images import BOOKWORM, TRIXIE, image
from tests.machines.machine import ADDRESS, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.lab import Lab
    from shunt.model.addresses import Mac
    from tests.machines.images import Recipe

pytestmark = [pytest.mark.machines, pytest.mark.lab, pytest.mark.timeout(1800)]
CLUSTER, CLUSTER6 = "10.9.0.100", "2001:db8:9::100"
WANTED = ("--cluster", CLUSTER, "--cluster", CLUSTER6)


@dataclass(frozen=True)
class Manager:
    """A network manager: its files, the unit that the boot wants, and how it is disturbed.

    `restart` restarts it, `reload` has it read its files again, `idle` succeeds once it has done
    what it was told.
    """

    name: str
    files: dict[str, str]
    unit: str
    restart: str
    reload: str
    idle: str = "true"
    cards: int = 1


_NETWORKD_IDLE = "! networkctl --no-legend list | grep -qE 'pending|configuring|initialized'"
_ETH0 = f"[Match]\nName=eth0\n[Network]\nAddress={ADDRESS}/24\nGateway=10.9.0.1\n"
NETWORKD = Manager(
    "networkd",
    {"/etc/systemd/network/20-eth0.network": _ETH0},
    "systemd-networkd.service",
    "systemctl restart systemd-networkd",
    "networkctl reload",
    _NETWORKD_IDLE,
)
OWN_FILE = replace(
    NETWORKD,
    name="networkd-own-file",
    files={
        **NETWORKD.files,
        "/etc/systemd/network/10-lo.network": "[Match]\nName=lo\n[Network]\nAddress=10.7.7.7/32\n",
    },
)
CATCH_ALL = replace(
    NETWORKD,
    name="networkd-catch-all",
    files={
        **NETWORKD.files,
        "/etc/systemd/network/80-all.network": "[Match]\nName=*\n[Network]\nLLMNR=no\n"
        "LinkLocalAddressing=no\nIPv6AcceptRA=no\n",
    },
    cards=2,
)
IFUPDOWN = Manager(
    "ifupdown",
    {
        "/etc/network/interfaces": "auto lo\niface lo inet loopback\nauto eth0\n"
        f"iface eth0 inet static\n    address {ADDRESS}/24\n    gateway 10.9.0.1\n"
    },
    "networking.service",
    "systemctl restart networking",
    "ifup -a",
)
NETWORK_MANAGER = Manager(
    "NetworkManager",
    {
        "/etc/NetworkManager/system-connections/eth0.nmconnection": "[connection]\nid=eth0\n"
        "type=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=manual\n"
        f"address1={ADDRESS}/24,10.9.0.1\n[ipv6]\nmethod=link-local\n"
    },
    "NetworkManager.service",
    "systemctl restart NetworkManager && nm-online -q -t 60",
    "nmcli connection reload",
)
NETPLAN = Manager(
    "netplan",
    {
        "/etc/netplan/01-eth0.yaml": "network:\n  version: 2\n  renderer: networkd\n"
        f"  ethernets:\n    eth0:\n      addresses: [{ADDRESS}/24]\n"
        "      routes: [{to: default, via: 10.9.0.1}]\n"
    },
    "systemd-networkd.service",
    "systemctl restart systemd-networkd",
    # `netplan apply` tells udev, which no container has.
    "if systemctl is-active -q systemd-udevd; then netplan apply;"
    " else netplan generate && networkctl reload; fi",
    _NETWORKD_IDLE,
)
MANAGERS = (NETWORKD, OWN_FILE, CATCH_ALL, IFUPDOWN, NETWORK_MANAGER, NETPLAN)
RELEASES = {"12": (BOOKWORM, "6.1"), "13": (TRIXIE, "6.12")}


@pytest.fixture(params=RELEASES, ids=lambda release: f"debian-{release}")
def release(request: pytest.FixtureRequest) -> tuple[Recipe, str]:
    made: tuple[Recipe, str] = RELEASES[request.param]
    return made


@pytest.fixture(params=MANAGERS, ids=lambda m: m.name)
def manager(request: pytest.FixtureRequest) -> Manager:
    made: Manager = request.param
    return made


# Under emulation, which takes minutes, each manager once; in containers, all.
EMULATED = {"networkd", "networkd-catch-all", "ifupdown", "NetworkManager", "netplan"}


@pytest.fixture(params=[Container, Machine], ids=["container", "emulated"])
def kind(request: pytest.FixtureRequest, manager: Manager) -> type[Machine]:
    chosen: type[Machine] = request.param
    if chosen is Machine and manager.name not in EMULATED:
        pytest.skip("in a container only")
    return chosen


@pytest.fixture
def machine(
    lab: Lab, manager: Manager, release: tuple[Recipe, str], kind: type[Machine]
) -> Iterator[Machine]:
    recipe, kernel = release
    line = f"systemd.wants={manager.unit}"
    made = kind(lab, image(recipe), manager.files, line, kernel, cards=manager.cards)
    try:
        made.boot()
        yield made
    finally:
        made.close()


def test_what_is_applied_lasts_and_what_is_removed_is_gone(
    machine: Machine, manager: Manager
) -> None:
    before = state(machine)
    assert heard(machine) == set()

    right(machine, "apply")
    assert holders(machine) == {"lo"}
    right(machine, "check")
    assert heard(machine) == set()

    for disturb in (manager.reload, manager.restart):
        machine.ssh(disturb)
        settle(machine, manager)
        right(machine, "check")
        assert holders(machine) == {"lo"}
        assert heard(machine) == set()

    # What keeps the address must not give it to an interface that comes later.
    machine.ssh("ip link add later0 link eth0 type macvlan mode bridge && ip link set later0 up")
    machine.ssh("udevadm settle")
    settle(machine, manager)
    assert holders(machine) == {"lo"}
    assert heard(machine) == set()
    machine.ssh("ip link del later0")

    machine.reboot()
    right(machine, "check")
    again = right(machine, "apply")
    assert again["done"] == []
    assert holders(machine) == {"lo"}
    assert heard(machine) == set()
    assert machine.ssh(f"ip route get {CLUSTER}").stdout.startswith("local")

    removed = machine.shunt("remove")
    assert removed.status == 0, removed.stdout + removed.stderr
    assert state(machine) == before
    machine.ssh(manager.reload)
    settle(machine, manager)
    assert state(machine) == before
    machine.reboot()
    assert machine.shunt("check", *WANTED).status == 1
    assert state(machine) == before


def settle(machine: Machine, manager: Manager) -> None:
    """Wait until the manager has nothing left to do."""
    line = f"for n in $(seq 120); do if {manager.idle}; then exit 0; fi; sleep 0.5; done; exit 1"
    machine.ssh(line)


def holders(machine: Machine) -> set[str]:
    """Return the interfaces that hold the cluster addresses, both of them each."""
    rows = [line.split() for line in machine.ssh("ip -o address show").stdout.splitlines()]
    found = [{r[1] for r in rows if r[3].startswith(f"{a}/")} for a in (CLUSTER, CLUSTER6)]
    assert found[0] == found[1]
    return found[0]


def right(machine: Machine, command: str, *more: str) -> dict[str, object]:
    """Run the command, which must find or leave everything right; return what it says."""
    done = machine.shunt(command, *WANTED, *more, "--json")
    assert done.status == 0, done.stdout + done.stderr
    server: dict[str, object] = json.loads(done.stdout)["servers"][0]
    return server


def state(machine: Machine) -> list[str]:
    """Return what a set-up could change: files, folders, settings, addresses, routes, units.

    Left out: what a boot makes anew; and how ::1 is held, which NetworkManager does now with a
    route of its own and now without.
    """
    asked = """
        cd / && find etc var/lib/shunt -type f ! -name machine-id ! -name resolv.conf \
            ! -path 'etc/.*' -exec sha256sum {} + 2>/dev/null | sort -k 2
        find etc/systemd -type l | sort
        find etc -type d | sort
        grep -s . /proc/sys/net/ipv4/conf/*/arp_* /proc/sys/net/ipv4/conf/*/rp_filter
        ip -o -4 address show; ip -o address show dev lo; ip rule; ip -6 rule
        ip route show table all; ip -6 route show table all dev lo
    """
    return [
        line
        for line in machine.ssh(asked).stdout.splitlines()
        if "::1 " not in f"{line} " and "::1/128" not in line
    ]


def heard(machine: Machine) -> set[Mac]:
    """Return who answers ARP for the cluster address; the machine's own closes the round."""
    macs: set[Mac] = set()
    with machine.client.call(lambda: PacketSocket("eth0")) as wire:
        me = machine.client.interface("eth0").mac
        for target in (CLUSTER, ADDRESS):
            wire.send(arp_request(me, IPv4Address(target), IPv4Address("10.9.0.1")))
        while True:
            frame = _next(wire)
            if isinstance(frame.network, Arp) and frame.network.sender == IPv4Address(ADDRESS):
                return macs
            if isinstance(frame.network, Arp) and frame.network.sender == IPv4Address(CLUSTER):
                macs.add(frame.link.source)


def _next(wire: PacketSocket) -> Frame:
    while True:
        assert select.select([wire], [], [], 10)[0], "the machine does not answer at all"
        heard = wire.receive_now()
        frame = heard.parsed() if heard else None
        if isinstance(frame, Frame):
            return frame
