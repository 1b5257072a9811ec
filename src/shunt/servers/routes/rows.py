"""What a route table is, whatever system printed it: typed rows, and where each was read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.model.config import OperatingSystem

Network = IPv4Network | IPv6Network


class Kind(StrEnum):
    """What a row does with a packet: send it, take it as the host's own, refuse it, or other."""

    UNICAST = "unicast"
    LOCAL = "local"
    REFUSE = "refuse"
    OTHER = "other"  # broadcast, multicast, anycast: never a reason to lose unicast traffic


class Where(StrEnum):
    """Which table a row is in, as far as that matters to deleting it."""

    ACTIVE = "active"
    LOCAL = "local"  # Linux: the table `local`
    PERSISTENT = "persistent"  # Windows: comes back at the next boot


@dataclass(frozen=True, slots=True)
class Route:
    """One row. `line` is 1-based; `written` is the destination as the listing has it.

    `prefix` is None where the listing shows no mask. `gateway` is None for a row that leads
    straight to a link, `gateway_name` is set where the listing shows a name in its place.
    `holders` are the addresses known to be on the row's interface. `protocol` says who made the
    row, where the listing does (Linux: `kernel`, `static`, ...).
    """

    line: int
    written: str
    address: Address
    prefix: int | None
    gateway: Address | None = None
    interface: str = ""
    flags: str = ""
    kind: Kind = Kind.UNICAST
    where: Where = Where.ACTIVE
    table: str = ""
    source: Address | None = None
    holders: tuple[Address, ...] = ()
    gateway_name: str = ""
    neighbour: bool = False  # the way to one neighbour's MAC, and nothing of the host's own
    protocol: str = ""
    selector: str = ""  # Linux: what else tells the row from others, in the words of ip-route(8)
    hops: int = 1  # ways of the route that the row is one of
    card: str = ""  # BSD: the interface whose address it is, where that is not the one shown

    @property
    def network(self) -> Network | None:
        """Return the destination, or None where its mask is not shown."""
        return None if self.prefix is None else ip_network((self.address, self.prefix))

    @property
    def is_host(self) -> bool:
        """Tell whether the row is for a single address."""
        return self.prefix == self.address.max_prefixlen

    def covers(self, address: Address) -> bool:
        """Tell whether `address` is inside the destination.

        Without a mask: whether some mask exists that makes it so, leaving no host bits set.
        """
        if address.version != self.address.version:
            return False
        if self.prefix is not None:
            return _same_start(self.address, address, self.prefix)
        host_bits = (int(self.address) & -int(self.address)).bit_length() - 1
        shortest = 0 if not int(self.address) else self.address.max_prefixlen - host_bits
        return _same_start(self.address, address, shortest)


@dataclass(frozen=True, slots=True)
class Unread:
    """A row that says nothing certain: which IP version it belongs to, and why it does not."""

    line: int
    version: int
    why: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A parsed route table; `system` is the likeliest where several print alike.

    `unread` are rows that could not be read; those of the other family still count.
    `without_interfaces` marks a layout that does not show where routes lead.
    """

    system: OperatingSystem
    layout: str
    routes: tuple[Route, ...]
    unread: tuple[Unread, ...] = ()
    without_interfaces: bool = False

    def of_family(self, version: int) -> tuple[Route, ...]:
        """Return the rows of IPv4 (4) or IPv6 (6)."""
        return tuple(route for route in self.routes if route.address.version == version)


def with_holders(routes: tuple[Route, ...], own: Kind) -> tuple[Route, ...]:
    """Fill in `holders` of network rows from the host rows of the same interface.

    Windows shows each address as a host row on its own interface; so do `Get-NetRoute` and, with
    a kind of their own, the rows of Linux' table local: `own` is the kind of such rows. The first
    and last address of a network (its name and its broadcast) are not holders. Rows whose
    interface is given by an address already keep that.
    """
    hosts = [
        route for route in routes if route.is_host and route.gateway is None and route.kind is own
    ]
    return tuple(
        route
        if route.is_host or route.holders or (network := route.network) is None
        else replace(
            route,
            holders=tuple(
                dict.fromkeys(
                    host.address
                    for host in hosts
                    if host.interface == route.interface
                    and host.address in network
                    and host.address not in (network.network_address, network.broadcast_address)
                )
            ),
        )
        for route in routes
    )


def _same_start(one: Address, other: Address, bits: int) -> bool:
    shift = one.max_prefixlen - bits
    return int(one) >> shift == int(other) >> shift
