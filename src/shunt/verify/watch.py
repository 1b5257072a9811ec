"""Who else claims the cluster addresses? Listens for ever and sends nothing.

A switch brings a listener what is sent to everybody: announcements, and questions in an address's
name. These are what fills the neighbour tables of others, so they are what harms. An answer to a
single asker is seen only by that asker; `shunt verify --live` asks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from shunt.network.filters import claims_and_frames_to
from shunt.network.frames import Frame
from shunt.network.packets import PacketSocket
from shunt.verify.claims import Claim, claim_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from shunt.model.addresses import Address, Mac
    from shunt.network.packets import Heard

_AGAIN = 60.0  # seconds after which the same claim is told again


@dataclass(frozen=True, slots=True)
class Sighting:
    """Somebody who must not claims a cluster address: when (since the epoch), and how often yet."""

    claim: Claim
    at: float
    times: int


class Guard:
    """The pure part: which claims are news. `addresses` and `allowed` may be replaced any time.

    The same claim is news again after `again` seconds.
    """

    def __init__(
        self, addresses: Collection[Address], allowed: Collection[Mac], again: float = _AGAIN
    ) -> None:
        self.addresses = frozenset(addresses)
        self.allowed = frozenset(allowed)
        self._again = again
        self.counts: Counter[tuple[Address, Mac]] = Counter()
        self._told: dict[tuple[Address, Mac], float] = {}

    def see(self, heard: Heard) -> Sighting | None:
        """Return the sighting in a frame, None if there is none or it was told just now."""
        frame = heard.parsed()
        claim = claim_of(frame) if isinstance(frame, Frame) else None
        if claim is None or claim.address not in self.addresses or claim.mac in self.allowed:
            return None
        who = claim.address, claim.mac
        self.counts[who] += 1
        told = self._told.get(who)
        if told is not None and 0 <= heard.when - told < self._again:
            return None
        self._told[who] = heard.when
        return Sighting(claim, heard.when, self.counts[who])


class Watch:
    """Listens on one interface; iterate it for sightings.

        with Watch("eth0", addresses, allowed={dispatcher}) as watch:
            async for sighting in watch:
                ...

    Raises:
        HostError: no CAP_NET_RAW, or no such interface.
    """

    def __init__(
        self,
        interface: str,
        addresses: Collection[Address],
        allowed: Collection[Mac],
        again: float = _AGAIN,
    ) -> None:
        self.guard = Guard(addresses, allowed, again)
        self._socket = PacketSocket(interface, keep=claims_and_frames_to())

    async def __aiter__(self) -> AsyncIterator[Sighting]:
        """Yield sightings as they come, for ever."""
        while True:
            sighting = self.guard.see(await self._socket.receive())
            if sighting is not None:
                yield sighting

    def close(self) -> None:
        """Stop listening; may be called again."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
