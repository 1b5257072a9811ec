"""What a listing cannot show, and the command that can: silence is not proof of absence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem as System
from shunt.servers.routes.rows import Listing, Where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shunt.model.addresses import Address

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
    found = ((cluster, _why(listing, system, cluster.version)) for cluster in clusters)
    return tuple(
        Blind(cluster, why, command(system, cluster.version)) for cluster, why in found if why
    )


def without_row(listing: Listing, clusters: Sequence[Address]) -> tuple[Blind, ...]:
    """Return the cluster addresses that have no row of their own, as every held address has.

    The listing is then cut off, or of a server that does not hold the address. A listing without
    rows of the address' family is `blind_spots`' to tell.
    """
    own = {route.address for route in listing.routes if route.is_host or route.prefix is None}
    return tuple(
        Blind(
            cluster,
            f"the listing has no row of {cluster} itself: it is cut off, or this server does not"
            " hold the address",
            command(listing.system, cluster.version),
        )
        for cluster in clusters
        if cluster not in own and listing.of_family(cluster.version)
    )


def _why(listing: Listing, system: System, version: int) -> str | None:
    rows = listing.of_family(version)
    if not rows:
        return f"the listing has no IPv{version} rows"
    if system is System.LINUX and not any(row.where is Where.LOCAL for row in rows):
        return "the listing lacks the table local, where Linux puts the network of an alias"
    if any(row.prefix is None for row in rows):
        return "the listing shows networks without their masks"
    return None
