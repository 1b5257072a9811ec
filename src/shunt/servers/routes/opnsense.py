"""OPNsense: the table of its page "Routes", copied from the browser, columns parted by tabs.

    Proto Destination Gateway Flags Use|Nhop# MTU Netif "Netif (name)" Expire

It is FreeBSD's table. Names of interfaces may have blanks, so without the tabs it is not read.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.routes.bsd import route_of, with_cards
from shunt.servers.routes.collect import Collected
from shunt.servers.routes.text import Line, filled, numbered

if TYPE_CHECKING:
    from shunt.servers.routes.rows import Listing, Route

LAYOUT = "OPNsense's table of routes"

_START = ("Proto", "Destination", "Gateway", "Flags")
_FAMILIES = {"ipv4": 4, "ipv6": 6}
_HINT = "copy the table whole, with the tabs, or use: netstat -rn"


def claims(text: str) -> bool:
    """Tell whether a line is the heading of that table."""
    return any(tuple(line.fields[:4]) == _START for line in numbered(text))


def parse(text: str) -> Listing:
    """Read the table.

    Raises:
        ParseError: a line is not understood, or there is no row.
    """
    columns: list[str] = []
    rows = Collected()
    for line in filled(numbered(text)):
        fields = [field.strip() for field in line.text.split("\t")]
        if tuple(fields[:4]) == _START:
            columns = fields
        elif not columns:
            line.refuse("a row before the heading that names its columns", hint=_HINT)
        else:
            version = _FAMILIES.get(fields[0], 0)
            rows.add(line, version, partial(_rows, line, columns, fields, version))
    listing = rows.listing(OperatingSystem.FREEBSD, LAYOUT)
    return replace(listing, routes=with_cards(listing.routes))


def _rows(line: Line, columns: list[str], fields: list[str], version: int) -> tuple[Route, ...]:
    least = len(columns) - (columns[-1] == "Expire")
    if not version or not least <= len(fields) <= len(columns):
        line.refuse(f"the heading names {len(columns)} columns, with the family first", hint=_HINT)
    cells = dict(zip(columns, fields, strict=False))
    if not re.fullmatch(r"[A-Za-z]\S*", cells.get("Netif", "")):
        line.refuse("the column Netif does not hold an interface", hint=_HINT)
    return route_of(
        line,
        (cells["Destination"], cells["Gateway"], cells["Flags"]),
        interface=cells["Netif"],
        version=version,
    )
