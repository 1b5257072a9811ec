"""Pasted or piped text as numbered lines, and the refusal of what is not understood."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, NoReturn

from shunt.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.model.addresses import Address

_SHOWN = 200  # letters of a line that a message repeats
HINT = "paste the whole listing, its headings included, as the system printed it"


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its 1-based number; `fields` are its words."""

    number: int
    text: str

    @property
    def fields(self) -> list[str]:
        """Return the words between white space."""
        return self.text.split()

    def refuse(self, why: str, *, hint: str = HINT) -> NoReturn:
        """Raise ParseError naming this line."""
        raise ParseError(f"line {self.number}: {why}: {_short(self.text)!r}", hint=hint)


def _short(text: str) -> str:
    words = text.strip()
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]} ..."


def decode(data: bytes) -> str:
    """Return the text of a file or pipe: UTF-8, UTF-16 with a mark (PowerShell), or a code page.

    Every layout is told by its numbers, so a code page that cannot be known is read byte for
    character: words come out wrong, rows do not.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise ParseError(
                f"the text is marked as UTF-16 and is not: {error.reason}", hint=HINT
            ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def numbered(text: str) -> tuple[Line, ...]:
    """Split into lines at LF or CRLF only: code pages use other "line ends" as letters."""
    return tuple(
        Line(number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), start=1)
    )


def filled(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Leave out the lines of white space."""
    return tuple(line for line in lines if line.text.strip())


def address_or_none(text: str) -> Address | None:
    """Return the address, its zone (`%lo0`, `%1`) left out; None if `text` is no address."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def is_name(text: str) -> bool:
    """Tell whether `netstat -r` (without -n) wrote the name of a host or network here."""
    return text != "default" and bool(_NAME.fullmatch(text)) and address_or_none(text) is None


def inet(text: str) -> IPv4Address | None:
    """Return the IPv4 address that `text` is, or None."""
    address = address_or_none(text)
    return address if isinstance(address, IPv4Address) else None


def inet6(text: str) -> IPv6Address | None:
    """Return the IPv6 address that `text` is, its zone left out, or None."""
    address = address_or_none(text)
    return address if isinstance(address, IPv6Address) else None


def mask_length(mask: IPv4Address) -> int | None:
    """Return the number of leading ones of a mask; None if ones follow a zero."""
    inverse = int(mask) ^ 0xFFFFFFFF
    return None if inverse & (inverse + 1) else 32 - inverse.bit_length()


def prefix_of(line: Line, address: Address, prefix: int | str) -> int:
    """Check that `address` has no bits set beyond `prefix` (also as digits), and return it.

    Raises:
        ParseError: it has, or the prefix is out of range: this is no row of a route table.
    """
    bits = prefix if isinstance(prefix, int) else int(prefix) if len(prefix) < 4 else -1
    try:
        ip_network((address, bits))
    except ValueError:
        line.refuse(f"{address} is no network of {str(prefix)[:20]} bits")
    return bits


# Names that mean the same in every /etc/hosts and /etc/networks.
_WELL_KNOWN = {"localhost": "127.0.0.1", "loopback": "127"}
_SHORT = re.compile(r"\d{1,3}(\.\d{1,3}){0,3}")


def gateway_of(line: Line, written: str, version: int) -> tuple[Address | None, str]:
    """Read a gateway: its address, or the name that stands in its place.

    Raises:
        ParseError: it is neither, or of the other family.
    """
    address = address_or_none(written)
    if address is not None and address.version == version:
        return address, ""
    if address is not None or not is_name(written):
        line.refuse(f"{written!r} is not a gateway", hint="list with numbers: netstat -rn")
    known = address_or_none(_WELL_KNOWN.get(written, written)) if version == 4 else None
    return (known, "") if known else (None, written)


def is_named_host(written: str, *, host: bool) -> bool:
    """Tell whether a row is for a single host under its name, and so cannot be an extra route."""
    return host and is_name(written)


def bsd_destination(
    line: Line, written: str, *, host: bool, version: int
) -> tuple[Address, int | None]:
    """Read a destination as `netstat` of BSD descent writes it; return address and prefix.

    `10.1/23` is 10.1.0.0/23; `10`, `172.16` and `192.168.1` leave out both the zeroes and the mask,
    which is then the class's (`netname()` of 4.4BSD). Four octets without a mask are a host if the
    flags say so; else the mask is not shown and the prefix is None.

    Raises:
        ParseError: it is nothing of the kind.
    """
    zero: Address = IPv4Address(0) if version == 4 else IPv6Address(0)
    if written == "default":
        return zero, 0
    if version == 4:
        written = _WELL_KNOWN.get(written, written)
    start, slash, tail = written.partition("/")
    start = start.partition("%")[0]
    tail = tail.partition("%")[0]
    if slash and not (tail.isascii() and tail.isdigit()):
        line.refuse(f"{written!r} has no prefix length behind its slash")
    if version == 6:
        address6 = inet6(start)
        if address6 is None:
            line.refuse(f"{written!r} is no IPv6 destination")
        return address6, prefix_of(line, address6, tail if slash else 128)
    if not _SHORT.fullmatch(start):
        line.refuse(f"{written!r} is no IPv4 destination", hint="list with numbers: netstat -rn")
    octets = start.split(".")
    address = inet(".".join(octets + ["0"] * (4 - len(octets))))
    if address is None:
        line.refuse(f"{written!r} is no IPv4 destination")
    if slash:
        return address, prefix_of(line, address, tail)
    if len(octets) == 4:
        return address, 32 if host else None
    if 8 * len(octets) != _class_bits(address):
        line.refuse(f"{written!r} has neither a mask nor the octets of its class")
    return address, 8 * len(octets)


def _class_bits(address: IPv4Address) -> int:
    first = address.packed[0]
    return 8 if first < 128 else 16 if first < 192 else 24
