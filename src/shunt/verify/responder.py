"""What the pretended machine answers at once: who it is, and that it wants no connection."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from shunt.network.frames import (
    Arp,
    Envelope,
    Flag,
    Ip,
    Segment,
    Solicitation,
    arp_reply,
    neighbour_advertisement,
    tcp_reset,
)

if TYPE_CHECKING:
    from shunt.network.frames import Frame
    from shunt.verify.subject import Identity

_REQUEST = 1


def answer(identity: Identity, frame: Frame) -> bytes | None:
    """Return the frame that a heard one asks of the pretended machine, None if it asks nothing."""
    network, message = frame.network, frame.message
    if isinstance(network, Arp):
        return _answer_arp(identity, network)
    if isinstance(message, Solicitation) and isinstance(network, Ip):
        return _answer_solicitation(identity, frame, network.source, message)
    if isinstance(message, Segment) and isinstance(network, Ip):
        return _refuse(identity, frame, network, message)
    return None


def _answer_arp(identity: Identity, arp: Arp) -> bytes | None:
    ours = arp.operation == _REQUEST and arp.target in identity.addresses
    if not ours or arp.sender == arp.target:
        return None
    return arp_reply(identity.mac, arp.target, arp.sender_mac, arp.sender)


def _answer_solicitation(
    identity: Identity, frame: Frame, source: IPv4Address | IPv6Address, asked: Solicitation
) -> bytes | None:
    if asked.target not in identity.addresses or not isinstance(source, IPv6Address):
        return None
    if asked.mac is None:
        return None
    return neighbour_advertisement(identity.mac, asked.target, frame.link.source, source)


def _refuse(identity: Identity, frame: Frame, packet: Ip, segment: Segment) -> bytes | None:
    """Take back a half-open connection, so that nothing is left at the server."""
    if packet.destination not in identity.addresses or segment.flags & Flag.RST:
        return None
    envelope = Envelope(identity.mac, frame.link.source, packet.destination, packet.source)
    ports = segment.destination, segment.source
    return tcp_reset(envelope, ports, segment.acknowledgment)
