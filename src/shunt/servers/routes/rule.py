"""Which rows are extra routes, and how bad each is.

A row is an extra route of a cluster address if it is a unicast network (not a host), covers the
cluster address (so it is not a loopback or multicast network), and exists because the address is
on the server: its gateway, its interface's address or its source is a cluster address, or it leads
to a loopback interface, on Windows to an adapter that holds a cluster address and leads nowhere.
Traffic for the other addresses of that network then stays in the server.

The connected network of a network card is never extra, whoever is named in its row: without it the
server is cut off. A cluster address there is a fault of its own (`held.py`).

This replaces the rule "begins with the first digit of the cluster address, followed by three
zeroes", which fits networks of class A only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING

from shunt.servers.routes.devices import WINDOWS, Devices, devices, is_loopback_name
from shunt.servers.routes.rows import Kind, Listing, Route, Where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shunt.model.addresses import Address

# Linux: the tables that every packet passes. A `local` route in another one is a proxy's (TPROXY).
_COMMON_TABLES = frozenset({"", "main", "local", "default", "unspec"})


class Rule(StrEnum):
    """What names a row an extra route."""

    GATEWAY = "its gateway is a cluster address"
    INTERFACE = "its interface holds only cluster addresses there"
    ADAPTER = "its adapter holds the cluster address, and neither a gateway nor an own address"
    SOURCE = "its source address is a cluster address"
    LOOPBACK = "it leads to a loopback interface"
    LOCAL = "it takes a whole network as the host's own"


class Severity(StrEnum):
    """Error if the server's own business goes astray, warning if only other addresses do."""

    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Addresses that the server must be able to reach, or that must reach it."""

    own: tuple[Address, ...] = ()
    gateways: tuple[Address, ...] = ()
    dispatchers: tuple[Address, ...] = ()

    def named(self) -> tuple[tuple[str, Address], ...]:
        """Return each address with what it is."""
        return tuple(
            chain(
                (("the server's own address", address) for address in self.own),
                (("the gateway", address) for address in self.gateways),
                (("the dispatcher", address) for address in self.dispatchers),
            )
        )


@dataclass(frozen=True, slots=True)
class Extra:
    """An extra route: the row, the cluster address it came with, why it is one, what it covers."""

    route: Route
    cluster: Address
    rule: Rule
    covers: tuple[tuple[str, Address], ...]

    @property
    def severity(self) -> Severity:
        """Return how bad it is; a default route takes every way there is."""
        lost = self.covers or self.route.prefix == 0
        return Severity.ERROR if lost else Severity.WARNING


def extra_routes(
    listing: Listing, clusters: Sequence[Address], around: Surroundings
) -> tuple[Extra, ...]:
    """Return the extra routes in the order of the listing, each once."""
    found: list[Extra] = []
    adapters = _adapters(listing, clusters, around)
    known = devices(listing, clusters, around.own)
    for route in listing.routes:
        rule = _rule(route, known, adapters)
        if rule is None:
            continue
        swallowed = tuple(
            (what, address)
            for what, address in around.named()
            if address not in clusters and route.covers(address)
        )
        cluster = _came_with(route, clusters)
        found.append(Extra(route, cluster, rule, swallowed))
    return tuple(found)


def _adapters(
    listing: Listing, clusters: Sequence[Address], around: Surroundings
) -> frozenset[str]:
    """Return the adapters of Windows that hold a cluster address and lead nowhere.

    Other clusters' addresses may be on them, which nobody has named.
    """
    if listing.system not in WINDOWS:
        return frozenset()
    hosts = [r for r in listing.routes if r.is_host and r.gateway is None]
    leading = {r.interface for r in listing.routes if r.prefix == 0 and r.gateway is not None}
    leading |= {r.interface for r in hosts if r.address in around.own}
    leading |= {str(address) for address in around.own}  # route print names adapters by address
    return frozenset({r.interface for r in hosts if r.address in clusters} - leading - {""})


def _rule(route: Route, known: Devices, adapters: frozenset[str]) -> Rule | None:
    clusters = known.clusters
    if not may_swallow(route, clusters) or route.gateway_name or is_proxy_route(route):
        return None
    on_link = route.gateway is None or route.gateway in route.holders
    through = "G" in (route.flags or "G")  # a route through the gateway, not to it
    if known.is_card(route.interface) and (on_link or not through):
        return None
    holders = bool(route.holders) and all(holder in clusters for holder in route.holders)
    reasons = (
        (Rule.GATEWAY, route.gateway in clusters),
        (Rule.SOURCE, on_link and route.source in clusters),
        (Rule.LOOPBACK, is_loopback_name(route.interface)),
        (Rule.INTERFACE, on_link and holders),
        (Rule.ADAPTER, on_link and route.interface in adapters),
        (Rule.LOCAL, route.kind is Kind.LOCAL),
    )
    return next((rule for rule, holds in reasons if holds), None)


def may_swallow(route: Route, clusters: Sequence[Address]) -> bool:
    """Tell whether a row takes a whole network that a cluster address is in."""
    return (
        route.kind in {Kind.UNICAST, Kind.LOCAL}
        and not route.is_host
        and any(route.covers(cluster) for cluster in clusters)
    )


def is_proxy_route(route: Route) -> bool:
    """Tell whether a row takes in what rules send to its table, as transparent proxies have it."""
    return route.kind is Kind.LOCAL and route.table not in _COMMON_TABLES


def _came_with(route: Route, clusters: Sequence[Address]) -> Address:
    """Return the cluster address that the row names, else the first that it covers."""
    named = [route.gateway, route.source, *route.holders]
    covered = [cluster for cluster in clusters if route.covers(cluster)]
    return next((cluster for cluster in covered if cluster in named), covered[0])


def surroundings(listing: Listing, clusters: Sequence[Address]) -> Surroundings:
    """Read the gateway and the server's own addresses off the default routes and their interfaces.

    What the listing does not show is not guessed: the tuples are then empty.
    """
    defaults = [
        route
        for route in listing.routes
        if route.prefix == 0 and route.gateway is not None and route.gateway not in clusters
        if route.kind is Kind.UNICAST and route.where is Where.ACTIVE
    ]
    interfaces = {default.interface for default in defaults} - {""}
    own = [
        address
        for route in listing.routes
        if route.interface in interfaces and not route.is_host
        for address in (*route.holders, route.source, _link_gateway(route))
        if address is not None and address not in clusters and not address.is_loopback
    ]
    gateways = [default.gateway for default in defaults if default.gateway is not None]
    return Surroundings(tuple(dict.fromkeys(own)), tuple(dict.fromkeys(gateways)))


def _link_gateway(route: Route) -> Address | None:
    """Return the gateway of a row that is on the link: there it is the host's own address."""
    return route.gateway if route.prefix and "G" not in (route.flags or "G") else None
