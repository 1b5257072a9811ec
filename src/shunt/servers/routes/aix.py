"""AIX: `netstat -rn` and `-nr`, with or without PMTU, in any language.

A banner names each protocol family by its number (2: IPv4, 24: IPv6). Rows are destination,
gateway, flags, references, use, interface, two or three of PMTU, expiry and groups (`-` if none),
and `=>` where the next row has the same key.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem
from shunt.servers.routes.flags import kind_of
from shunt.servers.routes.rows import Listing, Route
from shunt.servers.routes.text import (
    HINT,
    Line,
    address_or_none,
    bsd_destination,
    filled,
    numbered,
)

if TYPE_CHECKING:
    from shunt.model.addresses import Address

LAYOUT = "netstat -rn of AIX"

_BANNER = re.compile(r"\D*\b(\d+)\b\D*\(.*\)\s*:\s*")
_HEADING = re.compile(r"\s*[^\d\s]+(?:\s+[^\d\s]+){7,10}\s*")  # a row has digits: its counters
_FAMILIES = {2: 4, 24: 6}
_TAIL = re.compile(r"-|\d+|[a-z][\w:]*")
_LOOPBACKS: dict[int, tuple[str, Address]] = {
    4: ("127.0.0.1", IPv4Address("127.0.0.1")),
    6: ("::1", IPv6Address("::1")),
}


def claims(text: str) -> bool:
    """Tell whether a line is AIX's banner of a protocol family."""
    return any(_family(line) for line in numbered(text))


def parse(text: str) -> Listing:
    """Read the listing.

    Raises:
        ParseError: a line is not understood, or there is no row.
    """
    version = 0
    routes: list[Route] = []
    title = headed = False
    for line in filled(numbered(text)):
        found = _family(line)
        if found:
            version = found
            headed = False
        elif not headed and _HEADING.fullmatch(line.text):
            headed = True
        elif version:
            headed = True
            routes.append(_row(line, version))
        else:
            if title or re.search(r"\d", line.text):
                line.refuse("a line before AIX's banner of the protocol family")
            title = True
    if not routes:
        raise ParseError("the listing of AIX has no rows", hint=HINT)
    return Listing(OperatingSystem.AIX, LAYOUT, tuple(routes))


def _family(line: Line) -> int:
    match = _BANNER.fullmatch(line.text)
    return _FAMILIES.get(int(match[1]), 0) if match else 0


def _row(line: Line, version: int) -> Route:
    fields = line.fields
    if fields[-1] == "=>":
        fields.pop()
    if not 8 <= len(fields) <= 9:
        line.refuse(f"a row of AIX has 8 or 9 columns, not {len(fields)}")
    destination, gateway, flags, references, use, interface, *rest = fields
    if not (
        flags.isalnum()
        and references.isdigit()
        and use.isdigit()
        and re.fullmatch(r"[a-z]+\d+", interface)
        and all(_TAIL.fullmatch(column) for column in rest)
    ):
        line.refuse("a row's columns are not AIX's")
    name, loopback = _LOOPBACKS[version]
    host = "H" in flags
    address, prefix = bsd_destination(
        line, name if destination == "loopback" else destination, host=host, version=version
    )
    return Route(
        line=line.number,
        written=destination,
        address=address,
        prefix=prefix,
        gateway=loopback if gateway == "loopback" else _gateway(line, gateway),
        interface=interface,
        flags=flags,
        kind=kind_of(flags),
    )


def _gateway(line: Line, written: str) -> Address | None:
    address = address_or_none(written)
    if address is None and not re.fullmatch(
        r"link#\d+|[0-9a-f]{1,2}([:.][0-9a-f]{1,2}){5}", written
    ):
        line.refuse(f"{written!r} is no gateway", hint="list with numbers: netstat -rn")
    return address
