"""Listens for others who claim the cluster addresses, and answers by announcing them again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from shunt.network.links import links
from shunt.verify.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from shunt.model.addresses import Address
    from shunt.verify.watch import Sighting

_KEPT = 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A sighting on an interface."""

    interface: str
    sighting: Sighting

    def document(self) -> dict[str, Any]:
        """Return it for `shunt status`."""
        claim = self.sighting.claim
        return {
            "interface": self.interface,
            "address": str(claim.address),
            "mac": str(claim.mac),
            "how": str(claim.how),
            "at": self.sighting.at,
            "times": self.sighting.times,
        }


class Guardian:
    """Guards the cluster addresses on the dispatcher's interfaces.

    `claims` has the latest sightings, oldest first. `on_claim` is called at each.
    """

    def __init__(self, on_claim: Callable[[Claimed], None]) -> None:
        self.claims: list[Claimed] = []
        self._on_claim = on_claim

    def guard(
        self, interface: str, addresses: Callable[[], Collection[Address]]
    ) -> Coroutine[None, None, None]:
        """Listen on one interface from now on; return what tells of claims until cancelled.

        Raises:
            HostError: no CAP_NET_RAW, or no such interface.
        """
        own = {link.mac for link in links() if link.mac is not None}
        return self._tell(Watch(interface, addresses(), own), interface, addresses)

    async def _tell(
        self, listening: Watch, interface: str, addresses: Callable[[], Collection[Address]]
    ) -> None:
        with listening as watch:
            async for sighting in watch:
                watch.guard.addresses = frozenset(addresses())
                claimed = Claimed(interface, sighting)
                self.claims = [*self.claims, claimed][-_KEPT:]
                log.warning("another machine claims a cluster address", **claimed.document())
                self._on_claim(claimed)
