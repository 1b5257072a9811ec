"""Windows: `route print` of every generation and language, also folded into one line.

Words are in the language of the system, so headings are told by their place and rows by their
numbers. Accepted is, in any number and order:

    interface list     rows `7 ...00 11 22 33 44 55 ...... name`, also `0x7 ...`; long names wrap
    title              ends with a colon, holds no address: `Active Routes:`
    heading or "none"  one line of words behind a title; rows need a heading before them
    IPv4 rows          network, mask, gateway | words ("On-link"), interface, metric
    IPv4 kept rows     network, mask, gateway | words, metric | word ("Default")
    IPv6 rows          interface, metric, network/prefix, gateway | words; the gateway may wrap
    default gateway    words, colon, address

Anything else is refused with its line number.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.routes.collect import Collected
from shunt.servers.routes.rows import Kind, Listing, Route, Where, with_holders
from shunt.servers.routes.text import (
    Line,
    address_or_none,
    filled,
    inet,
    inet6,
    mask_length,
    numbered,
    prefix_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Address

LAYOUT = "route print"

_IP = r"\d{1,3}(?:\.\d{1,3}){3}"
_WORDS = r"[^\s\d=-][^\s:]*(?: [^\s\d=-][^\s:]*){0,3}?"
_ACTIVE4 = rf"({_IP})\s+({_IP})\s+({_IP}|{_WORDS})\s+({_IP}|(?:0x)?[0-9a-fA-F]{{1,8}})\s+(\d+)"
_KEPT4 = rf"({_IP})\s+({_IP})\s+({_IP}|{_WORDS})\s+(\d+|{_WORDS})"
_NET6 = r"[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%\d+)?/\d{1,3}"
_HEAD6 = rf"(\d+)\s+(\d+)\s+({_NET6})"
_GATE6 = r"[0-9a-fA-F]*:[0-9a-fA-F:.]*(?:%\d+)?"

_ACTIVE4_LINE = re.compile(rf"\s*{_ACTIVE4}\s*")
_KEPT4_LINE = re.compile(rf"\s*{_KEPT4}\s*")
_ROW6_LINE = re.compile(rf"\s*{_HEAD6}\s+({_GATE6}|{_WORDS})\s*")
_HEAD6_LINE = re.compile(rf"\s*{_HEAD6}\s*")
_TAIL6_LINE = re.compile(rf"\s+({_GATE6}|{_WORDS})\s*")
_INDEX = r"(?:0x[0-9a-fA-F]+|\d+)\s?"
_RULE = re.compile(r"\s*[=-]{3,}\s*")
_ADAPTER = re.compile(rf"\s*{_INDEX}\.{{3}}.*")
_TITLE = re.compile(r".*[:\uff1a]\s*")
_GATEWAY = re.compile(rf"\s*[^:\d]+[:\uff1a]\s*{_IP}\s*")
_NUMERIC = re.compile(rf"(?<![\w.]){_IP}(?![\w.])|{_NET6}")

_FOLDED = re.compile(
    rf"(?<!\S)(?:{_ACTIVE4}|{_KEPT4}|{_HEAD6}\s+(?:{_GATE6}|{_WORDS}))(?!\S)|[=-]{{3,}}"
    rf"|(?<!\S){_INDEX}\.{{3}}.*?(?=\s{_INDEX}\.{{3}}|\s[=-]{{3}}|$)"
)


def claims(text: str) -> bool:
    """Tell whether some row has the form that only `route print` gives it."""
    return any(_is_row(line.text) for line in unfold(text))


def _is_row(text: str) -> bool:
    match = _ACTIVE4_LINE.fullmatch(text)
    if match:
        mask = inet(match[2])
        return mask is not None and mask_length(mask) is not None
    return bool(_ROW6_LINE.fullmatch(text) or _HEAD6_LINE.fullmatch(text))


def unfold(text: str) -> tuple[Line, ...]:
    """Return the lines with words; a listing folded into one line is cut before and after each row.

    Folded text has no line breaks left to number, so its pieces are numbered instead: line 1 is
    what stands before the first row.
    """
    lines = filled(numbered(text))
    if len(lines) != 1 or len(_FOLDED.findall(lines[0].text)) < 2:
        return lines
    pieces = _FOLDED.sub(lambda match: f"\n{match[0]}\n", lines[0].text).split("\n")
    words = [part for piece in pieces for part in _split_titles(piece)]
    kept = [piece for piece in words if piece.strip()]
    return tuple(Line(number, piece) for number, piece in enumerate(kept, start=1))


def _split_titles(piece: str) -> list[str]:
    """Cut `Default Gateway: 9.9.9.9 Persistent Routes: None` into what were lines."""
    if _FOLDED.fullmatch(piece):
        return [piece]
    piece = re.sub(rf"([:\uff1a]\s*{_IP})(?!\S)", "\\1\n", piece)
    return re.sub(rf"([:\uff1a])(?=\s)(?!\s*{_IP}\s)", "\\1\n", piece).split("\n")


def parse(text: str) -> Listing:
    """Read `route print`.

    Raises:
        ParseError: a line is not understood, or there is no row.
    """
    reader = _Reader()
    reader.read(unfold(text))
    listing = reader.rows.listing(OperatingSystem.WINDOWS, LAYOUT)
    return replace(listing, routes=with_holders(listing.routes, Kind.UNICAST))


class _Reader:
    """Walks the lines; remembers what kind of line may follow."""

    def __init__(self) -> None:
        self.rows = Collected()
        self._heading = 0  # columns that the heading has room for; 0: no rows may follow
        self._rows = 0  # rows since the heading
        self._adapters = False  # inside the interface list
        self._titles = 0  # lines of words since the last rule or row
        self._title: Line | None = None  # a title behind which nothing has come yet
        self._rows6 = 0
        self._kept6 = False  # IPv6: both tables have the same columns; the second is the kept one

    def read(self, lines: Sequence[Line]) -> None:
        waiting: Line | None = None
        for line in lines:
            if waiting is not None:
                tail = _TAIL6_LINE.fullmatch(line.text)
                if tail is None:
                    line.refuse(f"the gateway of the row in line {waiting.number} is missing")
                self._row(waiting, 6, partial(self._row6, waiting, waiting.fields, tail[1]))
                waiting = None
            elif self._is_frame(line):
                continue
            elif match := _ACTIVE4_LINE.fullmatch(line.text) or _KEPT4_LINE.fullmatch(line.text):
                self._row(line, 4, partial(_row4, line, match))
            elif match := _ROW6_LINE.fullmatch(line.text):
                head = [match[1], match[2], match[3]]
                self._row(line, 6, partial(self._row6, line, head, match[4]))
            elif _HEAD6_LINE.fullmatch(line.text):
                waiting = line
            else:
                self._words(line)
        if waiting is not None:
            waiting.refuse("the gateway of the last row is missing")
        self._close()

    def _row(self, line: Line, version: int, read: Callable[[], tuple[Route]]) -> None:
        if self._heading < (4 if version == 4 else 2):
            line.refuse("a row without the heading that names its columns")
        self._rows += 1
        self._titles = 0
        self.rows.add(line, version, read)

    def _is_frame(self, line: Line) -> bool:
        """Take rules, the interface list and the line of the default gateway."""
        if _RULE.fullmatch(line.text):
            self._close()
            self._adapters = False
            self._rows = self._titles = self._heading = 0
            self._kept6 = self._rows6 > 0
            return True
        if _ADAPTER.fullmatch(line.text):
            self._adapters = True
            self._titles = 0
            return True
        if self._adapters and not _NUMERIC.search(line.text):
            return True  # the rest of a long adapter name
        return bool(self._rows and _GATEWAY.fullmatch(line.text))

    def _words(self, line: Line) -> None:
        """Take a title, or the heading or "none" behind it."""
        if _NUMERIC.search(line.text) or re.search(r"\d{3}", line.text):
            line.refuse("neither a row nor a heading of route print")
        if self._rows and not _TITLE.fullmatch(line.text):
            line.refuse("words among the rows of route print")
        self._rows = 0
        self._titles += 1
        if self._titles > 6:
            line.refuse("more words than route print has before its rows")
        self._title = line if _TITLE.fullmatch(line.text) else None
        self._heading = 0 if self._title else len(line.fields)

    def _close(self) -> None:
        """Refuse a title behind which nothing came: not even "none"."""
        if self._title is not None:
            self._title.refuse("nothing stands behind this title")

    def _row6(self, line: Line, head: Sequence[str], tail: str) -> tuple[Route]:
        self._rows6 += 1
        start, _, bits = head[2].partition("/")
        address = inet6(start)
        if address is None:
            line.refuse(f"{start!r} is no IPv6 address")
        gateway = address_or_none(tail)
        if gateway is None and re.fullmatch(_GATE6, tail):
            line.refuse(f"{tail!r} is no IPv6 address")
        route = Route(
            line=line.number,
            written=head[2],
            address=address,
            prefix=prefix_of(line, address, bits),
            gateway=gateway,
            interface=head[0],
            where=Where.PERSISTENT if self._kept6 else Where.ACTIVE,
        )
        return (route,)


def _row4(line: Line, match: re.Match[str]) -> tuple[Route]:
    active = match.re is _ACTIVE4_LINE
    address, mask = inet(match[1]), inet(match[2])
    if address is None or mask is None:
        line.refuse("an octet above 255")
    bits = mask_length(mask)
    if bits is None:
        line.refuse(f"{mask} is not a mask")
    interface = match[4] if active else ""
    route = Route(
        line=line.number,
        written=match[1],
        address=address,
        prefix=prefix_of(line, address, bits),
        gateway=_gateway4(line, match[3]),
        interface=interface,
        where=Where.ACTIVE if active else Where.PERSISTENT,
        holders=(holder,) if (holder := inet(interface)) else (),
    )
    return (route,)


def _gateway4(line: Line, text: str) -> IPv4Address | None:
    if not re.fullmatch(_IP, text):
        return None
    gateway = inet(text)
    if gateway is None:
        line.refuse("an octet above 255")
    return gateway
