"""IP and link-layer addresses in the forms that frames and maps use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

_MAPPED = b"\0" * 10 + b"\xff\xff"
_MAC = re.compile(r"[0-9A-Fa-f]{1,2}([:-][0-9A-Fa-f]{1,2}){5}")


def packed16(address: Address) -> bytes:
    """Return 16 bytes: IPv6 as it is, IPv4 mapped (RFC 4291 section 2.5.5.2)."""
    return _MAPPED + address.packed if isinstance(address, IPv4Address) else address.packed


def unpacked16(data: bytes) -> Address:
    """Return the address that `packed16` made these 16 bytes of."""
    return IPv4Address(data[12:]) if data[:12] == _MAPPED else IPv6Address(data)


@dataclass(frozen=True, slots=True, order=True)
class Mac:
    """A 48-bit link-layer address; `octets` has 6 bytes."""

    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != 6:
            raise ValueError(f"a MAC has 6 octets, not {len(self.octets)}")

    @classmethod
    def parse(cls, text: str) -> Mac:
        """Return the MAC written as six hexadecimal octets with `:` or `-` between.

        Raises:
            ValueError: `text` is nothing of the kind.
        """
        if not _MAC.fullmatch(text):
            raise ValueError(f"{text!r} is no MAC address; write it like 52:54:00:12:34:56")
        return cls(bytes(int(octet, 16) for octet in re.split("[:-]", text)))

    def __str__(self) -> str:
        return self.octets.hex(":")


BROADCAST = Mac(b"\xff" * 6)
ZERO = Mac(b"\0" * 6)
