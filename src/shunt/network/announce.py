"""Announcing cluster addresses, so that neighbours and switches know whose they are.

At a take-over every neighbour's cache must be corrected and every switch must learn the port: a few
announcements, a second apart, since any of them can be lost (RFC 5227 section 2.3; RFC 4861
section 7.2.6 allows three). Afterwards now and then: a switch forgets a MAC that is never a sender
(300 s is usual), and would flood the clients' frames to every port.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from ipaddress import IPv4Address
from random import SystemRandom
from typing import TYPE_CHECKING

from shunt.errors import HostError, NetworkError
from shunt.network.frames import gratuitous_arp, unsolicited_advertisement
from shunt.network.packets import PacketSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from shunt.model.addresses import Address, Mac

_JITTER = 0.1  # part of the pause by which it varies, so that many dispatchers do not march in step
_RETRY = 1.0  # seconds after an interface would not send


@dataclass(frozen=True, slots=True)
class Schedule:
    """Announcements at a take-over, the seconds between them, and between later ones."""

    every: float
    repeats: int = 3
    gap: float = 1.0

    def pauses(self, random: Callable[[], float]) -> Iterator[float]:
        """Yield the seconds to wait before each announcement, without end.

        `random` returns numbers from 0 to 1.
        """
        yield 0.0
        yield from itertools.repeat(self.gap, self.repeats - 1)
        while True:
            yield self.every * (1 + _JITTER * (2 * random() - 1))


def announcements(mac: Mac, addresses: Iterable[Address]) -> tuple[bytes, ...]:
    """Return the frames that tell a segment that `mac` has these addresses."""
    frames: list[bytes] = []
    for address in addresses:
        if isinstance(address, IPv4Address):
            frames += gratuitous_arp(mac, address)
        else:
            frames.append(unsolicited_advertisement(mac, address))
    return tuple(frames)


class Announcer:
    """Announces addresses on interfaces, each under the interface's own MAC, while `run` runs.

    `failures` has the interfaces where the last round could not be sent, with the reason;
    `rounds` counts those that were sent.
    """

    def __init__(self, interfaces: Iterable[str], schedule: Schedule) -> None:
        self.rounds = 0
        self.failures: Mapping[str, str] = {}
        self._interfaces = tuple(interfaces)
        self._schedule = schedule
        self._addresses: tuple[Address, ...] = ()
        self._taken = asyncio.Event()

    def take(self, addresses: Iterable[Address]) -> None:
        """Announce these addresses from now on, at once and as at a take-over."""
        self._addresses = tuple(addresses)
        self._taken.set()

    def give_up(self) -> None:
        """Announce nothing any more: another dispatcher has the addresses, or nobody."""
        self._addresses = ()
        self.failures = {}

    async def run(self) -> None:
        """Announce until cancelled."""
        random = SystemRandom().random
        while True:
            await self._taken.wait()
            self._taken.clear()
            for pause in self._schedule.pauses(random):
                if await self._interrupted(_RETRY if self.failures and pause else pause):
                    break
                self._announce()

    async def _interrupted(self, pause: float) -> bool:
        """Wait, and return whether a take-over cut the waiting short."""
        try:
            async with asyncio.timeout(pause):
                await self._taken.wait()
        except TimeoutError:
            return self._taken.is_set()
        return True

    def _announce(self) -> None:
        if not self._addresses:
            return
        failures = {}
        for interface in self._interfaces:
            try:
                announce(interface, self._addresses)
            except (HostError, NetworkError) as error:
                failures[interface] = error.message
        self.failures = failures
        self.rounds += not failures


def announce(interface: str, addresses: Iterable[Address]) -> None:
    """Announce addresses once.

    Raises:
        HostError: there is no such interface, or no CAP_NET_RAW.
        NetworkError: the interface did not take the frames.
    """
    with PacketSocket(interface) as sender:
        for frame in announcements(sender.mac, addresses):
            sender.send(frame)
