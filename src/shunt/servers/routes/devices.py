"""What the interfaces of a listing are: a way out to others, or a loopback, and what each holds.

Names say little: systems call a loopback lo, lo0, vni0, or whatever the administrator liked. Its
rows say it: an interface through which a gateway or a neighbour is reached, or that holds the
server's own address, is a network card. Only AIX and HP-UX have one name for what has no wire.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem as System
from shunt.servers.routes.rows import Kind, Listing, Route, Where

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shunt.model.addresses import Address

# What the kernels themselves call an interface without a wire.
_LOOPBACK = re.compile(r"(?:lo|vni|dummy)\d*")
WINDOWS = (System.WINDOWS, System.WINDOWS2003)
_ONE_LOOPBACK = (System.AIX, System.AIX_WPAR, System.HP_UX)
_BSD = (System.FREEBSD, System.OPENBSD, System.NETBSD, System.MACOS)


def base(interface: str) -> str:
    """Return the physical name of a logical interface: `net0` for `net0:1`."""
    return interface.partition(":")[0]


def is_loopback_name(interface: str) -> bool:
    """Tell whether the kernel itself calls its loopback so."""
    return bool(_LOOPBACK.fullmatch(base(interface)))


@dataclass(frozen=True, slots=True)
class Devices:
    """The interfaces of one listing, told by its rows."""

    listing: Listing
    clusters: tuple[Address, ...]
    own: tuple[Address, ...]
    cards: frozenset[str]

    def is_card(self, interface: str) -> bool:
        """Tell whether others are reached through it; False also where that cannot be told."""
        return base(interface) in self.cards

    def holds(self, route: Route) -> bool:
        """Tell whether a row says that the host itself has the row's address."""
        if not is_host_row(route) or route.neighbour:
            return False
        system = self.listing.system
        if system is System.LINUX or route.kind is not Kind.UNICAST:
            return route.kind is Kind.LOCAL
        if system in WINDOWS:
            return route.gateway is None or route.gateway.is_loopback
        if route.gateway == route.address or ("l" in route.flags and system is not System.MACOS):
            return True  # l: RTF_LOCAL
        through = system in _BSD and "G" in route.flags
        return bool(route.card) or (is_loopback_name(route.interface) and not through)


def devices(listing: Listing, clusters: Sequence[Address], own: Sequence[Address]) -> Devices:
    """Read off what each interface is; `own` are the server's own addresses, as far as known."""
    cards = frozenset(_cards(listing, clusters, own))
    return Devices(listing, tuple(clusters), tuple(own), cards)


def is_host_row(route: Route) -> bool:
    """Tell whether the row is for one address, as far as the listing shows masks."""
    return route.is_host or (route.prefix is None and "H" in route.flags)


def _cards(listing: Listing, clusters: Sequence[Address], own: Sequence[Address]) -> Iterator[str]:
    gateways = []
    for route in listing.routes:
        name = base(route.interface)
        if is_loopback_name(name) or route.where is Where.PERSISTENT:
            continue
        out = _leads_out(route, clusters)
        if not name:
            gateways += [route.gateway] if out and route.gateway is not None else []
        elif (
            out
            or route.neighbour
            or listing.system in _ONE_LOOPBACK
            or any(address in own for address in held_on(listing, route))
        ):
            yield name
    for gateway in gateways:
        yield from _reached_through(listing, clusters, gateway)


def _leads_out(route: Route, clusters: Sequence[Address]) -> bool:
    """Tell whether a row's gateway is another machine."""
    gateway = route.gateway
    if route.gateway_name:
        return "G" in route.flags
    if gateway is None or gateway in clusters or gateway.is_loopback or gateway == route.address:
        return False
    return gateway not in route.holders and "G" in (route.flags or "G")


def held_on(listing: Listing, route: Route) -> tuple[Address, ...]:
    """Return the addresses that a row shows its interface to hold, as each system writes it.

    Where connected rows have the interface's address as their gateway (AIX, HP-UX, Solaris, older
    BSDs), that; else the holders, and the preferred source of a connected row.
    """
    if listing.system in WINDOWS or listing.system is System.LINUX:
        own_row = is_host_row(route) and route.gateway is None
        shown = (
            route.source if route.gateway is None else None,
            route.address if own_row else None,
        )
        return (*route.holders, *(address for address in shown if address is not None))
    if route.gateway is None or "G" in (route.flags or "G"):
        return route.holders
    return (*route.holders, route.gateway)


def _reached_through(
    listing: Listing, clusters: Sequence[Address], gateway: Address
) -> Iterator[str]:
    """Return the interfaces on whose network a gateway is, where its row names none (Solaris)."""
    networks = [
        route
        for route in listing.routes
        if not is_host_row(route) and not _leads_out(route, clusters)
        if route.prefix != 0 and route.covers(gateway)
        if route.interface and not is_loopback_name(route.interface)
    ]
    others = [
        route
        for route in networks
        if any(address not in clusters for address in held_on(listing, route))
    ]
    yield from (base(route.interface) for route in others or networks)
