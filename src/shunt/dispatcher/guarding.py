"""Listens for others who claim the cluster addresses, and answers by announcing them again."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from shunt.errors import HostError, NetworkError
from shunt.network.links import links
from shunt.verify.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from shunt.model.addresses import Address
    from shunt.verify.watch import Sighting

_KEPT = 20
_RETRY = 1.0  # seconds after an interface went down, or away

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
        return self._tell(_listen(interface, addresses()), interface, addresses)

    async def _tell(
        self, listening: Watch, interface: str, addresses: Callable[[], Collection[Address]]
    ) -> None:
        while True:
            with listening as watch, contextlib.suppress(NetworkError):  # the interface went down
                async for sighting in watch:
                    watch.guard.addresses = frozenset(addresses())
                    claimed = Claimed(interface, sighting)
                    self.claims = [*self.claims, claimed][-_KEPT:]
                    log.warning("another machine claims a cluster address", **claimed.document())
                    self._on_claim(claimed)
            listening = await _listen_again(interface, addresses)


def _listen(interface: str, addresses: Collection[Address]) -> Watch:
    own = {link.mac for link in links() if link.mac is not None}
    return Watch(interface, addresses, own)


async def _listen_again(interface: str, addresses: Callable[[], Collection[Address]]) -> Watch:
    """Return a new watch as soon as there is an interface of that name."""
    while True:
        await asyncio.sleep(_RETRY)
        with contextlib.suppress(HostError, NetworkError):
            return _listen(interface, addresses())
