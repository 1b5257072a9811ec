"""Shunt's own unit on a machine: it follows the packet filter, and gives way to another manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.machines.images import image
from tests.machines.machine import Machine
from tests.machines.test_reboot import CLUSTER, NETWORKD, heard, right, state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.lab import Lab

pytestmark = [pytest.mark.machines, pytest.mark.lab, pytest.mark.timeout(1800)]
BY_FILTER = ("--silence", "nft")


@pytest.fixture
def machine(lab: Lab) -> Iterator[Machine]:
    made = Machine(lab, image(), NETWORKD.files, f"systemd.wants={NETWORKD.unit}")
    try:
        made.boot()
        yield made
    finally:
        made.close()


def test_the_filter_outlives_what_flushes_it_and_leaves_with_the_unit(machine: Machine) -> None:
    machine.ssh("systemctl enable --now -q nftables")
    before = state(machine)
    right(machine, "apply", *BY_FILTER)
    assert "shunt-server" in machine.ssh("systemctl list-units --plain").stdout

    for flush in ("reload nftables", "restart nftables", "stop nftables", "start nftables"):
        machine.ssh(f"systemctl {flush}")
        if not flush.startswith("stop"):
            assert "arp shunt" in machine.ssh("nft list tables").stdout, flush
            assert heard(machine) == set(), flush
            right(machine, "check", *BY_FILTER)

    machine.ssh("systemctl disable -q shunt-server")
    assert machine.shunt("check", "--cluster", CLUSTER, *BY_FILTER).status == 1
    right(machine, "apply", *BY_FILTER)

    machine.reboot()
    right(machine, "check", *BY_FILTER)
    assert heard(machine) == set()

    # Silenced by sysctl the aliases are systemd-networkd's task, and the unit has none.
    right(machine, "apply")
    assert not machine.ssh("ls /etc/shunt /etc/systemd/system | grep shunt", check=False).stdout
    machine.ssh(NETWORKD.restart)
    right(machine, "check")
    assert heard(machine) == set()

    removed = machine.shunt("remove")
    assert removed.status == 0, removed.stdout + removed.stderr
    assert state(machine) == before
