"""AIX: `netstat -rn` and `-nr`, with or without PMTU, in any language.

A banner names each protocol family by its number (2: IPv4, 24: IPv6). Rows are destination,
gateway, flags, references, use, interface, two or three of PMTU, expiry and groups (`-` if none),
and `=>` where the next row has the same key. AIX 7 leaves the gateway of some IPv6 rows empty.
"""

from __future__ import annotations

import re
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.routes.collect import Collected
from shunt.servers.routes.flags import kind_of
from shunt.servers.routes.rows import Listing, Route
from shunt.servers.routes.text import (
    Line,
    bsd_destination,
    filled,
    gateway_of,
    is_named_host,
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
    rows = Collected()
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
            rows.add(line, version, partial(_rows, line, version))
        else:
            if title or re.search(r"\d", line.text):
                line.refuse("a line before AIX's banner of the protocol family")
            title = True
    return rows.listing(OperatingSystem.AIX, LAYOUT)


def _family(line: Line) -> int:
    match = _BANNER.fullmatch(line.text)
    return _FAMILIES.get(int(match[1]), 0) if match else 0


def _rows(line: Line, version: int) -> tuple[Route, ...]:
    fields = line.fields
    if fields[-1] == "=>":
        fields.pop()
    if len(fields) > 3 and fields[1].isalpha() and "".join(fields[2:4]).isdigit():
        fields.insert(1, "")  # flags, references and use stand right behind the destination
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
    if destination != "loopback" and is_named_host(destination, host=host):
        return ()
    via, gateway_name = (
        (loopback, "") if gateway == "loopback" else _gateway(line, gateway, version)
    )
    address, prefix = bsd_destination(
        line, name if destination == "loopback" else destination, host=host, version=version
    )
    route = Route(
        line=line.number,
        written=destination,
        address=address,
        prefix=prefix,
        gateway=via,
        gateway_name=gateway_name,
        interface=interface,
        flags=flags,
        kind=kind_of(flags),
        neighbour="W" in flags or ("L" in flags and "l" not in flags),
    )
    return (route,)


def _gateway(line: Line, written: str, version: int) -> tuple[Address | None, str]:
    if not written or re.fullmatch(r"link#\d+|[0-9a-f]{1,2}([:.][0-9a-f]{1,2}){5}", written):
        return None, ""
    return gateway_of(line, written, version)
