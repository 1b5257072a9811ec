"""What to do about a cause: the command of Shunt's own first, then what it comes to by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.verify.findings import Cause

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.model.addresses import Address
    from shunt.verify.findings import Finding
    from shunt.verify.subject import Subject

_SET_UP = frozenset(
    (
        Cause.ANSWERS_ARP,
        Cause.ANSWERS_ND,
        Cause.ANSWERS_OTHER_NIC,
        Cause.ALIAS_MISSING,
        Cause.WIDE_ALIAS,
        Cause.ANSWERS_FOREIGN,
        Cause.REVERSE_PATH,
        Cause.ASKS_IN_ITS_NAME,
        Cause.ANNOUNCES,
        Cause.PUBLISHED,
        Cause.FORWARDS,
    )
)


def _host(address: Address) -> str:
    return f"{address}/{address.max_prefixlen}"


_LINUX: dict[Cause, Callable[[Address], tuple[str, ...]]] = {
    Cause.ANSWERS_ARP: lambda address: (
        "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2",
        f"ip address show to {_host(address)}  # on a network card? move it to lo:",
        f"ip address add {_host(address)} dev lo  # after deleting it from the card",
    ),
    Cause.ANSWERS_OTHER_NIC: lambda _: (
        "sysctl -w net.ipv4.conf.all.arp_ignore=1  # all interfaces, not one",
    ),
    Cause.ANSWERS_ND: lambda address: (
        f"ip -6 address show to {_host(address)}",
        f"ip -6 address add {_host(address)} dev lo preferred_lft 0  # and delete it elsewhere",
    ),
    Cause.PUBLISHED: lambda address: (
        "ip neighbour show proxy",
        f"ip neighbour del proxy {address} dev INTERFACE",
        "sysctl net.ipv4.conf.all.proxy_arp net.ipv6.conf.all.proxy_ndp",
    ),
    Cause.ALIAS_MISSING: lambda address: (
        "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2",
        f"ip address add {_host(address)} dev lo",
    ),
    Cause.WIDE_ALIAS: lambda address: (
        f"ip address show dev lo  # find {address} and its mask; delete it with that mask",
        f"ip address add {_host(address)} dev lo",
    ),
    Cause.ANSWERS_FOREIGN: lambda _: ("ip route show table local  # a prefix on lo: delete it",),
    Cause.REVERSE_PATH: lambda _: (
        "sysctl -w net.ipv4.conf.all.rp_filter=2  # or 0; the larger of all and the card's holds",
    ),
    Cause.ASKS_IN_ITS_NAME: lambda _: ("sysctl -w net.ipv4.conf.all.arp_announce=2",),
    Cause.ANNOUNCES: lambda address: (
        f"ip address show to {_host(address)}  # only lo may have it",
    ),
    Cause.FORWARDS: lambda _: (
        "sysctl -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0",
        "# or, where it must forward: drop forwarded frames for the cluster addresses",
    ),
}

_ANY: dict[Cause, tuple[str, ...]] = {
    Cause.OWN_SILENT: ("See that the server runs, is on this segment, and answers ARP at all.",),
    Cause.TWO_MACS: (
        "Find the second MAC in the switch's table: the server's other card, or a duplicate.",
    ),
    Cause.SAME_MAC: ("Give one of the two another MAC, or list the machine once.",),
    Cause.PORT_FILTERED: ("Let the server's firewall accept the port for the cluster address.",),
    Cause.PORT_REJECTED: ("Let the server's firewall accept the port for the cluster address.",),
    Cause.DROPS_ALL: ("See the server's firewall; examine again from an address that it lets in.",),
    Cause.BOUND_ELSEWHERE: (
        "Let the service listen on every address, or on the cluster address as well.",
    ),
    Cause.NOT_LISTENING: ("Start the service, or correct the port in the configuration.",),
    Cause.APPLICATION_FAILS: ("See the application's log for requests to the cluster address.",),
    Cause.STRANGER: ("Find the MAC in the switch's table and take the address off that machine.",),
    Cause.STRANGER_PUBLISHES: (
        "Find the MAC in the switch's table; look there for published or proxy ARP entries.",
    ),
    Cause.DISPATCHER_RUNS: ("`shunt down` on the dispatcher, or examine with --live.",),
    Cause.SEVERAL_DISPATCHERS: (
        "See which of them is active; name the right one with --dispatcher MAC.",
    ),
    Cause.DISPATCHER_SILENT: ("`shunt status` on the dispatcher.",),
    Cause.DISPATCHER_LOSES: ("`shunt status` on the dispatcher: has the service a usable server?",),
    Cause.NO_FREE_ADDRESS: ("Name an unused address: --borrow ADDRESS.",),
    Cause.ONE_FREE_ADDRESS: ("Name two unused addresses: --borrow ADDRESS --borrow ADDRESS.",),
    Cause.DID_NOT_ASK: ("Examine again, from another address: --borrow ADDRESS.",),
    Cause.LEFT_BEHIND: ("Another program may have asked at the same time; examine again.",),
}


def fix(subject: Subject, finding: Finding) -> tuple[str, ...]:
    """Return what to do, as commands for the server's operating system where there are any."""
    cause = finding.cause
    if cause is None:
        return ()
    lines = list(_ANY.get(cause, ()))
    server = subject.servers.get(finding.server)
    if server is not None and cause in _SET_UP:
        lines.append(f"shunt server apply {server.name}")
        address = finding.address
        if server.os is OperatingSystem.LINUX and cause in _LINUX and address is not None:
            lines += _LINUX[cause](address)
    return tuple(lines)
