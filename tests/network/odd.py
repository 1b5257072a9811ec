"""Frames in forms that nobody sends by accident."""

from __future__ import annotations


def behind_hop_by_hop(frame: bytes) -> bytes:
    """Return a packet of IPv6 with an extension header that says nothing (RFC 8200 section 4.3)."""
    length, header = int.from_bytes(frame[18:20]) + 8, bytes((frame[20], 0, 1, 4, 0, 0, 0, 0))
    return frame[:18] + length.to_bytes(2) + b"\0" + frame[21:54] + header + frame[54:]
