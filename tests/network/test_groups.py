"""Memberships that no process holds: what the kernel is told, and what it says of them."""

from __future__ import annotations

import errno
import re
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import NetworkError
from shunt.network.addresses import addresses
from shunt.network.groups import Membership, join, leave, memberships, memberships_for

if TYPE_CHECKING:
    from shunt.lab.host import Host
    from shunt.lab.lab import Lab

GROUP = IPv6Address("ff02::1:ff00:10")


@pytest.fixture
def machine(lab: Lab) -> Host:
    lab.segment("lan")
    made = lab.host("machine")
    lab.join(made, "lan", addresses=["2001:db8::1/64"])
    return made


def heard(machine: Host) -> dict[str, int]:
    """Return the groups that the kernel answers MLD queries for, and by how many it is in each."""
    text = machine.ip("maddress", "show", "dev", "eth0")
    return {
        group: int(users or 1) for group, users in re.findall(r"inet6 (\S+)(?: users (\d+))?", text)
    }


def test_every_interface_is_to_hear_solicitations_for_every_address_of_ipv6() -> None:
    cluster = [ip_address(each) for each in ("192.0.2.10", "2001:db8::10", "2001:db8:7::ab12:3456")]
    assert memberships_for((3, 4), cluster) == {
        Membership(index, IPv6Address(group))
        for index in (3, 4)
        for group in ("ff02::1:ff00:10", "ff02::1:ff12:3456")
    }


@pytest.mark.lab
def test_a_group_is_joined_without_an_address_and_left(machine: Host) -> None:
    index = machine.interface("eth0").index
    before = heard(machine), machine.ip("-6", "route", "show", "table", "all")
    own = machine.call(addresses)
    machine.call(lambda: join(Membership(index, GROUP)))
    machine.call(lambda: join(Membership(index, GROUP)))
    assert machine.call(memberships) == {Membership(index, GROUP)}
    assert str(GROUP) in heard(machine)
    assert "33:33:ff:00:00:10" in machine.ip("maddress", "show", "dev", "eth0")
    assert machine.call(addresses) == own
    machine.call(lambda: leave(Membership(index, GROUP)))
    machine.call(lambda: leave(Membership(index, GROUP)))
    assert machine.call(memberships) == frozenset()
    assert (heard(machine), machine.ip("-6", "route", "show", "table", "all")) == before


@pytest.mark.lab
def test_an_interface_that_went_down_and_up_is_in_the_group_all_the_same(machine: Host) -> None:
    member = Membership(machine.interface("eth0").index, GROUP)
    machine.call(lambda: join(member))
    machine.ip("link", "set", "dev", "eth0", "down")
    machine.ip("link", "set", "dev", "eth0", "up")
    machine.call(lambda: join(member))
    assert str(GROUP) in heard(machine)
    machine.call(lambda: leave(member))


@pytest.mark.lab
def test_an_address_that_ends_alike_is_still_found(machine: Host, lab: Lab) -> None:
    """The group's own address must not come between a host and its neighbours."""
    lab.join(machine, "lan", interface="eth1", addresses=["2001:db8:1::10/64"])
    other = lab.host("other")
    lab.join(other, "lan", addresses=["2001:db8:1::2/64", "2001:db8::10/64"])
    for interface in ("eth0", "eth1"):
        member = Membership(machine.interface(interface).index, GROUP)
        machine.call(lambda each=member: join(each))  # type: ignore[misc]  # binds it now
    assert other.run(["ping", "-c1", "-W5", "2001:db8:1::10"], check=False).status == 0
    assert machine.run(["ping", "-c1", "-W5", "2001:db8::10"], check=False).status == 0


@pytest.mark.lab
def test_a_refusal_is_told_with_what_to_do(machine: Host) -> None:
    machine.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1")
    with pytest.raises(NetworkError, match="cannot join ff02::1:ff00:10") as raised:
        machine.call(lambda: join(Membership(machine.interface("eth0").index, GROUP)))
    assert raised.value.errno == errno.EACCES
    assert "disable_ipv6=0" in (raised.value.hint or "")
    with pytest.raises(NetworkError):
        machine.call(lambda: join(Membership(9999, GROUP)))
