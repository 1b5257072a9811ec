"""Hostile and broken machines, each on its own cluster or server address, from one raw socket."""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from shunt.errors import NetworkError
from shunt.model.addresses import BROADCAST, Mac
from shunt.network.frames import (
    Arp,
    Frame,
    Ip,
    Solicitation,
    arp_reply,
    arp_request,
    gratuitous_arp,
    neighbour_advertisement,
    unsolicited_advertisement,
)
from shunt.network.frames.neighbour import UNSPECIFIED
from shunt.network.packets import PacketSocket

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from shunt.lab.host import Host
    from shunt.model.addresses import Address


@dataclass(frozen=True)
class Question:
    """Who has an address? `named`: it has a sender; `single`: it was sent to one machine."""

    target: Address
    asker_mac: Mac
    asker: Address
    named: bool
    single: bool


@dataclass
class Stranger:
    """Answers questions for `address`, as machine `mac`, if it `minds` them.

    Attributes:
        minds: Which questions it answers; the number is how many it has heard.
        late: Seconds until it answers.
        names: The MAC that it says the address is at, if not its own.
        aloud: Whether it answers everybody.
        storm: Announcements a second that it makes unasked.
        speaks: Whether it asks for somebody else now and then, as any machine does.
    """

    mac: Mac
    address: Address
    minds: Callable[[Question, int], bool] = lambda _question, _number: True
    late: float = 0.0
    names: Mac | None = None
    aloud: bool = False
    storm: float = 0.0
    speaks: bool = False
    heard: Counter[str] = field(default_factory=Counter)

    def answer(self, question: Question) -> tuple[bytes, ...]:
        self.heard["questions"] += 1
        if not self.minds(question, self.heard["questions"]):
            return ()
        named = self.names or self.mac
        if isinstance(self.address, IPv4Address):
            asker = question.asker
            assert isinstance(asker, IPv4Address)
            frame = arp_reply(named, self.address, question.asker_mac, asker)
        else:
            assert isinstance(question.asker, IPv6Address)
            if question.named:
                frame = neighbour_advertisement(
                    named, self.address, question.asker_mac, question.asker
                )
            else:
                frame = unsolicited_advertisement(named, self.address)
        to = BROADCAST.octets if self.aloud else frame[:6]
        return (to + self.mac.octets + frame[12:],)

    def unasked(self) -> tuple[bytes, ...]:
        if isinstance(self.address, IPv6Address):
            return (unsolicited_advertisement(self.mac, self.address),)
        if self.speaks:
            return (arp_request(self.mac, IPv4Address("198.18.0.1"), IPv4Address("198.18.0.250")),)
        return gratuitous_arp(self.mac, self.address)[:1]


def question_of(frame: Frame) -> Question | None:
    single = not frame.link.destination.octets[0] & 1
    if isinstance(frame.network, Arp) and frame.network.operation == 1:
        arp = frame.network
        named = arp.claims is not None
        return Question(arp.target, arp.sender_mac, arp.sender, named, single)
    if isinstance(frame.message, Solicitation) and isinstance(frame.network, Ip):
        source = frame.network.source
        named = source != UNSPECIFIED
        return Question(frame.message.target, frame.link.source, source, named, single)
    return None


class Crowd:
    """All strangers, on one interface of a host, until the block ends."""

    def __init__(self, host: Host, strangers: list[Stranger]) -> None:
        self._socket = host.call(lambda: PacketSocket("eth0", promiscuous=True))
        self._strangers = strangers
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        due: list[tuple[float, int, bytes]] = []
        number, last = 0, {id(each): 0.0 for each in self._strangers}
        while not self._ended.wait(0.001):
            now = time.monotonic()
            while (heard := self._socket.receive_now()) is not None:
                parsed = heard.parsed()
                question = question_of(parsed) if isinstance(parsed, Frame) else None
                if question is None:
                    continue
                assert isinstance(parsed, Frame)
                for each in self._strangers:
                    if question.target != each.address:
                        continue
                    if question.single and parsed.link.destination != each.mac:
                        continue
                    for frame in each.answer(question):
                        number += 1
                        heapq.heappush(due, (now + each.late, number, frame))
            for each in self._strangers:
                pause = 1 / each.storm if each.storm else 0.2
                if (each.storm or each.speaks) and now - last[id(each)] > pause:
                    last[id(each)] = now
                    for frame in each.unasked():
                        self._send(frame)
            while due and due[0][0] <= now:
                self._send(heapq.heappop(due)[2])

    def _send(self, frame: bytes) -> None:
        with contextlib.suppress(NetworkError):  # a full queue: it is sent again
            self._socket.send(frame)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()
