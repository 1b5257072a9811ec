"""Whole frames of IP messages: echo, TCP SYN and RST, UDP, for both IP versions."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from shunt.network.frames import ethernet
from shunt.network.frames.icmp import Echo, echo_payload
from shunt.network.frames.ip import TCP, UDP, Ip, ip
from shunt.network.frames.transport import Datagram, Flag, Segment, tcp_payload, udp_payload

if TYPE_CHECKING:
    from shunt.model.addresses import Address, Mac


@dataclass(frozen=True, slots=True)
class Envelope:
    """From whom to whom. That MAC and address need not belong together is the point of it."""

    source_mac: Mac
    destination_mac: Mac
    source: Address
    destination: Address
    ttl: int = 64
    vlan: int | None = None

    def seal(self, protocol: int, payload: bytes) -> bytes:
        """Return the frame that carries `payload`."""
        packet = Ip(self.source, self.destination, protocol, self.ttl, payload)
        kind = ethernet.IPV4 if isinstance(self.source, IPv4Address) else ethernet.IPV6
        return ethernet.ethernet_frame(
            self.destination_mac, self.source_mac, kind, ip(packet), self.vlan
        )


def echo_request(envelope: Envelope, identifier: int, sequence: int, data: bytes = b"") -> bytes:
    """Return a ping."""
    echo = Echo(reply=False, identifier=identifier, sequence=sequence, data=data)
    return envelope.seal(*echo_payload(envelope.source, envelope.destination, echo))


def echo_reply(envelope: Envelope, identifier: int, sequence: int, data: bytes = b"") -> bytes:
    """Return the answer to a ping."""
    echo = Echo(reply=True, identifier=identifier, sequence=sequence, data=data)
    return envelope.seal(*echo_payload(envelope.source, envelope.destination, echo))


def tcp(envelope: Envelope, segment: Segment) -> bytes:
    """Return a frame with any TCP segment."""
    return envelope.seal(TCP, tcp_payload(envelope.source, envelope.destination, segment))


def tcp_syn(envelope: Envelope, ports: tuple[int, int], sequence: int, mss: int = 1460) -> bytes:
    """Return the first segment of a connection; `ports` are source and destination."""
    return tcp(envelope, Segment(*ports, sequence, 0, Flag.SYN, mss=mss))


def tcp_reset(envelope: Envelope, ports: tuple[int, int], sequence: int) -> bytes:
    """Return the segment that ends a connection at once; `ports` are source and destination."""
    return tcp(envelope, Segment(*ports, sequence, 0, Flag.RST, window=0))


def udp_datagram(envelope: Envelope, ports: tuple[int, int], data: bytes = b"") -> bytes:
    """Return a UDP datagram; `ports` are source and destination."""
    payload = udp_payload(envelope.source, envelope.destination, Datagram(*ports, data))
    return envelope.seal(UDP, payload)
