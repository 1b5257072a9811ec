"""Prometheus's text format, read (prometheus.io/docs/instrumenting/exposition_formats, 0.0.4).

Only the lines of wanted metrics are read, for a page may have a hundred thousand others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from shunt.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_SLICE = 1 << 14  # characters
_LONGEST_LINE = 1 << 14

# Quantifiers with a plus never go back: a line of any kind is read in time linear to its length.
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\]++|\\["\\n])*+)"[ \t]*+'
_LABELS = rf"\{{[ \t]*+(?:{_LABEL}(?:,[ \t]*+|(?=\}})))*+\}}"
_VALUE = (
    r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?|[+-]?(?i:inf(?:inity)?)|(?i:nan)"
)
_LINE = re.compile(
    rf"(?P<name>{NAME}+)(?:[ \t]*+(?P<labels>{_LABELS})[ \t]*+|[ \t]++)"
    rf"(?P<value>{_VALUE})(?:[ \t]++-?[0-9]++)?[ \t]*+"
)
_EACH_LABEL = re.compile(_LABEL)
_INDENT = re.compile(r"\n[ \t]+")
_ESCAPE = re.compile(r"\\(.)")


class Sample(NamedTuple):
    """One value of one series."""

    name: str
    labels: Mapping[str, str]
    value: float


def slices(page: str) -> Iterator[tuple[int, str]]:
    """Yield a page in parts of whole lines, each with the number of its first line.

    A part takes some milliseconds at most, unless it is one long line.
    """
    at, line = 0, 1
    while at < len(page):
        end = page.find("\n", at + _SLICE) + 1 or len(page)
        yield line, page[at:end]
        line += page.count("\n", at, end)
        at = end


def samples(page: str, names: Iterable[str], first: int = 1) -> Iterator[Sample]:
    """Yield every sample of some metrics; `first` is the number of the page's first line.

    Raises:
        ParseError: a line that begins with such a name is no sample.
    """
    lines = _INDENT.sub("\n", "\n" + page)
    for name in names:
        for line, at in _beginning_with(name, lines):
            yield _sample(line, lines, at, first)


def _beginning_with(name: str, lines: str) -> Iterator[tuple[str, int]]:
    """Yield the lines of a metric, each with its place; found as fast as text is searched."""
    wanted = "\n" + name
    at = lines.find(wanted)
    while at >= 0:
        end = lines.find("\n", at + 1)
        line = lines[at + 1 : end if end >= 0 else None]
        if line[len(name) : len(name) + 1] in {" ", "\t", "{", ""}:
            yield line, at
        at = lines.find(wanted, end) if end >= 0 else -1


def _sample(line: str, lines: str, at: int, first: int) -> Sample:
    found = _LINE.fullmatch(line) if len(line) <= _LONGEST_LINE else None
    if not found:
        number = first + lines.count("\n", 0, at)
        raise ParseError(f"line {number} of the metrics is no sample: {line[:80]!r}")
    labels = _EACH_LABEL.findall(found["labels"]) if found["labels"] else []
    return Sample(found["name"], {key: _plain(text) for key, text in labels}, float(found["value"]))


def _plain(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], text)
