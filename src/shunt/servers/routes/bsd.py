"""FreeBSD, DragonFly, OpenBSD, NetBSD and macOS: `netstat -rn`, also `route -n show`.

The columns differ between systems and releases, and the heading names them; each section may have
a heading of its own. The last column (Expire, Label, Tag) may be empty.
"""

from __future__ import annotations

import re
from dataclasses import replace
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
    is_name,
    is_named_host,
    numbered,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LAYOUT = "netstat -rn of BSD"

_START = ("Destination", "Gateway", "Flags")
_COLUMNS = {  # what a column may hold
    "Refs": r"\d+|-",
    "Use": r"\d+|-",
    "Nhop#": r"\d+",
    "Mtu": r"\d+|-",
    "Prio": r"\d+",
    "Netif": r"[a-z]\S*",
    "Iface": r"[a-z]\S*",
    "Interface": r"[a-z]\S*",
    "Expire": r"\d+|!|-",
    "Label": r"\S.*",
    "Tag": r"\S.*",
}
_INTERFACES = ("Netif", "Iface", "Interface")
_OPTIONAL = ("Expire", "Label", "Tag")
_FAMILIES = {"Internet:": 4, "Internet6:": 6}
_OTHER_FAMILY = re.compile(
    r"(?:AppleTalk|Encap|IPX|ISO|Key Management|MPLS|Netgraph|XNS|Protocol Family \d+):"
)
_MAC = re.compile(r"[0-9a-fA-F]{1,2}(?:[:.][0-9a-fA-F]{1,2}){5}")
_NUMBER = re.compile(r"link#\d+")
_LOOPBACK = re.compile(r"lo\d+")
_LINK = re.compile(rf"link#\d+|{_MAC.pattern}|[a-z]+\d+")
_MAC_FLAGS = set("cgiIWY")
_MAC_INTERFACE = re.compile(r"(?:en|utun|awdl|llw|gif|stf|anpi|bridge10|ap|ipsec)\d+")


def claims(text: str) -> bool:
    """Tell whether a line is a heading with columns that only these systems have."""
    return any(_heading(line) for line in numbered(text))


def _heading(line: Line) -> list[str] | None:
    fields = line.fields
    if tuple(fields[:3]) != _START or not all(name in _COLUMNS for name in fields[3:]):
        return None
    netbsd = "Interface" in fields and "Mtu" in fields
    known = netbsd or "Netif" in fields or "Iface" in fields
    return fields if known else None


def parse(text: str) -> Listing:
    """Read the listing; FreeBSD is said where it might as well be DragonFly.

    Raises:
        ParseError: a line is not understood, or there is no row.
    """
    columns: list[str] = []
    version: int | None = None  # 0: a family without IP, whose rows do not matter
    seen: set[str] = set()
    rows = Collected()
    for line in filled(numbered(text)):
        stripped = line.text.strip()
        if stripped in _FAMILIES:
            version = _FAMILIES[stripped]
        elif heading := _heading(line):
            columns = heading
            seen.update(heading)
        elif stripped == "Routing tables" or re.fullmatch(r"Routing tables \(fib: \d+\)", stripped):
            continue
        elif _OTHER_FAMILY.fullmatch(stripped):
            version = 0
        elif not columns:
            line.refuse("a row before the heading that names its columns")
        elif version != 0:
            rows.add(line, version or 0, partial(_rows, line, columns, version))
    listing = rows.listing(_system(seen, rows.routes), LAYOUT)
    return replace(listing, routes=with_cards(listing.routes))


def _is_own_row(route: Route) -> bool:
    return route.is_host and bool(_LOOPBACK.fullmatch(route.interface))


def with_cards(routes: Sequence[Route]) -> tuple[Route, ...]:
    """Fill in whose address a host row on lo0 is: the kernel names that interface by its number."""
    names = {
        route.gateway_name: route.interface
        for route in routes
        if _NUMBER.fullmatch(route.gateway_name) and not _LOOPBACK.fullmatch(route.interface)
    }
    return tuple(
        replace(
            route,
            card=names.get(route.gateway_name, route.card) if _is_own_row(route) else "",
            gateway_name="" if _NUMBER.fullmatch(route.gateway_name) else route.gateway_name,
        )
        for route in routes
    )


def _rows(line: Line, columns: list[str], version: int | None) -> tuple[Route, ...]:
    fields = line.text.strip().split(None, len(columns) - 1)
    least = len(columns) - (columns[-1] in _OPTIONAL)
    if not least <= len(fields) <= len(columns):
        line.refuse(f"the heading names {len(columns)} columns, the row has {len(fields)}")
    for name, value in zip(columns[3:], fields[3:], strict=False):
        if not re.fullmatch(_COLUMNS[name], value.strip()):
            line.refuse(f"{value!r} stands in the column {name}")
    interface = next(
        value for name, value in zip(columns, fields, strict=False) if name in _INTERFACES
    )
    version = version or (6 if ":" in fields[0] else 4)
    return route_of(line, (fields[0], fields[1], fields[2]), interface=interface, version=version)


def route_of(
    line: Line, words: tuple[str, str, str], *, interface: str, version: int
) -> tuple[Route, ...]:
    """Read destination, gateway and flags; no route where they are a named host's.

    Raises:
        ParseError: one of them is nothing of the kind.
    """
    destination, gateway, flags = words
    if not re.fullmatch(r"[A-Za-z0-9]+", flags):
        line.refuse(f"{flags!r} stands in the column Flags")
    host = "H" in flags
    if is_named_host(destination, host=host):
        return ()
    address, prefix = bsd_destination(line, destination, host=host, version=version)
    is_link = bool(_LINK.fullmatch(gateway)) and not ("G" in flags and is_name(gateway))
    via, name = (None, gateway) if is_link else gateway_of(line, gateway, version)
    is_mac = bool(_MAC.fullmatch(gateway))
    own = is_mac and bool(_LOOPBACK.fullmatch(interface))  # macOS: an address of one of its cards
    route = Route(
        line=line.number,
        written=destination,
        address=address,
        prefix=prefix,
        gateway=via,
        gateway_name=name if not is_link or _NUMBER.fullmatch(name) else "",
        interface=interface,
        flags=flags,
        kind=kind_of(flags),
        neighbour="l" not in flags and not own and ("W" in flags or is_mac),
        card="a network card" if own else "",
    )
    return (route,)


def _system(columns: set[str], routes: list[Route]) -> OperatingSystem:
    if "Prio" in columns:
        return OperatingSystem.OPENBSD
    if "Interface" in columns:
        return OperatingSystem.NETBSD
    apple = any(
        set(route.flags) & _MAC_FLAGS or _MAC_INTERFACE.fullmatch(route.interface)
        for route in routes
    )
    return OperatingSystem.MACOS if apple else OperatingSystem.FREEBSD
