"""Windows: `Get-NetRoute | ConvertTo-Json`, which no language of the system changes."""

from __future__ import annotations

import json

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem
from shunt.servers.routes.rows import Kind, Listing, Route, Where, with_holders
from shunt.servers.routes.text import HINT, Line, address_or_none, prefix_of

LAYOUT = "Get-NetRoute as JSON"


def claims(text: str) -> bool:
    """Tell whether this is JSON with the key that every such row has."""
    return text.lstrip("\ufeff \t\r\n").startswith(("[", "{")) and '"DestinationPrefix"' in text


def parse(text: str) -> Listing:
    """Read the rows; a single row is an object without a list around it. Lines count rows.

    Raises:
        ParseError: it is no such JSON, or there is no row.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ParseError(f"the JSON of Get-NetRoute is broken: {error}", hint=HINT) from error
    rows = document if isinstance(document, list) else [document]
    routes = tuple(_row(number, row) for number, row in enumerate(rows, start=1))
    if not routes:
        raise ParseError("Get-NetRoute gave no rows", hint=HINT)
    return Listing(OperatingSystem.WINDOWS, LAYOUT, with_holders(routes, Kind.UNICAST))


def _row(number: int, row: object) -> Route:
    line = Line(number, json.dumps(row))
    if not isinstance(row, dict):
        line.refuse("a row is no object")
    written, next_hop = row.get("DestinationPrefix"), row.get("NextHop")
    index = row.get("InterfaceIndex", row.get("ifIndex"))
    if not isinstance(written, str) or not isinstance(next_hop, str) or not isinstance(index, int):
        line.refuse("a row lacks DestinationPrefix, NextHop or InterfaceIndex")
    start, _, bits = written.partition("/")
    address, gateway = address_or_none(start), address_or_none(next_hop)
    if address is None or gateway is None or not (bits.isascii() and bits.isdigit()):
        line.refuse("a row's addresses are not understood")
    return Route(
        line=number,
        written=written,
        address=address,
        prefix=prefix_of(line, address, bits),
        gateway=None if gateway.is_unspecified else gateway,
        interface=str(index),
        where=Where.PERSISTENT if row.get("Store") == "PersistentStore" else Where.ACTIVE,
    )
