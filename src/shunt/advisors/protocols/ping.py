"""ping: an ICMP echo, also at a cluster address (RFC 792, RFC 4443 section 4.1)."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Advisor, Target, Transport
from shunt.advisors.dialogue import HEAR, up
from shunt.advisors.settings import number, setting

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

_ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_REQUEST = {4: 8, 6: 128}
_REPLY = {4: 0, 6: 129}
_TOKEN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Advisor):
    """Sends one echo request; the reply must carry its bytes."""

    name = "ping"
    size: int = field(
        default=16, metadata=setting(number(8, 1400), "Bytes of data in the echo request.")
    )

    @property
    def transport(self) -> Transport:
        """Return ICMP."""
        return Transport.ICMP

    def talk(self, target: Target, /) -> Dialogue:
        """Send a request with random bytes; hear until they come back."""
        version = target.address.version
        token = os.urandom(_TOKEN)
        payload = token + bytes(self.size - _TOKEN)
        yield request(version, int.from_bytes(token[:2], "big"), payload)
        while True:
            message = yield HEAR
            if is_reply(version, message, payload):
                return up("answers pings")


def request(version: int, identifier: int, payload: bytes) -> bytes:
    """Return an echo request; for IPv6 the kernel fills in the checksum."""
    kind = _REQUEST[version]
    empty = _ECHO.pack(kind, 0, 0, identifier, 1) + payload
    total = checksum(empty) if version == 4 else 0
    return _ECHO.pack(kind, 0, total, identifier, 1) + payload


def is_reply(version: int, message: bytes, payload: bytes) -> bool:
    """Return whether a message, without IP's header, answers the request with this payload."""
    return message[:2] == bytes((_REPLY[version], 0)) and message[_ECHO.size :] == payload


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
