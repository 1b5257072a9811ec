"""Listens for others who claim the cluster addresses, and answers by announcing them again."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shunt.errors import HostError, NetworkError
from shunt.network.links import links
from shunt.verify.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from shunt.model.addresses import Address, Mac
    from shunt.verify.watch import Sighting

_KEPT = 20
_RETRY = 1.0  # seconds after an interface went down, or away
_DEFEND = 1.0  # seconds between two defences against one claimant: neither is to flood the segment
_TELL = 60.0  # seconds after which the same claimant is told of again


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

    RFC 5227 section 2.4 (c): an address that must not be lost is defended again and again.

    Attributes:
        claims: the latest that were told, oldest first.
    """

    def __init__(self, defend: Callable[[], None], tell: Callable[[Claimed], None]) -> None:
        """Guard nothing yet.

        Args:
            defend: announces the addresses; called once a second for each claimant at most.
            tell: called once a minute for each claimant at most.
        """
        self.claims: list[Claimed] = []
        self._defend = defend
        self._tell = tell
        self._told: dict[tuple[Address, Mac], float] = {}

    def guard(
        self, interface: str, addresses: Callable[[], Collection[Address]]
    ) -> Coroutine[None, None, None]:
        """Listen on one interface from now on; return what tells of claims until cancelled.

        Raises:
            HostError: no CAP_NET_RAW, or no such interface.
        """
        return self._follow(_listen(interface, addresses()), interface, addresses)

    async def _follow(
        self, listening: Watch, interface: str, addresses: Callable[[], Collection[Address]]
    ) -> None:
        while True:
            with listening as watch, contextlib.suppress(NetworkError):  # the interface went down
                async for sighting in watch:
                    watch.guard.addresses = frozenset(addresses())
                    self.take(Claimed(interface, sighting))
            listening = await _listen_again(interface, addresses)

    def take(self, claimed: Claimed) -> None:
        """Defend, and tell if it is news."""
        self._defend()
        claim, at = claimed.sighting.claim, claimed.sighting.at
        who = claim.address, claim.mac
        told = self._told.get(who)
        if told is None or not 0 <= at - told < _TELL:
            self._told[who] = at
            self.claims = [*self.claims, claimed][-_KEPT:]
            self._tell(claimed)


def _listen(interface: str, addresses: Collection[Address]) -> Watch:
    own = {link.mac for link in links() if link.mac is not None}
    return Watch(interface, addresses, own, _DEFEND)


async def _listen_again(interface: str, addresses: Callable[[], Collection[Address]]) -> Watch:
    """Return a new watch as soon as there is an interface of that name."""
    while True:
        await asyncio.sleep(_RETRY)
        with contextlib.suppress(HostError, NetworkError):
            return _listen(interface, addresses())
