"""Ethernet II with 802.1Q tags (IEEE 802.3 clause 3.2.6, 802.1Q clause 9)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from shunt.model.addresses import Mac

HEADER_LENGTH = 14
SHORTEST = 60  # bytes without the check sequence; shorter payloads are padded
IPV4, ARP, VLAN, SERVICE_VLAN, IPV6 = 0x0800, 0x0806, 0x8100, 0x88A8, 0x86DD
TAGS_AT_MOST = 2


class BrokenError(Exception):
    """A header is not what it claims to be. Stays here: `parse` makes data of it."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(layer, reason)
        self.layer = layer
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Ethernet:
    """A link-layer header: `kind` is the EtherType behind `vlans`, outermost tag first."""

    destination: Mac
    source: Mac
    kind: int
    vlans: tuple[int, ...] = ()


def ethernet_frame(
    destination: Mac, source: Mac, kind: int, payload: bytes, vlan: int | None = None
) -> bytes:
    """Return a frame without check sequence, padded to the shortest length that wires carry."""
    tag = b"" if vlan is None else struct.pack("!HH", VLAN, vlan)
    frame = destination.octets + source.octets + tag + struct.pack("!H", kind) + payload
    return frame.ljust(SHORTEST + len(tag), b"\0")


def parse_ethernet(frame: bytes) -> tuple[Ethernet, bytes]:
    """Return the header and what follows it."""
    if len(frame) < HEADER_LENGTH:
        raise BrokenError("ethernet", f"{len(frame)} bytes are no frame")
    source = Mac(frame[6:12])
    if source.octets[0] & 1:
        raise BrokenError("ethernet", f"the source {source} is a group address")
    kind, offset = int.from_bytes(frame[12:14]), HEADER_LENGTH
    vlans: list[int] = []
    while kind in (VLAN, SERVICE_VLAN):
        if len(vlans) == TAGS_AT_MOST or len(frame) < offset + 4:
            raise BrokenError("ethernet", "the stack of tags does not end")
        vlans.append(int.from_bytes(frame[offset : offset + 2]) & 0x0FFF)
        kind = int.from_bytes(frame[offset + 2 : offset + 4])
        offset += 4
    return Ethernet(Mac(frame[:6]), source, kind, tuple(vlans)), frame[offset:]
