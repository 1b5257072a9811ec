"""Linux: `netstat -rn` and `route -n` of net-tools, both families, in any language.

    IPv4  destination gateway mask flags (metric ref use | mss window irtt) interface
    IPv6  destination/prefix next-hop [flags] metric ref use interface

These listings show the main table only: see `sight.py`.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem
from shunt.servers.routes.collect import Collected
from shunt.servers.routes.flags import kind_of
from shunt.servers.routes.rows import Kind, Listing, Route
from shunt.servers.routes.text import (
    HINT,
    Line,
    filled,
    inet,
    inet6,
    mask_length,
    numbered,
    prefix_of,
)

if TYPE_CHECKING:
    from shunt.model.addresses import Address

LAYOUT = "netstat -rn of Linux"

_IP = r"\d{1,3}(?:\.\d{1,3}){3}"
_ROW4 = re.compile(
    rf"\s*({_IP}|default)\s+({_IP}|\*|-)\s+({_IP})\s+([A-Z!][A-Za-z!]*)"
    r"\s+(?:\d+|-)\s+(?:\d+|-)\s+(?:\d+|-)\s+(\S+)\s*"
)
_NAME6 = r"\[?[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]?"
_ROW6 = re.compile(
    rf"\s*({_NAME6}/\d{{1,3}})\s+({_NAME6})(?:\s+([A-Za-z!][A-Za-z!]*))?"
    r"\s+-?\d+\s+\d+\s+\d+\s+(\S+)\s*"
)
_HEADING = re.compile(r"\s*[^\d\s]+(?:\s+[^\d\s]+){6,9}\s*")
_ADDRESS = re.compile(rf"(?<!\S){_IP}(?!\S)|{_NAME6}/\d")


def claims(text: str) -> bool:
    """Tell whether some row has net-tools' columns."""
    return any(_ROW4.fullmatch(line.text) or _ROW6.fullmatch(line.text) for line in numbered(text))


def parse(text: str) -> Listing:
    """Read the listing. A title and a heading, in whatever language, stand before the rows.

    Raises:
        ParseError: a line is not understood, or there is no row.
    """
    rows = Collected()
    version = 0  # of the rows since the heading
    headed = False  # the line before names the columns, or is a row
    titles = 0
    for line in filled(numbered(text)):
        match4, match6 = _ROW4.fullmatch(line.text), _ROW6.fullmatch(line.text)
        if match4 or match6:
            if not headed:
                line.refuse("a row without the heading that names its columns")
            version = 4 if match4 else 6
            read = partial(_row4, line, match4) if match4 else partial(_row6, line, match6)
            rows.add(line, version, read)
            titles = 0
            continue
        titles += 1
        headed = titles > bool(rows.routes) and bool(_HEADING.fullmatch(line.text))
        if _ADDRESS.search(line.text) or titles > 2:
            line.refuse("neither a row nor a heading of net-tools")
    if not version or titles:
        raise ParseError("the listing of Linux has no rows behind its heading", hint=HINT)
    return rows.listing(OperatingSystem.LINUX, LAYOUT)


def _row4(line: Line, match: re.Match[str]) -> tuple[Route]:
    written, via, mask_text, flags, interface = match.groups()
    address = inet("0.0.0.0" if written == "default" else written)  # noqa: S104 - no socket: a network
    gateway: Address | None = None if via in "*-" else inet(via)
    mask = inet(mask_text)
    bits = mask_length(mask) if mask else None
    if address is None or bits is None or (gateway is None and via not in "*-"):
        line.refuse("an address or a mask is out of range")
    route = Route(
        line=line.number,
        written=written,
        address=address,
        prefix=prefix_of(line, address, bits),
        gateway=gateway if gateway is not None and not gateway.is_unspecified else None,
        interface=interface,
        flags=flags,
        kind=kind_of(flags),
    )
    return (route,)


def _row6(line: Line, match: re.Match[str] | None) -> tuple[Route]:
    assert match is not None
    written, via, flags, interface = match.groups()
    start, _, bits = written.partition("/")
    address, gateway = inet6(start.strip("[]")), inet6(via.strip("[]"))
    if address is None or gateway is None:
        line.refuse("an IPv6 address is not understood")
    multicast = address.is_multicast or "m" in (flags or "")
    route = Route(
        line=line.number,
        written=written,
        address=address,
        prefix=prefix_of(line, address, bits),
        gateway=None if gateway.is_unspecified else gateway,
        interface=interface,
        flags=flags or "",
        kind=Kind.OTHER if multicast else kind_of(flags or ""),
    )
    return (route,)
