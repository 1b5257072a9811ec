"""What can change around a running dispatcher: its interfaces, their MACs, the host's addresses."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from shunt.network.addresses import LocalAddress, addresses
from shunt.network.links import links

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shunt.model.addresses import Address, Mac
    from shunt.model.config import Config
    from shunt.network.addresses import LocalAddress
    from shunt.network.links import Link

_POINT_TO_POINT = 31  # such a subnet has no broadcast address (RFC 3021)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the dispatcher stands on.

    Attributes:
        interfaces: those of the configuration that are there, by name.
        missing: those that are not.
        own: what the program must know of the host's addresses: `host_addresses`.
        held: cluster addresses that the host itself holds, which it must not.
    """

    interfaces: Mapping[str, Link]
    missing: frozenset[str]
    own: Mapping[Address, str]
    held: frozenset[LocalAddress] = frozenset()

    @classmethod
    def look(cls, config: Config) -> Surroundings:
        """Return what is there now.

        Raises:
            NetworkError: the kernel did not tell.
        """
        wanted = config.dispatcher.interfaces
        there = {link.name: link for link in links() if link.name in wanted}
        here = addresses()
        own = host_addresses(config, here)
        clusters = frozenset(config.cluster_addresses)
        held = frozenset(each for each in here if each.address in clusters)
        return cls(there, frozenset(wanted) - there.keys(), own, held)

    @property
    def places(self) -> Mapping[str, tuple[int, Mac | None]]:
        """Return index and MAC of each interface: another index is another interface."""
        return {name: (link.index, link.mac) for name, link in self.interfaces.items()}

    def unattached(self, attached: Mapping[str, int]) -> frozenset[str]:
        """Return the interfaces without our program: they came late, or were made anew.

        Args:
            attached: the index of each interface that carries it, by name.
        """
        return frozenset(
            name for name, link in self.interfaces.items() if attached.get(name) != link.index
        )


def host_addresses(config: Config, held: Iterable[LocalAddress]) -> dict[Address, str]:
    """Return addresses that the program must know, with the names of their flags in abi.h; pure.

    The broadcast addresses of the host's subnets, {net, -1} and {net, 0} (RFC 1122, section
    3.2.1.3): nothing comes from there. And, if a service takes requests to any address, the host's
    own: they are not for it.
    """
    anywhere = any(service.address.is_unspecified for service in config.services)
    found: dict[Address, str] = {}
    for local in held:
        if anywhere:
            found[local.address] = "ADDRESS_HOST"
        if local.address.version == 4 and local.prefix < _POINT_TO_POINT:
            net = IPv4Network((int(local.address), local.prefix), strict=False)
            for address in (net.broadcast_address, net.network_address):
                found.setdefault(address, "ADDRESS_BROADCAST")
    return found
