"""Prometheus's text format, read (prometheus.io/docs/instrumenting/exposition_formats, 0.0.4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from shunt.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"')
_GAP = re.compile(r"[ \t,]*")
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


class Sample(NamedTuple):
    """One value of one series."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples(text: str) -> Iterator[Sample]:
    """Yield every sample.

    Raises:
        ParseError: a line is neither sample nor comment.
    """
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        yield _sample(line, number)


def _sample(line: str, number: int) -> Sample:
    name, brace, rest = line.partition("{")
    if brace:
        labels, rest = _labels(rest, number)
    else:
        name, _, rest = line.partition(" ")
        labels = {}
    words = rest.split()
    if not re.fullmatch(NAME, name.strip()) or len(words) not in {1, 2}:
        raise ParseError(f"line {number} of the metrics is no sample: {line[:80]!r}")
    try:
        return Sample(name.strip(), labels, float(words[0]))
    except ValueError:
        raise ParseError(f"line {number} of the metrics has no value: {line[:80]!r}") from None


def _labels(rest: str, number: int) -> tuple[dict[str, str], str]:
    """Return the labels before the closing brace, and what follows it."""
    labels: dict[str, str] = {}
    at = 0
    while True:
        at = _GAP.match(rest, at).end()  # type: ignore[union-attr]  # matches everywhere
        if rest[at : at + 1] == "}":
            return labels, rest[at + 1 :]
        found = _LABEL.match(rest, at)
        if not found:
            raise ParseError(f"line {number} of the metrics: no labels: {rest[at : at + 60]!r}")
        labels[found[1]] = re.sub(r"\\[n\"\\]", lambda e: _ESCAPES[e[0]], found[2])
        at = found.end()
