"""What can change around a running dispatcher: its interfaces, their MACs, the host's addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.network.addresses import addresses
from shunt.network.links import links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.model.addresses import Address, Mac
    from shunt.model.config import Config
    from shunt.network.links import Link


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the dispatcher stands on.

    Attributes:
        interfaces: those of the configuration that are there, by name.
        missing: those that are not.
        own: the host's addresses, if a service takes requests to any of them.
    """

    interfaces: Mapping[str, Link]
    missing: frozenset[str]
    own: frozenset[Address]

    @classmethod
    def look(cls, config: Config) -> Surroundings:
        """Return what is there now.

        Raises:
            NetworkError: the kernel did not tell.
        """
        wanted = config.dispatcher.interfaces
        there = {link.name: link for link in links() if link.name in wanted}
        anywhere = any(service.address.is_unspecified for service in config.services)
        own = frozenset(each.address for each in addresses()) if anywhere else frozenset()
        return cls(there, frozenset(wanted) - there.keys(), own)

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
