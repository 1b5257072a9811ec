"""One line for a frame, as a person would say it."""

from __future__ import annotations

from shunt.network.frames import (
    Advertisement,
    Arp,
    Datagram,
    Echo,
    Flag,
    Frame,
    IcmpError,
    Ip,
    ListenerQuery,
    Malformed,
    Segment,
    Solicitation,
)

_REQUEST = 1
_NAMED = (Flag.SYN, Flag.ACK, Flag.FIN, Flag.RST, Flag.PSH)


def line(parsed: Frame | Malformed) -> str:
    """Return what the frame says, and between which MACs."""
    if isinstance(parsed, Malformed):
        return f"malformed: {parsed.layer}: {parsed.reason}"
    macs = f"{parsed.link.source} > {parsed.link.destination}"
    if isinstance(parsed.network, Arp):
        return f"{macs}  {_arp(parsed.network)}"
    if isinstance(parsed.network, Ip):
        return f"{macs}  {_packet(parsed, parsed.network)}"
    return f"{macs}  protocol {parsed.link.kind:#06x}"


def _arp(arp: Arp) -> str:
    if arp.operation != _REQUEST:
        return f"{arp.sender} is at {arp.sender_mac}"
    if arp.claims is None:
        return f"who has {arp.target}?"
    return f"who has {arp.target}? tell {arp.sender}"


def _packet(frame: Frame, packet: Ip) -> str:
    message, ends = frame.message, f"{packet.source} > {packet.destination}"
    match message:
        case Solicitation():
            said = f"who has {message.target}?" + (f" tell {packet.source}" if message.mac else "")
        case Advertisement():
            said = f"{message.target} is at {message.mac or frame.link.source}"
        case ListenerQuery():
            said = "who hears which groups?"
        case Echo():
            said = f"{ends}: {'pong' if message.reply else 'ping'}, TTL {packet.ttl}"
        case Segment():
            said = f"{ends}: {_segment(message)}"
        case Datagram():
            said = f"{ends}: UDP, port {message.source} > {message.destination}"
        case IcmpError():
            said = f"{ends}: ICMP {message.name}, code {message.code}"
        case None:
            said = f"{ends}: IP protocol {packet.protocol}"
    return said


def _segment(segment: Segment) -> str:
    flags = "-".join(each.name or "" for each in _NAMED if segment.flags & each) or "data"
    data = f", {len(segment.data)} bytes" if segment.data else ""
    return f"TCP, port {segment.source} > {segment.destination}: {flags}{data}"
