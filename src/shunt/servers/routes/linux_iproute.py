"""Linux: `ip route` of iproute2, as text, for one table or for all.

    [type] destination [via [inet6] ADDRESS] [dev NAME] [table NAME] [proto ..] [src ..] ...
    <white space> nexthop via ADDRESS dev NAME weight N       (one route over several ways)

`ip -o route` writes a backslash where the others break the line. The listing of one table does not
name it: one with rows of the type `local` is that of the table local, where the kernel keeps the
host's own addresses. Every key is known by name (ip-route(8)); an unknown one is refused, since it
might change what the route does. `ip -j` says the same without guessing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from itertools import takewhile
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.routes.collect import Collected
from shunt.servers.routes.rows import Kind, Listing, Route, Where, with_holders
from shunt.servers.routes.text import Line, address_or_none, filled, numbered, prefix_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shunt.model.addresses import Address

LAYOUT = "ip route"
TYPES = {
    "unicast": Kind.UNICAST,
    "local": Kind.LOCAL,
    "broadcast": Kind.OTHER,
    "multicast": Kind.OTHER,
    "anycast": Kind.OTHER,
    "unreachable": Kind.REFUSE,
    "prohibit": Kind.REFUSE,
    "blackhole": Kind.REFUSE,
    "throw": Kind.REFUSE,
}
_VALUES = frozenset(
    {"dev", "table", "proto", "scope", "src", "metric", "preference", "tos", "dsfield", "mtu"}
    | {"advmss", "rtt", "rttvar", "reordering", "window", "cwnd", "initcwnd", "initrwnd", "age"}
    | {"ssthresh", "realms", "realm", "rto_min", "hoplimit", "features", "quickack", "congctl"}
    | {"pref", "error", "expires", "weight", "nhid", "uid", "fastopen_no_cookie", "from"}
)
_WORDS = frozenset(
    {
        "nh_info",
        "onlink",
        "linkdown",
        "dead",
        "pervasive",
        "offload",
        "trap",
        "rt_offload",
        "rt_trap",
    }
)
_START = re.compile(r"(?:default|[0-9a-fA-F:.]+(?:/\d{1,3})?)")


def claims(text: str) -> bool:
    """Tell whether a line begins as `ip route` writes its rows."""
    return any(_looks_so(line) for line in filled(numbered(text)))


def _looks_so(line: Line) -> bool:
    fields = line.fields
    if fields[0] in TYPES:
        fields = fields[1:]
    if len(fields) < 2 or not _START.fullmatch(fields[0]):
        return False
    return fields[1] in {"via", "dev", "proto", "metric", "nhid", "table", "scope", "src"}


def parse(text: str) -> Listing:
    """Read the listing.

    Raises:
        ParseError: a line is not understood, or there is no row.
    """
    shown = (line for line in filled(numbered(text)) if not _is_nexthop_object(line))
    lines = tuple(part for line in shown for part in _unfold(line))
    rows = Collected()
    for position, line in enumerate(lines):
        if _is_hop(line):
            if position == 0:
                line.refuse("a next hop without its route")
            continue
        hops = tuple(takewhile(_is_hop, lines[position + 1 :]))
        rows.add(line, _version(line), partial(_row, line, hops))
    listing = rows.listing(OperatingSystem.LINUX, LAYOUT)
    return replace(listing, routes=with_holders(with_table(rows.routes), Kind.LOCAL))


def _version(line: Line) -> int:
    """Return the family of the destination; 0 where only the rest of the row could tell."""
    fields = [field for field in line.fields if field not in TYPES]
    address = address_or_none(fields[0].partition("/")[0]) if fields else None
    return address.version if address else 0


def with_table(routes: list[Route]) -> tuple[Route, ...]:
    """Fill in the table that a listing of the table local leaves out."""
    named = any(route.table for route in routes)
    if not named and any(route.kind is Kind.LOCAL for route in routes):
        return tuple(replace(route, table="local", where=Where.LOCAL) for route in routes)
    return tuple(replace(route, table=route.table or "main") for route in routes)


def _is_nexthop_object(line: Line) -> bool:
    """Tell whether a line is what `ip -d` says of the nexthop object of the row before."""
    return line.text[0].isspace() and line.fields[:2] == ["nh_info", "id"]


def _unfold(line: Line) -> Iterator[Line]:
    """Return the row and its next hops where they stand in one line."""
    first, *hops = line.text.split("\\")
    if hops and (not first.strip() or first.split()[0] == "nexthop"):
        line.refuse("a next hop without its route")
    yield Line(line.number, first.rstrip())
    for hop in hops:
        if hop.split()[:1] != ["nexthop"]:
            line.refuse("no next hop behind a backslash")
        yield Line(line.number, f" {hop.strip()}")


def _is_hop(line: Line) -> bool:
    return line.text[0].isspace() and line.fields[0] == "nexthop"


def _row(line: Line, hops: Sequence[Line]) -> Iterator[Route]:
    fields = line.fields
    kind = Kind.UNICAST
    if fields[0] in TYPES:
        kind = TYPES[fields.pop(0)]
    if not fields:
        line.refuse("a route without a destination")
    written, keys = fields[0], _keys(line, fields[1:])
    gateway = _address(line, keys["via"]) if "via" in keys else None
    source = _address(line, keys["src"]) if "src" in keys else None
    address, prefix = destination(line, written, other=gateway or source)
    table = keys.get("table", "")
    route = Route(
        line=line.number,
        written=written,
        address=address,
        prefix=prefix,
        gateway=gateway,
        interface=keys.get("dev", ""),
        kind=Kind.OTHER if address.is_multicast else kind,
        where=Where.LOCAL if table == "local" else Where.ACTIVE,
        table=table,
        source=source,
        protocol=keys.get("proto", ""),
        selector="".join(f" {key} {keys[key]}" for key in ("nhid", "tos", "from") if key in keys),
    )
    ways = [_keys(hop, hop.fields[1:]) for hop in hops]
    if not ways:
        yield route
    elif keys.keys() & {"via", "dev"}:
        line.refuse("a route with a way of its own and next hops behind it")
    for way in ways:
        via = _address(line, way["via"]) if "via" in way else None
        yield replace(route, gateway=via, interface=way.get("dev", ""), hops=len(ways))


def _keys(line: Line, fields: list[str]) -> dict[str, str]:
    keys: dict[str, str] = {}
    words = iter(fields)
    for word in words:
        if word in _WORDS:
            continue
        if word == "via":
            value = next(words, "")
            keys["via"] = next(words, "") if value in {"inet", "inet6"} else value
        elif word in _VALUES:
            value = next(words, "")
            keys[word] = next(words, "") if value == "lock" else value
        else:
            line.refuse(f"{word!r} is not understood", hint="use: ip -j route show table all")
        if not value:
            line.refuse(f"nothing follows {word!r}")
    return keys


def _address(line: Line, text: str) -> Address:
    address = address_or_none(text)
    if address is None:
        line.refuse(f"{text!r} is no address")
    return address


def destination(line: Line, written: str, *, other: Address | None) -> tuple[Address, int]:
    """Read a destination of iproute2; `other`, an address of the row, gives `default` its family.

    Raises:
        ParseError: it is nothing of the kind.
    """
    if written == "default":
        return (IPv6Address(0), 0) if other and other.version == 6 else (IPv4Address(0), 0)
    start, slash, bits = written.partition("/")
    address = address_or_none(start)
    if address is None or (slash and not (bits.isascii() and bits.isdigit())):
        line.refuse(f"{written!r} is no destination")
    return address, prefix_of(line, address, bits if slash else address.max_prefixlen)
