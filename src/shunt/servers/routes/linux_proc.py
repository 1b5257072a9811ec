"""Linux: /proc/net/route and /proc/net/ipv6_route, as the kernel writes them.

    IPv4  interface destination gateway flags refs use metric mask mtu window irtt
    IPv6  destination length source length next-hop metric refs use flags interface

IPv4 addresses are in the byte order of the machine, which a mask gives away; that file has the main
table only. IPv6 addresses are as on the wire, and the table local is among the rows.
Source: net/ipv4/fib_trie.c (fib_route_seq_show), net/ipv6/route.c (rt6_info_route), and
include/uapi/linux/route.h for the flags.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from shunt.model.config import OperatingSystem
from shunt.servers.routes.collect import Collected
from shunt.servers.routes.rows import Kind, Listing, Route, Where, with_holders
from shunt.servers.routes.text import Line, filled, mask_length, numbered, prefix_of

LAYOUT = "/proc/net/route"

_HEADING = ("Iface", "Destination", "Gateway", "Flags", "RefCnt", "Use", "Metric", "Mask")
_WORD = r"[0-9A-Fa-f]{8}"
_LONG = r"[0-9A-Fa-f]{32}"
_ROW4 = re.compile(
    rf"\s*(\S+)\s+({_WORD})\s+({_WORD})\s+([0-9A-Fa-f]{{4}})(?:\s+\d+){{3}}\s+({_WORD})"
    r"(?:\s+\d+){3}\s*"
)
_ROW6 = re.compile(
    rf"({_LONG})\s+([0-9a-f]{{2}})\s+({_LONG})\s+([0-9a-f]{{2}})\s+({_LONG})"
    rf"(?:\s+{_WORD}){{3}}\s+({_WORD})\s+(\S+)\s*"
)
_GATEWAY, _REJECT, _ANYCAST, _LOCAL = 0x2, 0x200, 0x100000, 0x80000000


def claims(text: str) -> bool:
    """Tell whether there is the heading of the one file, or a row of the other."""
    return any(_is_heading(line) or _ROW6.fullmatch(line.text) for line in numbered(text))


def _is_heading(line: Line) -> bool:
    return tuple(line.fields[:8]) == _HEADING


def parse(text: str) -> Listing:
    """Read either file, or both one after the other.

    Raises:
        ParseError: a line is not understood, or there is no row.
    """
    lines = filled(numbered(text))
    order = _byte_order(lines)
    rows = Collected()
    headed = False
    for line in lines:
        if _is_heading(line):
            headed = True
        elif match := _ROW6.fullmatch(line.text):
            rows.add(line, 6, partial(_row6, line, match))
        elif match := _ROW4.fullmatch(line.text):
            if not headed:
                line.refuse("a row without the heading that names its columns")
            rows.add(line, 4, partial(_row4, line, match, order))
        else:
            line.refuse(f"not a row of {LAYOUT}")
    listing = rows.listing(OperatingSystem.LINUX, LAYOUT)
    return replace(listing, routes=with_holders(listing.routes, Kind.LOCAL))


def _byte_order(lines: tuple[Line, ...]) -> str:
    """Return the byte order in which every mask is one; `little` where both would do."""
    masks = [match[5] for line in lines if (match := _ROW4.fullmatch(line.text))]
    for order in ("little", "big"):
        if all(mask_length(_address4(mask, order)) is not None for mask in masks):
            return order
    return "little"


def _address4(written: str, order: str) -> IPv4Address:
    octets = bytes.fromhex(written)
    return IPv4Address(octets[::-1] if order == "little" else octets)


def _row4(line: Line, match: re.Match[str], order: str) -> tuple[Route]:
    flags = int(match[4], 16)
    address = _address4(match[2], order)
    bits = mask_length(_address4(match[5], order))
    if bits is None:
        line.refuse(f"{match[5]} is not a mask")
    route = Route(
        line=line.number,
        written=str(address),
        address=address,
        prefix=prefix_of(line, address, bits),
        gateway=_address4(match[3], order) if flags & _GATEWAY else None,
        interface=match[1],
        kind=Kind.REFUSE if flags & _REJECT else Kind.UNICAST,
        table="main",
    )
    return (route,)


def _row6(line: Line, match: re.Match[str]) -> tuple[Route]:
    address, gateway = (IPv6Address(bytes.fromhex(match[field])) for field in (1, 5))
    flags = int(match[6], 16)
    local = bool(flags & _LOCAL)
    kind = Kind.LOCAL if local else Kind.UNICAST
    if address.is_multicast or flags & _ANYCAST:
        kind = Kind.OTHER
    elif flags & _REJECT:
        kind = Kind.REFUSE
        if int(match[2], 16):  # the kernel writes a route to lo so, too
            line.refuse("a route to lo or one that refuses: ip -6 route tells which")
    route = Route(
        line=line.number,
        written=str(address),
        address=address,
        prefix=prefix_of(line, address, int(match[2], 16)),
        gateway=gateway if flags & _GATEWAY else None,
        interface=match[7],
        kind=kind,
        where=Where.LOCAL if local else Where.ACTIVE,
        table="local" if local else "main",
    )
    return (route,)
