"""Whether the server that printed a listing holds a cluster address, and where.

A row for the address is not yet an address: neighbours, static host routes and blackholes have
rows of that form as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem as System
from shunt.servers.routes.devices import WINDOWS, Devices, held_on, is_host_row, is_loopback_name
from shunt.servers.routes.rows import Kind, Route

if TYPE_CHECKING:
    from shunt.model.addresses import Address


@dataclass(frozen=True, slots=True)
class OnTheWire:
    """A cluster address on a network card, which answers ARP for it: the row, the interface."""

    cluster: Address
    route: Route

    @property
    def interface(self) -> str:
        """Return the card's name, or words for it where the listing does not show the name."""
        return self.route.card or self.route.interface


def on_the_wire(devices: Devices) -> tuple[OnTheWire, ...]:
    """Return the cluster addresses that the listing shows on a network card, each once."""
    found: dict[Address, OnTheWire] = {}
    for route in devices.listing.routes:
        for cluster in devices.clusters:
            if cluster not in found and _is_on_card(route, cluster, devices):
                found[cluster] = OnTheWire(cluster, route)
    return tuple(found.values())


def _is_on_card(route: Route, cluster: Address, devices: Devices) -> bool:
    if route.card:
        return route.address == cluster and devices.holds(route)
    if not devices.is_card(route.interface):
        return False
    if route.address == cluster and devices.holds(route):
        return route.protocol in {"", "kernel"}  # a local route of a person's answers no ARP alone
    if is_host_row(route) or route.kind is not Kind.UNICAST or not route.covers(cluster):
        return False
    if devices.listing.system in WINDOWS or devices.listing.system is System.LINUX:
        return False  # there every address has a host row
    return cluster in held_on(devices.listing, route)


def unclear_device(devices: Devices, cluster: Address) -> str | None:
    """Return why it is not clear whether the interface of a held address is a card; None if it is.

    Linux only: an interface with a network of another address may be a card, or a loopback with
    another cluster's alias.
    """
    if devices.listing.system is not System.LINUX:
        return None
    rows = devices.listing.routes
    names = {row.interface for row in rows if row.address == cluster and devices.holds(row)}
    for name in names:
        if devices.is_card(name) or is_loopback_name(name):
            continue
        for row in rows:
            shown = row.kind is Kind.UNICAST and row.interface == name and not is_host_row(row)
            others = [a for a in held_on(devices.listing, row) if a not in devices.clusters]
            others = [a for a in others if not a.is_link_local]
            if shown and others:
                return f"{name} has {others[0]} as well: it may be a network card or a loopback"
    return None


def why_not_held(devices: Devices, cluster: Address) -> str | None:
    """Return why the listing does not show that the server holds `cluster`; None if it does."""
    rows = [route for route in devices.listing.routes if _is_for(route, cluster)]
    if any(devices.holds(route) for route in rows):
        return None
    if not rows:
        return (
            f"the listing has no row of {cluster} itself: it is cut off, or this server does not"
            " hold the address"
        )
    return (
        f"this server does not hold {cluster}: the row in line {rows[0].line} is"
        f" {_what(rows[0], devices)}"
    )


def _is_for(route: Route, cluster: Address) -> bool:
    return route.address == cluster and (route.is_host or route.prefix is None)


def _what(route: Route, devices: Devices) -> str:
    if route.neighbour:
        return "a neighbour's"
    if route.kind is Kind.REFUSE:
        return "one that refuses its packets"
    if route.kind is Kind.OTHER:
        return "a broadcast or multicast address"
    if route.gateway is not None and not route.gateway.is_loopback:
        return f"a route through {route.gateway}"
    if devices.listing.system is System.LINUX:
        return f"a route to {route.interface or 'another host'}, not an address"
    return "a route to another host"
