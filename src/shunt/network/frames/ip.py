"""IPv4 and IPv6 headers (RFC 791, RFC 8200) and the checksum of the Internet (RFC 1071)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from shunt.network.frames.ethernet import BrokenError

if TYPE_CHECKING:
    from shunt.model.addresses import Address

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
# Fragments are none: neighbour discovery must not be in them (RFC 6980 section 5).
HEADERS_BEFORE_A_MESSAGE = (_HOP_BY_HOP, _ROUTING, _AUTHENTICATION, _OPTIONS)
_EXTENSIONS = (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS)
_V4 = struct.Struct("!BBHHHBBH4s4s")
_V6 = struct.Struct("!IHBB16s16s")
_DO_NOT_FRAGMENT = 0x4000
_FRAGMENTED = 0x3FFF  # more fragments, or an offset


@dataclass(frozen=True, slots=True)
class Ip:
    """A packet: `ttl` is the hop limit in IPv6; `payload` lies behind options and extensions.

    Of a fragment the payload is not a whole message.
    """

    source: Address
    destination: Address
    protocol: int
    ttl: int
    payload: bytes
    fragment: bool = False


def checksum(data: bytes) -> int:
    """Return the complement of the one's complement sum of 16-bit words (RFC 1071 section 1).

    One step for big numbers: 2**16 is 1 modulo 65535, so the remainder is the sum of the words.
    """
    number = int.from_bytes(data if len(data) % 2 == 0 else data + b"\0")
    total = number % 0xFFFF
    return 0 if number and not total else 0xFFFF - total


def pseudo_header(source: Address, destination: Address, protocol: int, length: int) -> bytes:
    """Return what transports add to their checksum (RFC 9293 section 3.1, RFC 8200 section 8.1)."""
    if isinstance(source, IPv4Address):
        return source.packed + destination.packed + struct.pack("!BBH", 0, protocol, length)
    return source.packed + destination.packed + struct.pack("!II", length, protocol)


def ip(packet: Ip) -> bytes:
    """Return the packet as bytes, unfragmented, without options or extensions."""
    if isinstance(packet.source, IPv4Address):
        return _ipv4(packet)
    return (
        _V6.pack(
            6 << 28,
            len(packet.payload),
            packet.protocol,
            packet.ttl,
            packet.source.packed,
            packet.destination.packed,
        )
        + packet.payload
    )


def _ipv4(packet: Ip) -> bytes:
    header = _V4.pack(
        0x45,
        0,
        _V4.size + len(packet.payload),
        0,
        _DO_NOT_FRAGMENT,
        packet.ttl,
        packet.protocol,
        0,
        packet.source.packed,
        packet.destination.packed,
    )
    return header[:10] + checksum(header).to_bytes(2) + header[12:] + packet.payload


def parse_ipv4(data: bytes) -> Ip:
    """Return the packet in an Ethernet payload; padding behind it is cut off."""
    if len(data) < _V4.size:
        raise BrokenError("ipv4", f"{len(data)} bytes are no header")
    first, _, length, _, offset, ttl, protocol, _, source, destination = _V4.unpack_from(data)
    header = (first & 15) * 4
    if first >> 4 != 4 or header < _V4.size:
        raise BrokenError("ipv4", f"version and header length are {first:#04x}")
    if not header <= length <= len(data):
        raise BrokenError("ipv4", f"length {length} does not fit {len(data)} bytes")
    if checksum(data[:header]):
        raise BrokenError("ipv4", "the header checksum is wrong")
    return Ip(
        IPv4Address(source),
        IPv4Address(destination),
        protocol,
        ttl,
        data[header:length],
        bool(offset & _FRAGMENTED),
    )


def parse_ipv6(data: bytes) -> Ip:
    """Return the packet in an Ethernet payload, extension headers walked through."""
    if len(data) < _V6.size:
        raise BrokenError("ipv6", f"{len(data)} bytes are no header")
    first, length, protocol, ttl, source, destination = _V6.unpack_from(data)
    if first >> 28 != 6:
        raise BrokenError("ipv6", f"version {first >> 28}")
    if _V6.size + length > len(data):
        raise BrokenError("ipv6", f"payload length {length} does not fit {len(data)} bytes")
    ends = IPv6Address(source), IPv6Address(destination)
    payload = data[_V6.size : _V6.size + length]
    protocol, payload, fragment = _behind_extensions(protocol, payload)
    return Ip(*ends, protocol, ttl, payload, fragment)


def _behind_extensions(protocol: int, payload: bytes) -> tuple[int, bytes, bool]:
    """Return protocol, payload and whether it is a fragment (RFC 8200 section 4)."""
    fragment = False
    while protocol in _EXTENSIONS:
        if len(payload) < 8:
            raise BrokenError("ipv6", "an extension header is cut off")
        size = (payload[1] + 1) * 8
        if protocol == _FRAGMENT:
            size = 8
            place = int.from_bytes(payload[2:4])
            fragment = bool(place & 0xFFF9)
            if place >> 3:  # what follows is the middle of a message
                return payload[0], payload[8:], True
        elif protocol == _AUTHENTICATION:
            size = (payload[1] + 2) * 4
        if size > len(payload):
            raise BrokenError("ipv6", "an extension header is longer than the packet")
        protocol, payload = payload[0], payload[size:]
    return protocol, payload, fragment
