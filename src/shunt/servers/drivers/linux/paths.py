"""The ways of packets besides the alias: extra routes, sources, reverse path, proxies."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from shunt.model.config import Accepted
from shunt.servers.drivers import default_route
from shunt.servers.drivers.linux import kernel
from shunt.servers.drivers.linux.commands import dotted, give_back, ip, set_value, value_is
from shunt.servers.steps import Command, Finding, Plan, Severity, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address
    from shunt.servers.drivers.linux.observed import Host, Link, Proxy, Route
    from shunt.servers.wish import Wish

_PROXIES = {
    "proxy_arp": "elsewhere",
    "proxy_arp_pvlan": "out of the interface on which it is asked",
}
_COMMON_TABLES = frozenset({"local", "main", "default"})


def plan(host: Host, wish: Wish) -> Plan:
    """Return what sets the ways right, in the order: routes, proxies; then what is only told."""
    result = Plan()
    for route, address in extra_routes(host, wish):
        result += _extra(host, wish, route, address)
    result += Plan(tuple(_unpublish(proxy) for proxy in _published(host, wish)))
    return result + Plan(findings=(*_sources(host, wish), *_passing_on(host, wish)))


def extra_routes(host: Host, wish: Wish) -> Iterator[tuple[Route, Address]]:
    """Yield the routes, of any table, that draw more than a cluster address into this host.

    A row is extra if it is wider than a host, covers a cluster address, and leads to the interface
    that holds it (or to the loopback, or names the address as gateway; or, of type local, as
    source).
    """
    for route in host.routes:
        wide = route.destination.prefixlen < route.destination.max_prefixlen
        if not wide or route.type not in {"unicast", "local"}:
            continue
        for address in wish.clusters:
            if address in route.destination and _leads_here(host, route, address):
                yield route, address
                break


def _leads_here(host: Host, route: Route, address: Address) -> bool:
    if address == route.gateway or (address == route.source and route.type == "local"):
        return not _made_by_a_wire(host, route)
    holding = {link.name for link, _ in host.holders(address) if link.silent}
    return route.device in {"lo", *holding}


def _made_by_a_wire(host: Host, route: Route) -> bool:
    """Whether the row belongs to the address on a NIC, and goes when that is taken away."""
    return any(
        link.name == route.device and not link.silent and held.network == route.destination
        for link in host.links
        for held in link.addresses
    )


def _extra(host: Host, wish: Wish, route: Route, address: Address) -> Plan:
    if any(
        link.silent and held.network == route.destination for link, held in host.holders(address)
    ):
        return Plan()  # the kernel made it of an alias with a wide prefix; `alias.py` narrows that
    by_cluster = route.destination.prefixlen == 0 and route.gateway == address
    if by_cluster and not _has_other_default(host, route):
        words = f"{ip(address)} route replace default via ROUTER"
        return Plan(findings=(default_route.finding(address, words),))
    swallowed = _swallowed(host, wish, route)
    version = address.version
    seen = _COMMON_TABLES | {
        rule.table for rule in host.rules if rule.everything and rule.version == version
    }
    words = shlex.join(route.words)
    if route.table not in seen:
        finding = Finding(
            Severity.NOTE,
            f"a route to {route.destination} in table {route.table} covers {address}",
            f"packets that a policy rule sends to that table stay in this host{swallowed}",
            f"if nobody needs it: {ip(address)} route del {words}",
        )
        return Plan(findings=(finding,))
    table = shlex.quote(route.table)
    show = f"{ip(address)} -d route show table {table} exact {route.destination}"
    device = f" dev {route.device}" if route.device else ""
    there = f"{show} | grep -qF '{device or route.destination}'"
    step = Step(
        id=f"route:{route.table}:{route.destination}",
        what=f"delete the extra route to {route.destination} in table {route.table}",
        why=f"packets for its addresses stay in this host{swallowed}",
        do=(Command((*ip(address).split(), "route", "del", *route.words)),),
        check=(Command.sh(f"! {there}"),),
        # Only what was deleted is given back: not where the deletion failed.
        undo=(Command.sh(f"{there} || {ip(address)} route replace {words}"),),
        note="look for what adds it, or it will be back after a reboot",
    )
    return Plan((step,))


def _has_other_default(host: Host, route: Route) -> bool:
    return any(
        other is not route
        and other.table == route.table
        and other.destination == route.destination
        and other.type == "unicast"
        and other.gateway not in {None, route.gateway}
        for other in host.routes
    )


def _swallowed(host: Host, wish: Wish, route: Route) -> str:
    """Return which addresses that matter lie in the route, as the end of a sentence."""
    own = [a for a in wish.server.addresses if a in route.destination]
    gateways = [
        r.gateway
        for r in host.default_routes(route.destination.version)
        if r.gateway and r.gateway in route.destination
    ]
    dispatchers = [a for a in wish.dispatchers if a in route.destination]
    named = [
        *("its own network" for _ in own[:1]),
        *(f"its gateway {gateway}" for gateway in gateways[:1]),
        *(f"the dispatcher {address}" for address in dispatchers[:1]),
    ]
    return f": also those of {' and '.join(named)}" if named else ""


def _published(host: Host, wish: Wish) -> tuple[Proxy, ...]:
    never = {*wish.clusters, *wish.bare}
    return tuple(proxy for proxy in host.proxies if proxy.address in never)


def _unpublish(proxy: Proxy) -> Step:
    line = f"{ip(proxy.address)} neighbour"
    words = f"proxy {proxy.address} dev {proxy.device}"
    shown = f"{line} show proxy | grep -q '^{proxy.address} dev {proxy.device} '"
    return Step(
        id=f"proxy:{proxy.address}@{proxy.device}",
        what=f"delete the published neighbour entry for {proxy.address} on {proxy.device}",
        why="with it the kernel may answer for the cluster address on behalf of another host",
        do=(Command.sh(f"! {shown} || {line} del {words}"),),
        check=(Command.sh(f"! {shown}"),),
        undo=(Command(tuple(f"{line} replace {words}".split())),),
    )


def _sources(host: Host, wish: Wish) -> Iterator[Finding]:
    """Yield where the server's own connections would come from a cluster address."""
    clusters = set(wish.clusters)
    for route in host.routes:
        if route.source in clusters and route.type == "unicast" and route.table != "local":
            yield Finding(
                Severity.WARNING,
                f"the route to {route.destination} has the cluster address {route.source} as src",
                "replies to the server's own connections go to the dispatcher, and are lost",
                f"ip route replace {route.destination} ... without `src {route.source}`",
            )
    links = {link.name: link for link in host.links}
    for address in wish.clusters:
        used = any(held.scope == "global" and link.silent for link, held in host.holders(address))
        for route in host.default_routes(address.version):
            link = links.get(route.device or "")
            if used and link and not _numbered(link, address.version, clusters):
                yield Finding(
                    Severity.WARNING,
                    f"{link.name} leads to the default gateway and has no global IPv"
                    f"{address.version} address, so {address} becomes the source of what it sends",
                    "replies to the server's own connections go to the dispatcher, and are lost",
                    f"give {link.name} an address, or the default route a `src`",
                )


def _numbered(link: Link, version: int, clusters: set[Address]) -> bool:
    return any(
        held.address.version == version and held.scope == "global" and held.address not in clusters
        for held in link.addresses
    )


def _passing_on(host: Host, wish: Wish) -> Iterator[Finding]:
    keys = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}
    versions = sorted({address.version for address in wish.clusters} | {4})
    for key in (keys[version] for version in versions if host.values.get(keys[version], 0)):
        accepted = Accepted.FORWARDS in wish.server.accept
        told = f"the host forwards packets ({dotted(key)} is 1)"
        yield Finding(
            Severity.NOTE if accepted else Severity.WARNING,
            f"accepted by the configuration: {told}" if accepted else told,
            "a frame for a cluster address that it lacks is sent on, maybe back to the dispatcher",
            None
            if accepted
            else "set it to 0; where containers or a router role need it: accept: [forwards]",
        )
    segment = [link for link in host.wires if on_segment(link, wish)]
    for link in segment or host.wires:
        for key, for_what in _PROXIES.items():
            if any(host.values.get(f"ipv4/conf/{name}/{key}", 0) for name in ("all", link.name)):
                yield Finding(
                    Severity.WARNING,
                    f"proxy ARP is on for {link.name} ({key})",
                    f"the host answers ARP for every address that it would route {for_what}",
                    f"set net.ipv4.conf.{link.name}.{key} (and all.{key}) to 0",
                )


def reverse_path(host: Host, wish: Wish) -> Plan:
    """Return what keeps the reverse path filter from dropping what the dispatcher sends.

    Requests arrive on the segment's interface from clients whose way back may lead out of another:
    strict filtering (RFC 3704 section 2.2) drops them; loose filtering (section 2.4) does not.
    """
    if not wish.clusters4:
        return Plan()
    filtering = kernel.filtering(host)
    strict = [link for link in host.wires if host.effective("rp_filter", link) == 1]
    result = Plan()
    for link in strict:
        if link.name not in filtering:
            continue
        if on_segment(link, wish):
            result += Plan((loosen(host, link.name),))
        elif not wish.server.addresses and not wish.server.interface:
            finding = Finding(
                Severity.NOTE,
                f"the reverse path filter is strict on {link.name}; the clients' way is elsewhere",
                f"if the dispatcher is on {link.name}, its packets are dropped without a word",
                "name the server's own address (--own), so that this can be judged",
            )
            result += Plan(findings=(finding,))
    return result


def on_segment(link: Link, wish: Wish) -> bool:
    """Return whether the dispatcher's packets arrive on `link`."""
    if wish.server.interface:
        return link.name == wish.server.interface
    return any(held.address in wish.server.addresses for held in link.addresses)


def loosen(host: Host, device: str) -> Step:
    """Return the step that makes the reverse path filter of `device` loose."""
    path = f"ipv4/conf/{device}/rp_filter"
    before = host.values.get(path, 0)
    return Step(
        id=f"rp_filter:{path}",
        what=f"set {dotted(path)} from {before} to 2",
        why="requests come in here, replies go out elsewhere: the strict filter drops the requests",
        do=(set_value(path, 2),),
        check=(value_is(path, 2),),
        undo=(give_back(path, 2, before),),
    )
