"""A segment without a kernel: servers as small functions, time as a number.

What is sent is delivered at once to everybody whom a switch would bring it to, and what they
answer is heard a little later. One examination takes milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from shunt.network.frames import (
    Arp,
    Echo,
    Envelope,
    Flag,
    Frame,
    Ip,
    Segment,
    Solicitation,
    arp_reply,
    arp_request,
    echo_reply,
    neighbour_advertisement,
    neighbour_solicitation,
    parse,
    tcp_reset,
    unsolicited_advertisement,
)
from shunt.network.frames.messages import tcp
from shunt.network.frames.neighbour import UNSPECIFIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shunt.model.addresses import Address, Mac
    from shunt.verify.procedure import Procedure

_NOBODY = IPv4Address(0)


@dataclass
class Machine:
    """Answers ARP and ND for `speaks_for`, packets for `holds`, connections on `ports`."""

    mac: Mac
    speaks_for: set[Address]
    holds: set[Address]
    ports: set[int] = field(default_factory=set)
    announces: bool = False  # asks in the name of the address that it answers from
    knows: set[Address] = field(default_factory=set)
    late: float = 0.0005  # seconds until it answers ARP and ND for `publishes`
    publishes: set[Address] = field(default_factory=set)
    hands_to: list[Machine] = field(default_factory=list)  # a dispatcher's servers
    second: Mac | None = None  # of another card, on which it takes frames and is silent itself
    pings: bool = True  # it answers them
    dead: bool = False

    def own(self, version: int) -> Address:
        return next(a for a in self.speaks_for if a.version == version)

    def hear(self, frame: Frame) -> Iterator[bytes]:
        to = frame.link.destination
        if self.dead or (to not in (self.mac, self.second) and not to.octets[0] & 1):
            return
        network, message = frame.network, frame.message
        if isinstance(network, Arp):
            if network.operation == 1 and network.target in self.speaks_for | self.publishes:
                yield arp_reply(self.mac, network.target, network.sender_mac, network.sender)
        elif isinstance(message, Solicitation) and message.target in self.speaks_for:
            assert isinstance(network, Ip)
            source = network.source
            assert isinstance(source, IPv6Address)
            if source == UNSPECIFIED:
                yield unsolicited_advertisement(self.mac, message.target)
            else:
                yield neighbour_advertisement(self.mac, message.target, frame.link.source, source)
        elif isinstance(network, Ip) and network.destination in self.holds:
            if self.hands_to and isinstance(message, Segment):
                server = self.hands_to[message.source % len(self.hands_to)]
                yield from server.hear(
                    replace(frame, link=replace(frame.link, destination=server.mac))
                )
            else:
                yield from self._answer(frame, network)

    def _answer(self, frame: Frame, packet: Ip) -> Iterator[bytes]:
        envelope = Envelope(self.mac, frame.link.source, packet.destination, packet.source)
        message = frame.message
        if isinstance(message, Echo) and self.pings and not message.reply:
            yield from self._ask(packet)
            yield echo_reply(envelope, message.identifier, message.sequence, message.data)
        elif isinstance(message, Segment) and message.flags == Flag.SYN:
            yield from self._ask(packet)
            back = message.destination, message.source
            if message.destination in self.ports:
                both = Flag.SYN | Flag.ACK
                yield tcp(envelope, Segment(*back, 1, message.sequence + 1, both, mss=1460))
            else:
                yield tcp_reset(envelope, back, 0)

    def _ask(self, packet: Ip) -> Iterator[bytes]:
        client = packet.source
        if client in self.knows:
            return
        self.knows.add(client)
        name = packet.destination if self.announces else self.own(client.version)
        if isinstance(client, IPv4Address):
            assert isinstance(name, IPv4Address)
            yield arp_request(self.mac, client, name)
        else:
            assert isinstance(name, IPv6Address)
            yield neighbour_solicitation(self.mac, client, name)


@dataclass
class Ran:
    """What an examination cost: seconds by the clock of the simulation, frames sent."""

    seconds: float = 0.0
    frames: int = 0


def run(
    procedure: Procedure,
    machines: list[Machine],
    *,
    rate: float = 200,
    noise: Callable[[], bytes | None] = lambda: None,
    lost: Callable[[Frame], bool] = lambda _: False,
) -> Ran:
    """Run a procedure against the machines.

    `noise` is heard before every answer; frames that are `lost` reach nobody.
    """
    cost, clock = Ran(), 1000.0

    def send(frame: bytes) -> None:
        nonlocal clock
        clock += 1 / rate
        cost.frames += 1
        procedure.reading.transcript.sent(clock, frame)
        parsed = parse(frame)
        assert isinstance(parsed, Frame)
        if lost(parsed):
            return
        for machine in machines:
            for answer in list(machine.hear(parsed)):
                hear(answer, machine.late)

    def hear(frame: bytes, late: float) -> None:
        hostile = noise()
        if hostile is not None:
            procedure.hear(clock, hostile)
        for reply in procedure.hear(clock + late, frame):
            send(reply)

    for phase in procedure.phases():
        begin = clock
        for outgoing in sorted(phase.outgoing, key=lambda each: each.at):
            clock = max(clock, begin + outgoing.at)
            send(outgoing.frame)
        if not phase.settled():
            clock = max(clock + phase.patience, begin + phase.least)
    cost.seconds = clock - 1000.0
    return cost
