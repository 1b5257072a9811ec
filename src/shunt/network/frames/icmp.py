"""ICMP and ICMPv6: echo, and errors with the packet inside (RFC 792, RFC 4443)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from shunt.network.frames.ethernet import BrokenError
from shunt.network.frames.ip import ICMP, ICMPV6, TCP, UDP, Ip, checksum, pseudo_header

if TYPE_CHECKING:
    from shunt.model.addresses import Address

_HEADER = struct.Struct("!BBH")
_ECHO = {ICMP: (8, 0), ICMPV6: (128, 129)}  # request, reply
_ERRORS4 = {
    3: "destination unreachable",
    5: "redirect",
    11: "time exceeded",
    12: "parameter problem",
}
_ERRORS6 = {
    1: "destination unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    137: "redirect",
}


@dataclass(frozen=True, slots=True)
class Echo:
    """A ping or its answer."""

    reply: bool
    identifier: int
    sequence: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An error or redirect. `name` is the RFC's; `about` is the start of the packet it is about."""

    name: str
    code: int
    about: bytes


def echo_payload(source: Address, destination: Address, echo: Echo) -> tuple[int, bytes]:
    """Return the IP protocol and the payload of a ping or its answer."""
    protocol = ICMP if isinstance(source, IPv4Address) else ICMPV6
    kind = _ECHO[protocol][echo.reply]
    body = struct.pack("!HH", echo.identifier, echo.sequence) + echo.data
    return protocol, icmp_payload(source, destination, (kind, 0), body)


def icmp_payload(
    source: Address, destination: Address, kind_code: tuple[int, int], body: bytes
) -> bytes:
    """Return an ICMP or ICMPv6 message with its checksum."""
    message = _HEADER.pack(*kind_code, 0) + body
    pseudo = b""
    if not isinstance(source, IPv4Address):
        pseudo = pseudo_header(source, destination, ICMPV6, len(message))
    return _HEADER.pack(*kind_code, checksum(pseudo + message)) + body


def checked_message(packet: Ip) -> tuple[int, int, bytes]:
    """Return type, code and body of a whole ICMP or ICMPv6 message whose checksum is right."""
    data = packet.payload
    if len(data) < 8:
        raise BrokenError("icmp", f"{len(data)} bytes are no message")
    pseudo = b""
    if packet.protocol == ICMPV6:
        pseudo = pseudo_header(packet.source, packet.destination, ICMPV6, len(data))
    if checksum(pseudo + data):
        raise BrokenError("icmp", "the checksum is wrong")
    return data[0], data[1], data[4:]


def parse_icmp(packet: Ip) -> Echo | IcmpError | None:
    """Return the echo or error in a packet, None for a message of another type."""
    message = checked_message(packet)
    kind, code, body = message
    if kind in _ECHO[packet.protocol]:
        identifier, sequence = struct.unpack_from("!HH", body)
        return Echo(kind == _ECHO[packet.protocol][1], identifier, sequence, body[4:])
    names = _ERRORS4 if packet.protocol == ICMP else _ERRORS6
    if kind in names:
        return IcmpError(names[kind], code, body[4:])
    return None


def quoted(error: IcmpError) -> int | None:
    """Return the number by which a sender knows its packet again, of the packet in an error.

    That is the source port of TCP and UDP and the identifier of an echo request, as far as the
    quotation reaches (RFC 792: 8 octets behind the header).
    """
    about = error.about
    if len(about) < 28:
        return None
    if about[0] >> 4 == 4:
        protocol, payload = about[9], about[(about[0] & 15) * 4 :]
    elif about[0] >> 4 == 6:
        protocol, payload = about[6], about[40:]
    else:
        return None
    if len(payload) < 8:
        return None
    if protocol in (TCP, UDP):
        return int.from_bytes(payload[:2])
    return int.from_bytes(payload[4:6]) if protocol in (ICMP, ICMPV6) else None
