"""The rows of the ARP tables about other people's filters, devices and entries.

`test_wire.py` has those about the kernel's settings and about what Shunt itself puts in place. Two
things of those tables are not here: the tunnel device `tunl0`, since a kernel that runs these tests
may lack IPIP, and `ebtables`, which is for the bridge of a machine that hosts the server and
changes nothing on the server. A device without a wire is an `ifb` here; `dummy` is the same to ARP,
and kernels may lack that as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from tests.servers.linux.asking import ASKER, OWN
from tests.servers.linux.setting_up import CLUSTER, do, examine, remove, state, wish

if TYPE_CHECKING:
    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from tests.servers.linux.asking import Asker

pytestmark = pytest.mark.lab
C = IPv4Address(CLUSTER)
ANOTHER = IPv4Address("10.9.0.79")  # a client that the server has never looked for
ELSEWHERE = IPv4Address("198.51.100.7")  # a sender outside the server's network

_ALIAS = f"ip address add {CLUSTER}/32 dev lo"
_SILENT = "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore"
_FORWARD = "echo 1 > /proc/sys/net/ipv4/ip_forward"
_AT_ONCE = "echo 0 > /proc/sys/net/ipv4/neigh/eth0/proxy_delay"  # up to 0.8 s by default
_PUBLISH = f"ip neighbour add proxy {CLUSTER} dev eth0"
_MACVLAN = (
    "ip link add mv0 link eth0 type macvlan mode bridge",
    "ip link set mv0 addrgenmode none",
    "ip link set mv0 arp off up",
    f"ip address add {CLUSTER}/32 dev mv0",
)
_WIRELESS = ("ip link add i0 type ifb", "ip link set i0 up")


def _nft(family: str, chain: str, rule: str) -> str:
    return (
        f"printf '%s\\n' 'table {family} others {{' 'chain c {{' '{chain}' '{rule}' '}}' '}}'"
        " | nft -f -"
    )


_DROP = f"arp operation request arp daddr ip {CLUSTER} drop"
_DROP_OWN = f"arp saddr ip {CLUSTER} drop"


@dataclass(frozen=True)
class Row:
    """How a server was set up by hand, and whether it answers ARP for the cluster address."""

    lines: tuple[str, ...]
    answered: bool


ROWS = {
    "lo without ARP": Row((_ALIAS, "ip link set lo arp off"), answered=True),
    "an input filter": Row(
        (_ALIAS, _nft("arp", "type filter hook input priority 0;", _DROP)), answered=False
    ),
    "an ingress filter": Row(
        (_ALIAS, _nft("netdev", "type filter hook ingress device eth0 priority 0;", _DROP)),
        answered=False,
    ),
    "an output filter": Row(
        (_ALIAS, _nft("arp", "type filter hook output priority 0;", _DROP_OWN)), answered=False
    ),
    "a device without a wire": Row(
        (*_WIRELESS, f"ip address add {CLUSTER}/32 dev i0"), answered=True
    ),
    "a device without a wire, silenced": Row(
        (_SILENT, *_WIRELESS, f"ip address add {CLUSTER}/32 dev i0"), answered=False
    ),
    "a macvlan without ARP": Row(_MACVLAN, answered=True),
    "a macvlan without ARP, silenced": Row((_SILENT, *_MACVLAN), answered=False),
    "a local route": Row((f"ip route add local {CLUSTER}/32 dev eth0 proto 66",), answered=True),
    "a local route, silenced": Row(
        (_SILENT, f"ip route add local {CLUSTER}/32 dev eth0 proto 66"), answered=False
    ),
    "published, held and silenced": Row((_SILENT, _ALIAS, _PUBLISH), answered=False),
    "published, not held, forwarding, same way out": Row((_FORWARD, _PUBLISH), answered=False),
    "published, not held, forwarding, another way out": Row(
        (_FORWARD, _AT_ONCE, _PUBLISH, *_WIRELESS, f"ip route add {CLUSTER}/32 dev i0"),
        answered=True,
    ),
    "proxy ARP, not held, forwarding, another way out": Row(
        (
            _FORWARD,
            _AT_ONCE,
            "echo 1 > /proc/sys/net/ipv4/conf/eth0/proxy_arp",
            *_WIRELESS,
            f"ip route add {CLUSTER}/32 dev i0",
        ),
        answered=True,
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_whatever_was_there_apply_silences_and_remove_gives_back(
    server: Host, asker: Asker, row: Row
) -> None:
    for line in row.lines:
        server.run(["sh", "-ec", line])
    before = state(server)
    loud = {asker.server} if row.answered else set()
    assert asker.says(C) == loud
    wanted = wish(server, CLUSTER)
    assert (await do(server, wanted)).now.settled
    assert asker.says(C) == set()
    assert asker.says(C, sender=IPv4Address(0), to=asker.server) == set()
    assert asker.asks_as(C) == OWN
    assert (await do(server, wanted)).done == ()
    await remove(server, wanted)
    assert asker.says(C) == loud
    assert state(server) == before


def test_dropping_the_replies_alone_leaves_the_server_dumb(server: Host, asker: Asker) -> None:
    """What is answered from the cluster address needs the client's MAC, and nobody is asked."""
    for line in ROWS["an output filter"].lines:
        server.run(["sh", "-ec", line])
    assert not asker.is_reached(C)
    server.sysctl("net.ipv4.conf.all.arp_announce", "2")
    assert asker.asks_as(C, ANOTHER) == OWN


def test_senders_outside_the_network_are_answered_too(server: Host, asker: Asker) -> None:
    server.run(["sh", "-ec", _ALIAS])
    assert asker.says(C, sender=ELSEWHERE) == {asker.server}


@pytest.mark.parametrize(("sender", "answered"), [(ASKER, True), (ELSEWHERE, False)])
def test_arp_ignore_2_is_deaf_to_senders_outside_the_network(
    server: Host, asker: Asker, sender: IPv4Address, *, answered: bool
) -> None:
    server.sysctl("net.ipv4.conf.all.arp_ignore", "2")
    assert asker.answers_for_itself(sender) == answered


async def test_the_default_is_for_interfaces_that_come_later(
    lab: Lab, server: Host, asker: Asker
) -> None:
    server.sysctl("net.ipv4.conf.default.arp_ignore", "1")
    lab.join(server, "lan", interface="eth1", addresses=["10.9.0.6/24"])
    asker.own[IPv4Address("10.9.0.6")] = server.interface("eth1").mac
    server.run(["sh", "-ec", _ALIAS])
    assert asker.says(C) == {asker.server}
    steps = [step.id for step in (await examine(server, wish(server, CLUSTER))).plan.steps]
    assert "silence:ipv4/conf/all/arp_ignore" in steps
