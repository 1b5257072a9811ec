"""Who else claims the cluster addresses? Listens for ever and sends nothing.

A switch brings a listener what is sent to everybody: announcements, and questions in an address's
name. These are what fills the neighbour tables of others, so they are what harms. An answer to a
single asker is seen only by that asker; `shunt verify --live` asks.

Anybody on the segment can make up as many claimants as there are MACs. So few of them are known
and told for each address; the others are counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from shunt.errors import HostError, NetworkError
from shunt.network.filters import claims_and_frames_to
from shunt.network.frames import Frame
from shunt.network.links import find
from shunt.network.packets import PacketSocket
from shunt.verify.claims import Claim, claim_of, intention_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from shunt.model.addresses import Address, Mac
    from shunt.network.packets import Heard

_AGAIN = 60.0  # seconds after which the same claim is told again
_CLAIMANTS = 16  # of an address that are known at a time
# In a storm of claims, so many frames are read before others have their turn; the kernel drops
# what it has no room for, and what it keeps says enough.
_BURST, _PAUSE = 64, 0.01
_RETRY = 0.5  # seconds between two looks whether an interface is back
_QUEUE = 64  # sightings on their way to whoever listens


@dataclass(frozen=True, slots=True)
class Sighting:
    """Somebody who must not claims a cluster address: when (since the epoch), and how often yet.

    `unnamed` counts claims to the address, since the last sighting of one, by claimants of whom
    there were too many to name them.
    """

    claim: Claim
    at: float
    times: int
    unnamed: int = 0


@dataclass(slots=True)
class _Claimant:
    told: float
    times: int = 0


@dataclass(slots=True)
class _Crowd:
    """The claimants of one address: some by name, the others as a number.

    Their names are who spoke and who was named.
    """

    named: dict[tuple[Mac, Mac], _Claimant] = field(default_factory=dict)
    unnamed: int = 0


class News:
    """Which claims are news, and how many were made, in bounded memory.

    A claim is news again after `again` seconds. In that time so many claimants of one address are
    told at most; one that finds the places taken gets the first that falls free.
    """

    def __init__(self, again: float = _AGAIN) -> None:
        self._again = again
        self._crowds: dict[tuple[Address, bool], _Crowd] = {}  # claims; and intentions apart

    def take(self, claim: Claim, at: float) -> Sighting | None:
        """Return the sighting, None if it is no news."""
        crowd = self._crowds.setdefault((claim.address, claim.how.intends), _Crowd())
        name = claim.said_by, claim.mac
        known = crowd.named.get(name)
        if known is not None:
            known.times += 1
            if self._is_fresh(known, at):
                return None
            known.told = at
        elif self._has_room(crowd, at):
            known = crowd.named[name] = _Claimant(at, 1)
        else:
            crowd.unnamed += 1
            return None
        unnamed, crowd.unnamed = crowd.unnamed, 0
        return Sighting(claim, at, known.times, unnamed)

    def keep_to(self, addresses: Collection[Address]) -> None:
        """Forget the claimants of all other addresses."""
        for key in [key for key in self._crowds if key[0] not in addresses]:
            del self._crowds[key]

    def _is_fresh(self, known: _Claimant, at: float) -> bool:
        return 0 <= at - known.told < self._again  # a clock that was set back makes all stale

    def _has_room(self, crowd: _Crowd, at: float) -> bool:
        if len(crowd.named) >= _CLAIMANTS:
            name, eldest = min(crowd.named.items(), key=lambda each: each[1].told)
            if self._is_fresh(eldest, at):
                return False
            del crowd.named[name]
        return True


class Guard:
    """The pure part: which frames are claims of strangers, and news.

    `addresses` and `allowed` may be replaced any time. `intentions`: those count as well who ask
    whether an address is free. Where traffic is led to, the MAC that is named, says whether a claim
    is a stranger's.
    """

    def __init__(
        self,
        addresses: Collection[Address],
        allowed: Collection[Mac],
        again: float = _AGAIN,
        *,
        intentions: bool = False,
    ) -> None:
        self.intentions = intentions
        self.addresses = frozenset(addresses)
        self.allowed = frozenset(allowed)
        self._news = News(again)

    def see(self, heard: Heard) -> Sighting | None:
        """Return the sighting in a frame, None if there is none or it was told just now."""
        frame = heard.parsed()
        claim = self._claim(frame) if isinstance(frame, Frame) else None
        if claim is None or claim.address not in self.addresses or claim.mac in self.allowed:
            return None
        self._news.keep_to(self.addresses)
        return self._news.take(claim, heard.when)

    def _claim(self, frame: Frame) -> Claim | None:
        claim = claim_of(frame)
        return intention_of(frame) if claim is None and self.intentions else claim


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
        *,
        intentions: bool = False,
    ) -> None:
        self.guard = Guard(addresses, allowed, again, intentions=intentions)
        self._socket = PacketSocket(interface, keep=claims_and_frames_to())

    async def __aiter__(self) -> AsyncIterator[Sighting]:
        """Yield sightings as they come, for ever."""
        while True:
            for _ in range(_BURST):
                sighting = self.guard.see(await self._socket.receive())
                if sighting is not None:
                    yield sighting
            await asyncio.sleep(_PAUSE)

    def close(self) -> None:
        """Stop listening; may be called again."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def sightings(
    interfaces: Collection[str],
    addresses: Collection[Address],
    allowed: Collection[Mac],
    say: Callable[[str], None],
) -> AsyncIterator[tuple[str, Sighting]]:
    """Yield sightings and where they were made, for ever; interfaces may go down and come back.

    `say` is told, in words for a person, when all are listened to, when one is not, and when it is
    again.

    Raises:
        HostError: no CAP_NET_RAW, or no such interface, at the beginning.
    """
    heard: asyncio.Queue[tuple[str, Sighting]] = asyncio.Queue(_QUEUE)

    async def follow(interface: str, watch: Watch) -> None:
        while True:
            try:
                with watch:
                    async for sighting in watch:
                        await heard.put((interface, sighting))
            except NetworkError as error:
                say(f"{interface}: not listening: {error.message}; waiting for it to be up")
            watch = await _back(interface, watch.guard)
            say(f"{interface}: listening again")

    watches = {name: Watch(name, addresses, allowed, intentions=True) for name in interfaces}
    say(f"watching {', '.join(map(str, addresses))} on {', '.join(interfaces)}")
    tasks = [asyncio.create_task(follow(*each)) for each in watches.items()]
    try:
        while True:
            taking = asyncio.create_task(heard.get())
            done, _ = await asyncio.wait({taking, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            if taking not in done:
                taking.cancel()
                for task in done:
                    task.result()
                return
            yield taking.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _back(interface: str, guard: Guard) -> Watch:
    """Return a new watch, with what is known already, as soon as the interface is up again."""
    while True:
        await asyncio.sleep(_RETRY)
        with contextlib.suppress(HostError, NetworkError):
            if find(interface).up:
                watch = Watch(interface, guard.addresses, guard.allowed)
                watch.guard = guard
                return watch
