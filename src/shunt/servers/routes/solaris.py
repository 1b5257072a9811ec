"""Solaris and illumos: `netstat -rn` and `-rnv`, one table a family.

    Routing Table: IPv4   destination gateway flags ref use [interface]            no masks
    Routing Table: IPv6   destination/prefix gateway flags ref use [interface]
    IRE Table: IPv4       destination mask gateway [device] mtu [rtt] ref flags out in
    IRE Table: IPv6       destination/prefix gateway [device] mtu [rtt] ref flags out in

Solaris 2.x knows IPv4 only and names no family in its titles. The interface is empty for a route
through a gateway that no interface was asked for.
"""

from __future__ import annotations

import re
from functools import partial
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
    inet,
    is_named_host,
    mask_length,
    numbered,
    prefix_of,
)

if TYPE_CHECKING:
    from shunt.model.addresses import Address

LAYOUT = "netstat -rn of Solaris"

_TITLE = re.compile(r"\s*(Routing|IRE) Table:(?: IPv([46]))?\s*")  # Solaris 2.x: IPv4 only
_DASHES = re.compile(r"[\s-]*-{3,}[\s-]*")
_HEADING = re.compile(r"\s*Destination(/Mask)?\s.*\bGateway\b.*")
_BRIEF = re.compile(r"\s*(\S+)\s+(\S+)\s+([A-Za-z]+)\s+(\d+)\s+(\d+)(?:\s+([a-z]\S*|--))?\s*")
_VERBOSE = re.compile(
    r"\s*(?P<destination>\S+)\s+(?P<mask>[\d.]+\s+)?(?P<gateway>\S+)"
    r"(?:\s+(?P<device>[a-z]\S*|--))?\s+\d+\*?(?:\s+\d+)?\s+\d+\s+(?P<flags>[A-Za-z]+)\s+\d+\s+\d+\s*"
)


def claims(text: str) -> bool:
    """Tell whether a line is the title of Solaris' tables."""
    return any(_TITLE.fullmatch(line.text) for line in numbered(text))


def parse(text: str) -> Listing:
    """Read the listing. Solaris 10, 11 and illumos print alike: the system is Solaris 11.

    Raises:
        ParseError: a line is not understood, or there is no row.
    """
    verbose, version, headed = False, 0, False
    rows = Collected()
    for line in filled(numbered(text)):
        title = _TITLE.fullmatch(line.text)
        if title:
            verbose, version, headed = title[1] == "IRE", int(title[2] or 4), False
        elif not version:
            line.refuse("a line before the title of the table")
        elif _DASHES.fullmatch(line.text):
            continue
        elif not headed:
            if not _HEADING.fullmatch(line.text):
                line.refuse("the heading behind the title is missing")
            headed = True
        else:
            rows.add(line, version, partial(_verbose if verbose else _brief, line, version))
    return rows.listing(OperatingSystem.SOLARIS11, LAYOUT)


def _brief(line: Line, version: int) -> tuple[Route, ...]:
    match = _BRIEF.fullmatch(line.text)
    if match is None:
        line.refuse("a row's columns are not those of netstat -rn")
    written, gateway, flags = match[1], match[2], match[3]
    if is_named_host(written, host="H" in flags):
        return ()
    if version == 4:
        address, prefix = _brief4(line, written, host="H" in flags)
    else:
        address, prefix = bsd_destination(line, written, host=True, version=6)
    return _route(line, written, (address, prefix), gateway, match[6], flags)


def _brief4(line: Line, written: str, *, host: bool) -> tuple[Address, int | None]:
    if written == "default":
        return bsd_destination(line, written, host=False, version=4)
    address = inet(written)
    if address is None:
        line.refuse(f"{written!r} is no IPv4 destination", hint="list with numbers: netstat -rnv")
    return address, 32 if host else None


def _verbose(line: Line, version: int) -> tuple[Route, ...]:
    match = _VERBOSE.fullmatch(line.text)
    if match is None or bool(match["mask"]) != (version == 4):
        line.refuse("a row's columns are not those of netstat -rnv")
    written, gateway, flags = match["destination"], match["gateway"], match["flags"]
    if is_named_host(written, host="H" in flags):
        return ()
    if version == 6:
        found: tuple[Address, int | None] = bsd_destination(line, written, host=True, version=6)
    else:
        mask = inet(match["mask"].strip())
        bits = mask_length(mask) if mask else None
        address = bsd_destination(line, written, host=True, version=4)[0]
        if bits is None:
            line.refuse(f"{match['mask'].strip()!r} is no mask")
        found = address, prefix_of(line, address, bits)
    return _route(line, written, found, gateway, match["device"], flags)


def _route(
    line: Line,
    written: str,
    destination: tuple[Address, int | None],
    gateway: str,
    interface: str | None,
    flags: str,
) -> tuple[Route]:
    via, name = gateway_of(line, gateway, destination[0].version)
    route = Route(
        line=line.number,
        written=written,
        address=destination[0],
        prefix=destination[1],
        gateway=via,
        gateway_name=name,
        interface="" if interface in (None, "--") else interface or "",
        flags=flags,
        kind=kind_of(flags),
    )
    return (route,)
