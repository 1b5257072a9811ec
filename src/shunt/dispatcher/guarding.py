"""Listens for others who claim the cluster addresses, and answers by announcing them again."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog

from shunt.errors import HostError, NetworkError
from shunt.network.links import links
from shunt.rate_limiter import RateLimiter
from shunt.verify.watch import News, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from shunt.model.addresses import Address, Mac
    from shunt.verify.watch import Sighting

log = structlog.get_logger()

_KEPT = 20
_RETRY = 1.0  # seconds after an interface went down, or away
# Claims come in bursts (two frames, or five), and the last one decides whom neighbours believe. So
# a few defences may follow each other closely; for long, whoever claims, they are a second apart,
# for two machines that defend the same address are not to flood the segment.
_CLOSE, _APART, _FEW = 0.1, 1.0, 5
_LOOK = (
    0.02  # seconds between two looks at our own MACs: strangers decide how many claims there are
)
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
            "speaker": str(claim.said_by),
            "how": str(claim.how),
            "at": self.sighting.at,
            "times": self.sighting.times,
            "unnamed": self.sighting.unnamed,
        }


def own_macs() -> frozenset[Mac]:
    """Return the MACs that this host's interfaces have now.

    Raises:
        NetworkError: the kernel did not tell.
    """
    return frozenset(link.mac for link in links() if link.mac is not None)


class Guardian:
    """Guards the cluster addresses on the dispatcher's interfaces.

    RFC 5227 section 2.4 (c): an address that must not be lost is defended again and again. The RFC
    asks for 10 s between two defences; clients would be led astray for as long.

    Attributes:
        claims: the latest that were told, oldest first.
    """

    def __init__(
        self,
        defend: Callable[[], None],
        tell: Callable[[Claimed], None],
        own: Callable[[], Collection[Mac]] = own_macs,
    ) -> None:
        """Guard nothing yet.

        Args:
            defend: announces the addresses; a few times close together, then once a second.
            tell: called once a minute for each claimant at most, and for a few of each address.
            own: returns the MACs that this host's interfaces have now; may raise NetworkError.
        """
        self.claims: list[Claimed] = []
        self._defend = defend
        self._tell = tell
        self._look = own
        self._own: Collection[Mac] = frozenset()
        self._looks = RateLimiter(_LOOK)
        self._news = News()
        self._watches: dict[str, Watch] = {}
        self._deaf: dict[str, str] = {}
        self._pace = RateLimiter(_APART, burst=_FEW, gap=_CLOSE)
        self._owed: asyncio.TimerHandle | None = None

    def guard(
        self, interface: str, addresses: Callable[[], Collection[Address]]
    ) -> Coroutine[None, None, None]:
        """Listen on one interface from now on, or as soon as there is one of that name.

        Returns:
            What tells of claims until it is cancelled.
        """
        return self._follow(self._listen(interface, addresses()), interface, addresses)

    def keep_to(self, addresses: Collection[Address]) -> None:
        """Guard these addresses from now on."""
        for watch in self._watches.values():
            watch.guard.addresses = frozenset(addresses)
        self._news.keep_to(frozenset(addresses))

    async def _follow(
        self, listening: Watch | None, interface: str, addresses: Callable[[], Collection[Address]]
    ) -> None:
        while True:
            while listening is None:
                await asyncio.sleep(_RETRY)
                listening = self._listen(interface, addresses())
            with listening as watch, contextlib.suppress(NetworkError):  # the interface went down
                async for sighting in watch:
                    self.take(Claimed(interface, sighting))
            listening = None

    def _listen(self, interface: str, addresses: Collection[Address]) -> Watch | None:
        self._watches.pop(interface, None)
        try:
            self._watches[interface] = Watch(interface, addresses, (), _EACH)
        except (HostError, NetworkError) as error:
            if self._deaf.get(interface) != error.message:
                log.warning("claims cannot be heard", interface=interface, reason=error.message)
            self._deaf[interface] = error.message
            return None
        self._deaf.pop(interface, None)
        return self._watches[interface]

    def take(self, claimed: Claimed) -> None:
        """Defend, at once or as soon as it may be, and tell if it is news; unless it is our own."""
        if self._is_own(claimed.sighting.claim.mac):
            return
        self._defend_soon()
        sighting = self._news.take(claimed.sighting.claim, claimed.sighting.at)
        if sighting is not None:
            claimed = replace(claimed, sighting=sighting)
            self.claims = [*self.claims, claimed][-_KEPT:]
            self._tell(claimed)

    def _is_own(self, mac: Mac) -> bool:
        """Return whether an interface of this host has the MAC now: they come, and change theirs.

        Our announcements by one interface are heard by another one on the same segment.
        """
        if self._looks.allows(asyncio.get_running_loop().time()):
            with contextlib.suppress(NetworkError):  # what was known last is the best answer
                self._own = self._look()
        return mac in self._own

    def _defend_soon(self) -> None:
        if self._owed is None:
            loop = asyncio.get_running_loop()
            now = loop.time()
            due = self._pace.due(now)
            if due <= now:
                self._defend_now()
            else:
                self._owed = loop.call_at(due, self._defend_now)

    def _defend_now(self) -> None:
        self._owed = None
        self._pace.spend(asyncio.get_running_loop().time())
        self._defend()
