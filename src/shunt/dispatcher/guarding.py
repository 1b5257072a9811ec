"""Listens for others who claim the cluster addresses, and answers by announcing them again."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shunt.errors import HostError, NetworkError
from shunt.network.links import links
from shunt.verify.watch import News, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from shunt.model.addresses import Address
    from shunt.verify.watch import Sighting

_KEPT = 20
_RETRY = 1.0  # seconds after an interface went down, or away
_DEFEND = 1.0  # seconds between two defences: whoever claims, this is not to flood the segment
_EACH = 0.0  # every claim is seen: one that comes just after a defence is answered by the next


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
            "unnamed": self.sighting.unnamed,
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
            defend: announces the addresses; called once a second at most.
            tell: called once a minute for each claimant at most, and for a few of each address.
        """
        self.claims: list[Claimed] = []
        self._defend = defend
        self._tell = tell
        self._news = News()
        self._defended = -_DEFEND  # by the loop's clock
        self._owed: asyncio.TimerHandle | None = None

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
                    self._news.keep_to(watch.guard.addresses)
                    self.take(Claimed(interface, sighting))
            listening = await _listen_again(interface, addresses)

    def take(self, claimed: Claimed) -> None:
        """Defend, at once or as soon as it may be, and tell if it is news."""
        self._defend_soon()
        sighting = self._news.take(claimed.sighting.claim, claimed.sighting.at)
        if sighting is not None:
            claimed = replace(claimed, sighting=sighting)
            self.claims = [*self.claims, claimed][-_KEPT:]
            self._tell(claimed)

    def _defend_soon(self) -> None:
        if self._owed is None:
            loop = asyncio.get_running_loop()
            due = self._defended + _DEFEND
            if loop.time() >= due:
                self._defend_now()
            else:
                self._owed = loop.call_at(due, self._defend_now)

    def _defend_now(self) -> None:
        self._owed, self._defended = None, asyncio.get_running_loop().time()
        self._defend()


def _listen(interface: str, addresses: Collection[Address]) -> Watch:
    own = {link.mac for link in links() if link.mac is not None}
    return Watch(interface, addresses, own, _EACH)


async def _listen_again(interface: str, addresses: Callable[[], Collection[Address]]) -> Watch:
    """Return a new watch as soon as there is an interface of that name."""
    while True:
        await asyncio.sleep(_RETRY)
        with contextlib.suppress(HostError, NetworkError):
            return _listen(interface, addresses())
