"""What to do about a cause: the command of Shunt's own first, then what it comes to by hand.

What it comes to by hand is asked of the drivers that set servers up, so that both say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.errors import ShuntError
from shunt.model.config import OperatingSystem, Server
from shunt.servers.drivers.registry import driver_for
from shunt.servers.wish import Wish
from shunt.verify.findings import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address
    from shunt.verify.findings import Finding
    from shunt.verify.subject import Examined, Subject

_LONGEST = 120  # characters of a command that a person would type; longer ones are scripts

# By cause: the steps of a driver's plan that bear on it, by the beginnings of their names.
_STEPS: dict[Cause, tuple[str, ...]] = {
    Cause.ANSWERS_ARP: ("silence:", "alias:"),
    Cause.ANSWERS_ND: ("alias:",),
    Cause.ANSWERS_OTHER_NIC: ("silence:",),
    Cause.PUBLISHED: (),
    Cause.ALIAS_MISSING: ("silence:", "switch:", "weak:", "adapter", "vni", "wpar-", "alias:"),
    Cause.WIDE_ALIAS: ("alias:",),
    Cause.ANSWERS_FOREIGN: ("alias:",),
    Cause.REVERSE_PATH: (),
    Cause.ASKS_IN_ITS_NAME: ("silence:",),
    Cause.CANNOT_ASK: ("silence:",),
    Cause.ANNOUNCES: ("alias:",),
}

# What no plan for an unseen server can know: where to look first.
_LOOK_ON_LINUX: dict[Cause, str] = {
    Cause.ANSWERS_ARP: "ip address show to {host}  # on a network card? delete it there",
    Cause.ANSWERS_ND: "ip -6 address show to {host}  # on a network card? delete it there",
    Cause.PUBLISHED: "ip neighbour show proxy; ip neighbour del proxy {address} dev INTERFACE",
    Cause.WIDE_ALIAS: "ip address show dev lo  # the alias has a mask other than {host}: delete it",
    Cause.ANSWERS_FOREIGN: "ip route show table local  # a prefix on lo: delete it",
    Cause.REVERSE_PATH: "sysctl -w net.ipv4.conf.all.rp_filter=2  # loose; strict (1) drops",
    Cause.FORWARDS: "sysctl -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0",
    Cause.CANNOT_ASK: "nft list ruleset arp; arptables -L  # rules on output: delete them",
    Cause.ANNOUNCES: "ip address show to {host}  # on a network card? delete it there",
}

_ANY: dict[Cause, tuple[str, ...]] = {
    Cause.OWN_SILENT: ("See that the server runs, is on this segment, and answers ARP at all.",),
    Cause.TWO_MACS: (
        "Find the second MAC in the switch's table: the server's other card, or a duplicate.",
    ),
    Cause.SAME_MAC: ("Give one of the two another MAC, or list the machine once.",),
    Cause.FORWARDS: (
        "Turn forwarding off; where it is needed, drop forwarded frames for the cluster addresses.",
    ),
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
    Cause.SPEAKS_FOR_ANOTHER: (
        "Find the MAC that said it in the switch's table; look there for published entries.",
    ),
    Cause.CROWD: (
        "Find the switch's port that these MACs come from; port security there ends it.",
        "Examine again afterwards: nobody is proved to be silent among so many.",
    ),
    Cause.DISPATCHER_RUNS: ("`shunt down` on the dispatcher, or examine with --live.",),
    Cause.SEVERAL_DISPATCHERS: (
        "See which of them is active; name the right one with --dispatcher MAC.",
    ),
    Cause.DISPATCHER_SILENT: ("`shunt status` on the dispatcher.",),
    Cause.DISPATCHER_LOSES: ("`shunt status` on the dispatcher: has the service a usable server?",),
    Cause.DISPATCHER_ACCEPTS: (
        "Find the MAC in the switch's table and take the address off that machine.",
        "`shunt status` on the dispatcher: does it run?",
    ),
    Cause.DISPATCHER_STRAYS: ("`shunt status` on the dispatcher: which servers has the service?",),
    Cause.DISPATCHER_UNPROVED: (
        "Name a TCP port to try (--port), or the dispatcher's MAC (--dispatcher MAC).",
    ),
    Cause.UNREADABLE: ("Examine again with --pcap FILE; find out who sends it.",),
    Cause.FRAMES_LOST: ("Examine again, from a machine or at a time with less to do.",),
    Cause.BORROWED_TAKEN: ("Examine again, or name unused addresses: --borrow ADDRESS.",),
    Cause.ADVISOR_UNASKED: (
        "`shunt advisor run` on the dispatcher tells; here, use --no-requests.",
    ),
    Cause.NO_STACK: ("Run it as root; or leave the applications out: --no-requests.",),
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
    if server is not None and finding.address is not None:
        lines += _on_server(server, finding.address, cause)
    return tuple(lines)


def _on_server(server: Examined, address: Address, cause: Cause) -> Iterator[str]:
    entry = server.entry or Server(server.name, server.addresses)
    if cause in _STEPS:
        if server.entry is not None:
            yield f"shunt server apply {server.name}"
        else:
            yield f"on {server.name}: shunt server apply --local --cluster {address}"
    if entry.os is OperatingSystem.LINUX and cause in _LOOK_ON_LINUX:
        host = f"{address}/{address.max_prefixlen}"
        yield _LOOK_ON_LINUX[cause].format(address=address, host=host)
    yield from _by_hand(entry, address, cause)


def _by_hand(entry: Server, address: Address, cause: Cause) -> Iterator[str]:
    """Yield the commands of the plan for such a server that nobody has looked at yet."""
    if not (beginnings := _STEPS.get(cause, ())):
        return
    wish = Wish(entry, (address,))
    driver = driver_for(entry.os)
    try:
        steps = driver.plan(driver.unseen(wish), wish).steps
    except ShuntError:  # the plan needs what is not known here; `shunt server plan` says what
        return
    for step in steps:
        if step.id.startswith(beginnings):
            yield from (each.text for each in step.do if len(each.text) <= _LONGEST)
