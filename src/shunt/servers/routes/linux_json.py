"""Linux: `ip -j route show table all`, and `ip -j -6 ...` behind it if both were piped.

A row of the main table has no `table`, nor has any row where one table was asked for; a row without
`type` is unicast.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem
from shunt.servers.routes.collect import Collected
from shunt.servers.routes.linux_iproute import TYPES, destination, with_table
from shunt.servers.routes.rows import Kind, Listing, Route, Where, with_holders
from shunt.servers.routes.text import HINT, Line, address_or_none

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address

LAYOUT = "ip -j route"


def claims(text: str) -> bool:
    """Tell whether this is JSON with the key that every row of iproute2 has."""
    return text.lstrip("\ufeff \t\r\n").startswith("[") and '"dst"' in text


def parse(text: str) -> Listing:
    """Read one or several JSON lists; `line` of a row is its place among all rows.

    Raises:
        ParseError: it is no such JSON, or there is no row.
    """
    rows = Collected()
    for number, row in enumerate(_rows(text), start=1):
        line = Line(number, json.dumps(row))
        rows.add(line, _version(row), partial(_routes, line, row))
    listing = rows.listing(OperatingSystem.LINUX, LAYOUT)
    return replace(listing, routes=with_holders(with_table(rows.routes), Kind.LOCAL))


def _version(row: object) -> int:
    """Return the family of a row's destination; 0 where it does not show."""
    written = row.get("dst") if isinstance(row, dict) else None
    address = address_or_none(written.partition("/")[0]) if isinstance(written, str) else None
    return address.version if address else 0


def _rows(text: str) -> Iterator[object]:
    decoder = json.JSONDecoder()
    rest = text.strip("\ufeff \t\r\n")
    while rest:
        try:
            document, end = decoder.raw_decode(rest)
        except ValueError as error:
            raise ParseError(f"the JSON of ip route is broken: {error}", hint=HINT) from error
        if not isinstance(document, list):
            raise ParseError("the JSON of ip route is no list", hint=HINT)
        yield from document
        rest = rest[end:].lstrip()


def _routes(line: Line, row: object) -> Iterator[Route]:
    if not isinstance(row, dict) or not isinstance(row.get("dst"), str):
        line.refuse("a row lacks its destination")
    kind = TYPES.get(row.get("type", "unicast"))
    if kind is None:
        line.refuse(f"the type {row['type']!r} is not known")
    source = _address(line, row.get("prefsrc"))
    hops = row.get("nexthops") or [row]
    table = str(row.get("table", ""))
    for hop in hops:
        gateway = _gateway(line, hop)
        address, prefix = destination(line, row["dst"], other=gateway or source)
        yield Route(
            line=line.number,
            written=row["dst"],
            address=address,
            prefix=prefix,
            gateway=gateway,
            interface=str(hop.get("dev", "")),
            kind=Kind.OTHER if address.is_multicast else kind,
            where=Where.LOCAL if table == "local" else Where.ACTIVE,
            table=table,
            source=source,
            protocol=str(row.get("protocol", "")),
            selector="".join(f" {key} {row[key]}" for key in ("nhid", "tos", "from") if key in row),
            hops=len(hops),
        )


def _gateway(line: Line, hop: object) -> Address | None:
    if not isinstance(hop, dict):
        line.refuse("a next hop is no object")
    via = hop.get("via")
    return _address(line, via.get("host") if isinstance(via, dict) else hop.get("gateway"))


def _address(line: Line, value: object) -> Address | None:
    if value is None:
        return None
    address = address_or_none(value) if isinstance(value, str) else None
    if address is None:
        line.refuse(f"{value!r} is no address")
    return address
