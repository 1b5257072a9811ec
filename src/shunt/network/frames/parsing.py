"""From bytes to typed data, strictly: what is malformed is said to be, and nothing raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.network.frames import arp, ethernet, icmp, ip, listener, neighbour, transport
from shunt.network.frames.ethernet import BrokenError, Ethernet
from shunt.network.frames.icmp import Echo, IcmpError
from shunt.network.frames.listener import ListenerQuery
from shunt.network.frames.neighbour import Advertisement, Solicitation
from shunt.network.frames.transport import Datagram, Segment

if TYPE_CHECKING:
    from shunt.network.frames.arp import Arp
    from shunt.network.frames.ip import Ip

Message = Echo | IcmpError | Solicitation | Advertisement | ListenerQuery | Segment | Datagram


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a frame is not what its headers claim: the header that is wrong, and how."""

    layer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame carries. None: a protocol that is not looked into, or a fragment."""

    link: Ethernet
    network: Arp | Ip | None = None
    message: Message | None = None


def parse(frame: bytes, *, checksum_ready: bool = True) -> Frame | Malformed:
    """Return what `frame` (without check sequence) says, or which header is wrong and why.

    Never raises, whatever the bytes. `checksum_ready` False, as the kernel tells of frames that
    never left this machine: the sums of TCP and UDP are not looked at.
    """
    try:
        return _parse(frame, checksum_ready=checksum_ready)
    except BrokenError as error:
        return Malformed(error.layer, error.reason)


def _parse(frame: bytes, *, checksum_ready: bool) -> Frame:
    link, payload = ethernet.parse_ethernet(frame)
    if link.kind == ethernet.ARP:
        return Frame(link, arp.parse_arp(payload))
    if link.kind not in (ethernet.IPV4, ethernet.IPV6):
        return Frame(link)
    packet = (ip.parse_ipv4 if link.kind == ethernet.IPV4 else ip.parse_ipv6)(payload)
    if packet.fragment:
        return Frame(link, packet)
    return Frame(link, packet, _message(packet, checksum_ready=checksum_ready))


def _message(packet: Ip, *, checksum_ready: bool) -> Message | None:
    six = packet.source.version == 6
    if packet.protocol == ip.TCP:
        return transport.parse_tcp(packet, checksum_ready=checksum_ready)
    if packet.protocol == ip.UDP:
        return transport.parse_udp(packet, checksum_ready=checksum_ready)
    if packet.protocol == ip.ICMPV6 and six:
        found = neighbour.parse_neighbour(packet) or listener.parse_query(packet)
        return found or icmp.parse_icmp(packet)
    if packet.protocol == ip.ICMP and not six:
        return icmp.parse_icmp(packet)
    return None
