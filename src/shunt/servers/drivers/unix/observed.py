"""What is known of a Unix server."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from shunt.servers.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.elsewhere import BootLine
    from shunt.servers.routes.rows import Listing


@dataclass(frozen=True, slots=True)
class Held:
    """An address that an interface holds; `prefix` is the length of its mask.

    `silent`: the interface has no wire, so nobody ever asks it for the address.
    """

    interface: str
    address: Address
    prefix: int
    silent: bool = field(default=True, compare=False)

    @property
    def is_host(self) -> bool:
        """Tell whether the mask leaves no other address."""
        return self.prefix == self.address.max_prefixlen


@dataclass(frozen=True, slots=True)
class Host:
    """A Unix server.

    Attributes:
        held: Every address with its interface.
        listings: Route tables, those of the families that were asked for.
        published: Addresses for which the host answers ARP in somebody's place.
        settings: Switches by name; those that this release of the system lacks are left out.
        kept: Lines (of files, or of the system's own store) that make things come back at boot.
        elsewhere: Lines of other boot files that name a cluster address.
        record: What Shunt has done here.
    """

    held: tuple[Held, ...] = ()
    listings: tuple[Listing, ...] = ()
    published: frozenset[Address] = frozenset()
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    kept: frozenset[str] = frozenset()
    elsewhere: tuple[BootLine, ...] = ()
    record: Record = field(default_factory=Record)

    def holders(self, address: Address) -> tuple[Held, ...]:
        """Return where `address` is held; rightly on one loopback, perhaps elsewhere too."""
        return tuple(held for held in self.held if held.address == address)
