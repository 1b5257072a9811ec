"""HP-UX: `netstat -rn` and `-rnv`.

Only `-v` shows masks, as `network/mask`; then long destinations stand on a line of their own, with
the rest of the row on the next. The columns are destination, gateway, flags, references, perhaps
use, interface, path MTU. HP-UX 11i writes IPv6 as `network/prefix`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.routes.collect import Collected
from shunt.servers.routes.flags import kind_of
from shunt.servers.routes.rows import Listing, Route
from shunt.servers.routes.text import (
    Line,
    address_or_none,
    bsd_destination,
    filled,
    gateway_of,
    inet,
    inet6,
    is_named_host,
    mask_length,
    numbered,
    prefix_of,
)

if TYPE_CHECKING:
    from shunt.model.addresses import Address

LAYOUT = "netstat -rn of HP-UX"

_HEADING = re.compile(
    r"\s*(?:Dest(?:ination)?/(?:Netmask|Prefix)|Destination)\s+Gateway\s+Flags\s+Refs"
    r"(\s+Use)?\s+Interface\s+Pmtu\s*"
)
_TITLE = re.compile(r"(?:IPv[46] )?Routing tables:?", re.IGNORECASE)
_FAMILY = re.compile(r"Internet(?: ?v?6)?:|IPv[46]:", re.IGNORECASE)
_INTERFACE = re.compile(r"[a-z]+\d+(:\d+)?\*?")


def claims(text: str) -> bool:
    """Tell whether a line is HP-UX's heading."""
    return any(_HEADING.fullmatch(line.text) for line in numbered(text))


def parse(text: str) -> Listing:
    """Read the listing.

    Raises:
        ParseError: a line is not understood, or there is no row.
    """
    columns = 0
    pending: Line | None = None
    rows = Collected()
    version = 0
    for line in filled(numbered(text)):
        heading = _HEADING.fullmatch(line.text)
        if heading:
            columns = 7 if heading[1] else 6
        elif _FAMILY.fullmatch(line.text.strip()):
            version = 6 if "6" in line.text else 4
        elif _TITLE.fullmatch(line.text.strip()):
            continue
        elif not columns:
            line.refuse("a line before the heading of HP-UX")
        elif pending is None and len(line.fields) == 1:
            pending = line
            continue
        else:
            before = pending.fields if pending else []
            rows.add(line, version, partial(_row, line, [*before, *line.fields], columns))
        if pending is not None and len(line.fields) == 1:
            line.refuse(f"the destination in line {pending.number} has no row behind it")
        pending = None
    if pending is not None:
        pending.refuse("a destination without the rest of its row")
    return rows.listing(OperatingSystem.HP_UX, LAYOUT)


@dataclass(frozen=True, slots=True)
class _Destination:
    written: str
    address: Address
    prefix: int | None


def _row(line: Line, fields: list[str], columns: int) -> tuple[Route, ...]:
    if len(fields) != columns:
        line.refuse(f"a row of this listing has {columns} columns, not {len(fields)}")
    destination, gateway, flags = fields[:3]
    numbers, interface = [*fields[3:-2], fields[-1]], fields[-2]
    if not (
        re.fullmatch(r"[A-Za-z]+", flags)
        and all(number.isdigit() for number in numbers)
        and _INTERFACE.fullmatch(interface)
    ):
        line.refuse("a row's columns are not HP-UX's")
    host = "H" in flags
    if is_named_host(destination, host=host):
        return ()
    shown = address_or_none(gateway)
    version = shown.version if shown else 6 if ":" in destination else 4
    via, name = gateway_of(line, gateway, version)
    where = _destination(line, destination, host=host, version=version)
    route = Route(
        line=line.number,
        written=where.written,
        address=where.address,
        prefix=where.prefix,
        gateway=via,
        gateway_name=name,
        interface=interface.rstrip("*"),
        flags=flags,
        kind=kind_of(flags),
    )
    return (route,)


def _destination(line: Line, written: str, *, host: bool, version: int) -> _Destination:
    start, slash, tail = written.partition("/")
    if start == "default":
        address, prefix = bsd_destination(line, start, host=False, version=version)
        return _Destination(written, address, prefix)
    found: Address | None = inet6(start) if version == 6 else inet(start)
    if found is None:
        line.refuse(f"{start!r} is no destination", hint="list with numbers: netstat -rnv")
    if not slash:
        return _Destination(written, found, found.max_prefixlen if host else None)
    mask = inet(tail)
    bits: int | str | None = tail if tail.isascii() and tail.isdigit() else None
    bits = mask_length(mask) if mask else bits
    if bits is None:
        line.refuse(f"{tail!r} is no mask")
    return _Destination(written, found, prefix_of(line, found, bits))
