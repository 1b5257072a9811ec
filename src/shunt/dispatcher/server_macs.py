"""Whose MAC address a server's frames go to: told when it changes, and when two claim it; pure.

Whoever is on the segment can take a server's traffic over by one gratuitous ARP or neighbour
advertisement (RFC 826, RFC 4861 section 7.2.5): the kernel believes the last word, and so do we,
for that is how a card is exchanged. So it is told, within bounds that no sender sets; and a server
whose MAC is pinned in the configuration keeps it, whatever is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from shunt.rate_limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Collection

    from shunt.model.addresses import Address, Mac

LATELY = 60.0  # seconds in which a second owner is remembered
_PERIOD, _BURST = 60.0, 3  # of what is told of one server
_ALL_PERIOD, _ALL_BURST = 1.0, 50  # of what is told of all of them
_OWNERS = 8  # MACs of one server that are remembered


@dataclass(frozen=True, slots=True)
class MacNews:
    """Another machine answers for a server than before, or than it must.

    Attributes:
        server: its name.
        address: its own address.
        mac: that is answered with now.
        before: the one that was used until now.
        contested: this MAC was its own a moment ago, and another one in between: two machines.
        pinned: the configuration says which MAC it has, and that one goes on being used.
        times: changes since it was told last.
    """

    server: str
    address: Address
    mac: Mac
    before: Mac
    contested: bool
    pinned: bool
    times: int

    @property
    def reason(self) -> str:
        """Return what it means, and what to do."""
        if self.pinned:
            return "its MAC address is pinned, and frames go there: find out who answers instead"
        if self.contested:
            return "two machines answer for it: find the other one, or pin the right MAC (mac:)"
        return "frames go there from now on: was its card exchanged? If not, pin its MAC (mac:)"

    def document(self) -> dict[str, Any]:
        """Return it for `shunt status --json`."""
        return {
            "server": self.server,
            "address": str(self.address),
            "mac": str(self.mac),
            "before": str(self.before),
            "contested": self.contested,
            "pinned": self.pinned,
            "times": self.times,
            "reason": self.reason,
        }


@dataclass(slots=True)
class _History:
    mac: Mac
    at: float
    pin: Mac | None
    owners: dict[Mac, float] = field(default_factory=dict)  # until when each was the owner
    limiter: RateLimiter = field(default_factory=lambda: RateLimiter(_PERIOD, _BURST))
    untold: int = 0
    latest: MacNews | None = None


class ServerMacs:
    """What was answered for each server."""

    def __init__(self) -> None:
        self._histories: dict[Address, _History] = {}
        self._limiter = RateLimiter(_ALL_PERIOD, _ALL_BURST)

    def take(
        self, server: str, address: Address, mac: Mac, now: float, pin: Mac | None = None
    ) -> MacNews | None:
        """Take a MAC that is answered with; return what is to be told, None if nothing.

        The same MAC is judged anew when the pin is another one than before.

        Args:
            server: its name.
            address: its own address.
            mac: that was answered.
            now: seconds of a clock that never goes back.
            pin: the MAC that the configuration gives it.
        """
        known = self._histories.get(address)
        if known is None:
            known = self._histories[address] = _History(pin or mac, now, pin)
        pin_before, known.pin = known.pin, pin
        if mac == known.mac:
            if known.latest is not None:
                known.latest = replace(known.latest, server=server)
            return self._repinned(known, server, address, now) if pin != pin_before else None
        news = MacNews(
            server, address, mac, pin or known.mac,
            contested=now - known.owners.get(mac, float("-inf")) <= LATELY,
            pinned=pin is not None, times=known.untold + 1,
        )  # fmt: skip
        known.owners.pop(known.mac, None)
        known.owners[known.mac] = now
        while len(known.owners) > _OWNERS:
            del known.owners[next(iter(known.owners))]
        known.mac, known.at = mac, now
        known.latest = None if mac == pin else news
        return self._told(known, news, now)

    def _repinned(
        self, known: _History, server: str, address: Address, now: float
    ) -> MacNews | None:
        if known.pin in (None, known.mac):
            if known.pin is not None or (known.latest is not None and known.latest.pinned):
                known.latest = None
            return None
        assert known.pin is not None
        known.latest = MacNews(
            server, address, known.mac, known.pin, contested=False, pinned=True,
            times=known.untold + 1,
        )  # fmt: skip
        return self._told(known, known.latest, now)

    def _told(self, known: _History, news: MacNews, now: float) -> MacNews | None:
        """Return the news if they are to be told, and bounds allow it; else count them."""
        if known.latest is None or self._limiter.due(now) > now or not known.limiter.allows(now):
            known.untold += 1
            return None
        self._limiter.spend(now)
        known.untold = 0
        return news

    def unanswered(self, address: Address, pin: Mac | None) -> None:
        """Forget what was answered for a server by another pin; now nobody answers for it."""
        known = self._histories.get(address)
        if known is not None and known.pin != pin:
            del self._histories[address]

    def keep_to(self, addresses: Collection[Address]) -> None:
        """Forget all other servers."""
        for address in self._histories.keys() - set(addresses):
            del self._histories[address]

    def doubtful(self, now: float) -> tuple[MacNews, ...]:
        """Return what an operator must look at: changes of late, and pins that are contradicted."""
        latest = ((each.latest, each.at) for each in self._histories.values())
        return tuple(news for news, at in latest if news and (news.pinned or now - at <= LATELY))
