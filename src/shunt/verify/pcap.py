"""Captures that every packet analyser reads: the classic pcap format with nanoseconds.

Format: draft-ietf-opsawg-pcap, "PCAP Capture File Format", sections 4 and 5.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.verify.transcript import Event

_MAGIC_NANOSECONDS, _ETHERNET, _WHOLE = 0xA1B23C4D, 1, 262144


def capture(events: Iterable[Event]) -> bytes:
    """Return the file's content: every frame, sent and heard, in the order of time."""
    parts = [struct.pack("=IHHiIII", _MAGIC_NANOSECONDS, 2, 4, 0, 0, _WHOLE, _ETHERNET)]
    for event in sorted(events, key=lambda event: event.at):
        nanoseconds = round(event.at * 1e9)
        size = len(event.frame)
        parts += struct.pack("=IIII", *divmod(nanoseconds, 10**9), size, size), event.frame
    return b"".join(parts)
