"""Arithmetic over a machine's metrics: a small part of PromQL, enough to make a load of 0 to 100.

    100 * node_load1 / count(node_cpu_seconds_total{mode="idle"})

    sum      := product (("+" | "-") product)*
    product  := factor (("*" | "/") factor)*
    factor   := number | "-" factor | "(" sum ")" | FUNCTION "(" sum ")" | selector
    selector := name [ "{" label ("=" | "!=" | "=~" | "!~") '"text"' ("," ...)* "}" ]

A selector stands for all its series. Functions make one number of them; arithmetic takes single
numbers. There is no `rate`: it would need two readings.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from shunt.advisors.exposition import NAME, Sample
from shunt.errors import ParseError

Values: TypeAlias = Sequence[float]
Term: TypeAlias = Callable[[Sequence[Sample]], Values]

_TOKEN = re.compile(
    rf'\s*(?:([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)|({NAME})|("(?:[^"\\]|\\.)*")|(=~|!~|!=|[-+*/(){{}},=]))'
)
_FUNCTIONS: Mapping[str, Callable[[Values], float]] = {
    "sum": math.fsum,
    "avg": lambda values: math.fsum(values) / len(values),
    "min": min,
    "max": max,
    "count": lambda values: float(len(values)),
}
_LONGEST = 2000
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression; one is like another that was written like it.

    Attributes:
        text: how it was written.
        term: what makes a value of samples.
        names: of the metrics that it uses.
    """

    text: str
    term: Term = field(compare=False)
    names: frozenset[str] = field(compare=False)

    def value(self, samples: Sequence[Sample]) -> float:
        """Return the number for these metrics.

        Raises:
            ParseError: a series is not there, or the result is no single number.
        """
        found = _single(self.term(samples), self.text)
        if not math.isfinite(found):
            raise ParseError(f"{self.text} gives no number but {found}")
        return found


def parse(text: str) -> Expression:
    """Return an expression.

    Raises:
        ParseError: it is none; the message shows where.
    """
    if len(text) > _LONGEST:
        raise ParseError(f"an expression of more than {_LONGEST} characters")
    reading = _Reading(text)
    term = reading.sum()
    reading.end()
    return Expression(text, term, frozenset(reading.names))


def _single(values: Values, what: str) -> float:
    if len(values) != 1:
        found = "no series matches" if not values else f"{len(values)} series match"
        raise ParseError(f"{what}: {found}; make one number of them, as with sum(...)")
    return values[0]


class _Reading:
    """A recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        self.names: set[str] = set()
        self._text = text
        self._at = 0
        self._depth = 0

    def sum(self) -> Term:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong("too many parentheses")
        term = self._chain(("+", "-"), self._product)
        self._depth -= 1
        return term

    def end(self) -> None:
        if self._text[self._at :].strip():
            raise self._wrong("an operator")

    def _chain(self, operators: tuple[str, ...], part: Callable[[], Term]) -> Term:
        term = part()
        while (sign := self._take(*operators)) is not None:
            term = _binary(sign, term, part())
        return term

    def _product(self) -> Term:
        return self._chain(("*", "/"), self._factor)

    def _factor(self) -> Term:
        if self._take("-"):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise self._wrong("fewer signs")
            term = _binary("*", lambda _: (-1.0,), self._factor())
            self._depth -= 1
            return term
        if self._take("("):
            return self._closed()
        found = self._match()
        if found and found[1]:
            self._at = found.end()
            number = float(found[1])
            return lambda _: (number,)
        if found and found[2]:
            self._at = found.end()
            if self._take("("):
                return self._call(found[2])
            return self._selector(found[2])
        raise self._wrong("a number, a metric or a parenthesis")

    def _closed(self) -> Term:
        term = self.sum()
        if not self._take(")"):
            raise self._wrong("a closing parenthesis")
        return term

    def _call(self, name: str) -> Term:
        if name not in _FUNCTIONS:
            raise ParseError(f"no function is called {name!r}; there is {', '.join(_FUNCTIONS)}")
        function, inner, text = _FUNCTIONS[name], self._closed(), self._text

        def term(samples: Sequence[Sample]) -> Values:
            values = inner(samples)
            if not values and name != "count":
                raise ParseError(f"{text}: {name}() of no series")
            return (function(values),)

        return term

    def _selector(self, name: str) -> Term:
        self.names.add(name)
        tests = self._matchers() if self._take("{") else []

        def term(samples: Sequence[Sample]) -> Values:
            return [
                sample.value
                for sample in samples
                if sample.name == name and all(test(sample.labels) for test in tests)
            ]

        return term

    def _matchers(self) -> list[Callable[[Mapping[str, str]], bool]]:
        tests = []
        while not self._take("}"):
            label = self._match()
            if not label or not label[2]:
                raise self._wrong("a label")
            self._at = label.end()
            sign = self._take("=~", "!~", "!=", "=")
            wanted = self._match()
            if sign is None or not wanted or not wanted[3]:
                raise self._wrong('=, !=, =~ or !~ and a "text"')
            self._at = wanted.end()
            tests.append(_test(label[2], sign, wanted[3][1:-1]))
            if not self._take(",") and self._text[self._at :].lstrip()[:1] != "}":
                raise self._wrong("a comma or a closing brace")
        return tests

    def _match(self) -> re.Match[str] | None:
        return _TOKEN.match(self._text, self._at)

    def _take(self, *signs: str) -> str | None:
        found = self._match()
        if found and found[4] in signs:
            self._at = found.end()
            return found[4]
        return None

    def _wrong(self, wanted: str) -> ParseError:
        rest = self._text[self._at :].strip()[:20]
        return ParseError(f"{self._text!r}: {wanted} must stand before {rest!r}")


def _binary(sign: str, left: Term, right: Term) -> Term:
    operation = {
        "+": operator.add, "-": operator.sub, "*": operator.mul, "/": _quotient,
    }[sign]  # fmt: skip

    def term(samples: Sequence[Sample]) -> Values:
        return (
            operation(_single(left(samples), "left side"), _single(right(samples), "right side")),
        )

    return term


def _quotient(left: float, right: float) -> float:
    return left / right if right else math.nan


def _test(label: str, sign: str, wanted: str) -> Callable[[Mapping[str, str]], bool]:
    if sign in {"=", "!="}:
        return lambda labels: (labels.get(label, "") == wanted) == (sign == "=")
    try:
        form = re.compile(wanted)
    except re.error as error:
        raise ParseError(f"{wanted!r} is no regular expression: {error}") from None
    return lambda labels: (form.fullmatch(labels.get(label, "")) is not None) == (sign == "=~")
