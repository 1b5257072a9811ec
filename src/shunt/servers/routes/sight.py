"""What a listing cannot show, and the command that can: silence is not proof of absence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem as System
from shunt.servers.routes.devices import devices, is_host_row, is_loopback_name
from shunt.servers.routes.held import unclear_device, why_not_held
from shunt.servers.routes.rows import Kind, Listing, Where
from shunt.servers.routes.rule import is_proxy_route, may_swallow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shunt.model.addresses import Address
    from shunt.servers.routes.devices import Devices
    from shunt.servers.routes.rows import Route

_COMMANDS: dict[System, tuple[str, str]] = {  # IPv4, IPv6
    System.LINUX: ("ip -j -4 route show table all", "ip -j -6 route show table all"),
    System.AIX: ("netstat -rn -f inet", "netstat -rn -f inet6"),
    System.AIX_WPAR: ("netstat -rn -f inet", "netstat -rn -f inet6"),
    System.HP_UX: ("netstat -rnv", "netstat -rnv -f inet6"),
    System.SOLARIS10: ("netstat -rnv -f inet", "netstat -rnv -f inet6"),
    System.SOLARIS11: ("netstat -rnv -f inet", "netstat -rnv -f inet6"),
    System.ILLUMOS: ("netstat -rnv -f inet", "netstat -rnv -f inet6"),
    System.FREEBSD: ("netstat -rn -f inet", "netstat -rn -f inet6"),
    System.OPENBSD: ("netstat -rn -f inet", "netstat -rn -f inet6"),
    System.NETBSD: ("netstat -rn -f inet", "netstat -rn -f inet6"),
    System.MACOS: ("netstat -rn -f inet", "netstat -rn -f inet6"),
    System.WINDOWS2003: ("route print", "netsh interface ipv6 show routes"),
    System.WINDOWS: ("route print -4", "route print -6"),
}


@dataclass(frozen=True, slots=True)
class Blind:
    """Why a listing cannot answer for a cluster address, and the command whose output can."""

    cluster: Address
    why: str
    command: str


def command(system: System, version: int) -> str:
    """Return the command that lists all that matters of IPv4 (4) or IPv6 (6)."""
    return _COMMANDS[system][version == 6]


def blind_spots(listing: Listing, system: System, clusters: Sequence[Address]) -> tuple[Blind, ...]:
    """Return what keeps the listing from proving that there is no extra route."""
    found = ((cluster, _why(listing, system, cluster)) for cluster in clusters)
    return tuple(
        Blind(cluster, why, command(system, cluster.version)) for cluster, why in found if why
    )


def not_held(known: Devices, clusters: Sequence[Address]) -> tuple[Blind, ...]:
    """Return the cluster addresses that the listing does not show to be this server's.

    A listing without rows of the address' family is `blind_spots`' to tell.
    """
    listing = known.listing
    reasons = (
        (cluster, why_not_held(known, cluster) or unclear_device(known, cluster))
        for cluster in clusters
        if listing.of_family(cluster.version)
    )
    return tuple(
        Blind(cluster, why, command(listing.system, cluster.version))
        for cluster, why in reasons
        if why
    )


def _why(listing: Listing, system: System, cluster: Address) -> str | None:
    version = cluster.version
    for row in listing.unread:
        if row.version == version:
            return f"line {row.line} could not be read: {row.why}"
    rows = listing.of_family(version)
    if not rows:
        return f"the listing has no IPv{version} rows"
    if system is System.LINUX and not any(row.where is Where.LOCAL for row in rows):
        return "the listing lacks the table local, where Linux puts the network of an alias"
    if system is System.LINUX and all(row.where is Where.LOCAL for row in listing.routes):
        return "the listing has the table local only: other routes are in the table main"
    return _why_rows(listing, rows, cluster)


def _why_rows(listing: Listing, rows: Sequence[Route], cluster: Address) -> str | None:
    if any(row.prefix is None and not is_host_row(row) for row in rows):
        return "the listing shows networks without their masks"
    swallowing = [row for row in rows if may_swallow(row, (cluster,))]
    for row in swallowing:
        if row.gateway_name:
            return f"the gateway in line {row.line} is a name, {row.gateway_name!r}"
        if is_proxy_route(row):
            return (
                f"line {row.line} takes packets in table {row.table}: whether any get there is for"
                " the rules to say (ip rule)"
            )
    unknown = _unknown_device(listing, swallowing, cluster)
    if unknown:
        return f"the listing does not show what addresses {unknown} holds"
    if listing.without_interfaces:
        return "the listing does not show to which interfaces routes and addresses belong"
    return None


def _unknown_device(listing: Listing, swallowing: Sequence[Route], cluster: Address) -> str:
    """Return a device of Linux with a network of the address, and no row that says what it is."""
    if listing.system is not System.LINUX:
        return ""
    known = devices(listing, (cluster,), ())
    return next(
        (
            row.interface
            for row in swallowing
            if row.kind is Kind.UNICAST and row.gateway is None and row.interface
            if not row.holders and row.source is None
            if not known.is_card(row.interface) and not is_loopback_name(row.interface)
        ),
        "",
    )
