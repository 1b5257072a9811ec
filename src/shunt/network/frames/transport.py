"""TCP segments and UDP datagrams (RFC 9293 section 3.1, RFC 768)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

from shunt.network.frames.ethernet import BrokenError
from shunt.network.frames.ip import TCP, UDP, Ip, checksum, pseudo_header

if TYPE_CHECKING:
    from shunt.model.addresses import Address

_TCP = struct.Struct("!HHIIBBHHH")
_UDP = struct.Struct("!HHHH")
_END, _NOTHING, _MSS = 0, 1, 2


class Flag(IntFlag):
    """Control bits of a segment."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment; `mss` is the option's value in octets, where it is there."""

    source: int
    destination: int
    sequence: int
    acknowledgment: int
    flags: Flag
    window: int = 64240
    mss: int | None = None
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram."""

    source: int
    destination: int
    data: bytes = b""


def tcp_payload(source: Address, destination: Address, segment: Segment) -> bytes:
    """Return the segment as bytes, with its checksum."""
    options = b"" if segment.mss is None else struct.pack("!BBH", _MSS, 4, segment.mss)
    header = _TCP.pack(
        segment.source,
        segment.destination,
        segment.sequence,
        segment.acknowledgment,
        (_TCP.size + len(options)) // 4 << 4,
        segment.flags,
        segment.window,
        0,
        0,
    )
    data = header + options + segment.data
    total = checksum(pseudo_header(source, destination, TCP, len(data)) + data)
    return data[:16] + total.to_bytes(2) + data[18:]


def udp_payload(source: Address, destination: Address, datagram: Datagram) -> bytes:
    """Return the datagram as bytes, with its checksum."""
    length = _UDP.size + len(datagram.data)
    data = _UDP.pack(datagram.source, datagram.destination, length, 0) + datagram.data
    total = checksum(pseudo_header(source, destination, UDP, length) + data)
    return data[:6] + (total or 0xFFFF).to_bytes(2) + data[8:]


def parse_tcp(packet: Ip, *, checksum_ready: bool = True) -> Segment:
    """Return the segment in a packet. `checksum_ready` False: the sender left it to its NIC."""
    data = packet.payload
    if len(data) < _TCP.size:
        raise BrokenError("tcp", f"{len(data)} bytes are no header")
    source, destination, sequence, acknowledgment, offset, flags, window, _, _ = _TCP.unpack_from(
        data
    )
    header = (offset >> 4) * 4
    if not _TCP.size <= header <= len(data):
        raise BrokenError("tcp", f"a header of {header} bytes in a segment of {len(data)}")
    pseudo = pseudo_header(packet.source, packet.destination, TCP, len(data))
    if checksum_ready and checksum(pseudo + data):
        raise BrokenError("tcp", "the checksum is wrong")
    return Segment(
        source,
        destination,
        sequence,
        acknowledgment,
        Flag(flags & 0x1F),
        window,
        _mss(data[_TCP.size : header]),
        data[header:],
    )


def parse_udp(packet: Ip, *, checksum_ready: bool = True) -> Datagram:
    """Return the datagram in a packet; a checksum of zero means none (IPv4 only)."""
    data = packet.payload
    if len(data) < _UDP.size:
        raise BrokenError("udp", f"{len(data)} bytes are no header")
    source, destination, length, given = _UDP.unpack_from(data)
    if not _UDP.size <= length <= len(data):
        raise BrokenError("udp", f"length {length} in a packet of {len(data)}")
    data = data[:length]
    pseudo = pseudo_header(packet.source, packet.destination, UDP, length)
    absent = given == 0 and packet.source.version == 4
    if checksum_ready and not absent and (given == 0 or checksum(pseudo + data)):
        raise BrokenError("udp", "the checksum is wrong")
    return Datagram(source, destination, data[_UDP.size :])


def _mss(options: bytes) -> int | None:
    while options and options[0] != _END:
        if options[0] == _NOTHING:
            options = options[1:]
            continue
        if len(options) < 2 or not 2 <= options[1] <= len(options):
            return None
        if options[0] == _MSS and options[1] == 4:
            return int.from_bytes(options[2:4])
        options = options[options[1] :]
    return None


def with_checksum(packet: Ip) -> bytes:
    """Return the TCP segment of a packet with the checksum that its sender had left to a NIC."""
    data = packet.payload[:16] + b"\0\0" + packet.payload[18:]
    total = checksum(pseudo_header(packet.source, packet.destination, TCP, len(data)) + data)
    return data[:16] + total.to_bytes(2) + data[18:]
