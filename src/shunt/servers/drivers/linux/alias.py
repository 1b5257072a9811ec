"""The alias: the cluster address as a host address on the loopback, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.drivers.linux.commands import holds, ip, lacks, put_back, take_away
from shunt.servers.steps import Command, Finding, Plan, Severity, Step

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.drivers.linux.observed import Held, Host, Link
    from shunt.servers.wish import Wish

_UP = Command.sh("ip -o link show dev lo up | grep -q .")


def add_words(address: Address) -> str:
    """Return the command that adds the alias, or leaves it as it is.

    Scope host keeps an IPv4 alias from being chosen as the source of the server's own
    connections; a preferred lifetime of 0 does so for IPv6 (RFC 6724 section 5, rule 3).
    """
    words = "scope host" if address.version == 4 else "preferred_lft 0"
    return f"{ip(address)} address replace {address}/{address.max_prefixlen} dev lo {words}"


def plan(host: Host, wish: Wish) -> Plan:
    """Return what puts every wanted address on `lo`, and takes it from where it must not be."""
    result = _loopback_up(host, wish)
    for four in wish.clusters4:  # all of them first: one may hang on another's wide mask
        result += _added(host, four)
    for address in wish.clusters:
        if address.version == 6 and host.values.get("ipv6/conf/lo/disable_ipv6"):
            result += Plan(findings=(_no_ipv6(address),))
        else:
            result += _one(host, address, wish)
    return result + Plan(findings=_bare(host, wish))


def _loopback_up(host: Host, wish: Wish) -> Plan:
    if not wish.clusters or all(link.up for link in host.links if link.name == "lo"):
        return Plan()
    step = Step(
        id="loopback-up",
        what="bring the loopback interface up",
        why="addresses on an interface that is down are not accepted",
        do=(Command(("ip", "link", "set", "dev", "lo", "up")),),
        check=(_UP,),
        undo=(),  # `lo` down would take ::1 and every IPv6 alias with it
    )
    return Plan((step,))


def _added(host: Host, address: Address) -> Plan:
    there = any(link.silent and held.host for link, held in host.holders(address))
    return Plan() if there else Plan((_add(address),))


def _one(host: Host, address: Address, wish: Wish) -> Plan:
    holders = list(host.holders(address))
    result = Plan()
    for link, held in holders:
        if link.silent and not held.host:
            result += _narrow(host, link, held, wish)
    # An interface holds an IPv6 address once, under one prefix; an IPv4 address is never missing.
    if address.version == 6:
        result += _added(host, address)
    for link, held in holders:
        if not link.silent:
            result += _off_the_wire(host, link, held)
    return result


def _add(address: Address) -> Step:
    length = address.max_prefixlen
    return Step(
        id=f"alias:{address}",
        what=f"add {address}/{length} to lo",
        why="the server must accept packets for the cluster address as its own",
        do=(Command(tuple(add_words(address).split())),),
        check=(holds(address, length, "lo"),),
        undo=(take_away(address, length, "lo"),),
    )


def _narrow(host: Host, link: Link, held: Held, wish: Wish) -> Plan:
    carried = [h for h in _carried(host, link, held) if h.address not in wish.clusters]
    if carried:
        return _refused(link, held, carried, f"a mask of /{held.length} is too wide for an alias")
    swallowed = "the host takes every address of it for its own"
    if any(not rule.everything for rule in host.rules):
        swallowed += ", and with the policy rules here its neighbours are cut off altogether"
    step = Step(
        id=f"narrow:{held.address}/{held.length}@{link.name}",
        what=f"take {held.address}/{held.length} from {link.name}: the prefix is too wide",
        why=f"it makes a route to {held.network} that `netstat -nr` does not show; {swallowed}",
        do=(take_away(held.address, held.length, link.name),),
        check=(lacks(held.address, held.length, link.name),),
        undo=(put_back(held, link.name),),
        note="look for the mask where the address is configured, or it will be back after a reboot",
    )
    return Plan((step,))


def _carried(host: Host, link: Link, held: Held) -> list[Held]:
    """Return the addresses that the kernel takes away with `held`: its IPv4 secondaries.

    It promotes one of them instead where promote_secondaries says so
    (Documentation/networking/ip-sysctl.rst).
    """
    if any(
        host.values.get(f"ipv4/conf/{name}/promote_secondaries", 0) for name in ("all", link.name)
    ):
        return []
    return [
        other
        for other in link.addresses
        if other.secondary and not held.secondary and other.network == held.network
    ]


def _refused(link: Link, held: Held, carried: list[Held], why: str) -> Plan:
    names = ", ".join(str(other.address) for other in carried)
    finding = Finding(
        Severity.ERROR,
        f"{held.address}/{held.length} is on {link.name}, and {names} hangs on it",
        f"{why}; taking it away would take {names} away as well",
        f"set net.ipv4.conf.{link.name}.promote_secondaries to 1, then apply again",
    )
    return Plan(findings=(finding,))


def _off_the_wire(host: Host, link: Link, held: Held) -> Plan:
    carried = _carried(host, link, held)
    why = f"{link.name} answers ARP and ND for its own addresses, unless a filter drops them"
    if carried:
        return _refused(link, held, carried, why)
    step = Step(
        id=f"take:{held.address}@{link.name}",
        what=f"take {held.address}/{held.length} from {link.name}",
        why=why,
        do=(take_away(held.address, held.length, link.name),),
        check=(lacks(held.address, held.length, link.name),),
        undo=(put_back(held, link.name),),
        note=f"look for it in the configuration of {link.name}, or it will be back after a reboot",
    )
    return Plan((step,))


def _no_ipv6(address: Address) -> Finding:
    return Finding(
        Severity.ERROR,
        f"IPv6 is disabled on lo, so {address} cannot be added",
        "the kernel refuses IPv6 addresses where net.ipv6.conf.lo.disable_ipv6 is 1",
        "set net.ipv6.conf.lo.disable_ipv6 to 0, now and in the sysctl file that sets it",
    )


def _bare(host: Host, wish: Wish) -> tuple[Finding, ...]:
    """Return the addresses of `nat` services that the server holds, though it must not."""
    recorded = host.record.ids
    return tuple(
        Finding(
            Severity.ERROR,
            f"{address} is held by {link.name}, but its service is of kind nat",
            "the server would reply from an address to which its client never spoke",
            f"{ip(address)} address del {address}/{held.length} dev {link.name}",
        )
        for address in wish.bare
        if f"alias:{address}" not in recorded
        for link, held in host.holders(address)
    )
