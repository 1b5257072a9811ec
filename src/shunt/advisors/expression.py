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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from shunt.advisors.exposition import NAME, Sample
from shunt.advisors.pattern import Pattern, pattern
from shunt.advisors.settings import SettingError
from shunt.errors import ParseError

Values: TypeAlias = Sequence[float]
Term: TypeAlias = Callable[[Sequence[Values]], Values]  # of the values of each selector

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
MAX_SERIES = 10_000
_MAX_SELECTORS = 32
_MAX_MATCHERS = 64  # of all selectors together
_MAX_WORK = 1 << 30  # instructions times bytes of labels, for one page: some seconds at worst
_MAX_PROGRAM = 250  # instructions of a pattern, for a label may have 16 KiB


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a label must be; a label that is not there is empty."""

    label: str
    wanted: str | Pattern
    equal: bool

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether it is so."""
        found = labels.get(self.label, "")
        if isinstance(self.wanted, str):
            return (found == self.wanted) == self.equal
        return self.wanted.fullmatch(found.encode()) == self.equal

    def work(self, labels: Mapping[str, str]) -> int:
        """Return what looking costs at most: instructions times bytes; 0 without a pattern."""
        if isinstance(self.wanted, str):
            return 0
        return self.wanted.size * len(labels.get(self.label, "").encode())


@dataclass(frozen=True, slots=True)
class Selector:
    """All series of a metric whose labels match."""

    name: str
    matchers: tuple[Matcher, ...]

    def takes(self, sample: Sample) -> bool:
        """Return whether a sample is one of them."""
        return sample.name == self.name and all(m.matches(sample.labels) for m in self.matchers)


class Series:
    """The values that each selector of an expression has found so far.

    Attributes:
        values: by selector.
        looks: how often something was compared.
        work: what looking for patterns has cost at most, instructions times bytes.
    """

    def __init__(self, selectors: Sequence[Selector]) -> None:
        self.values: list[list[float]] = [[] for _ in selectors]
        self.looks = self.work = 0
        self._selectors = selectors
        self._each = sum(1 + len(selector.matchers) for selector in selectors)
        self._left = MAX_SERIES

    def take(self, sample: Sample) -> None:
        """Show a sample to every selector.

        Raises:
            ParseError: there are too many.
        """
        if self._left == 0:
            names = ", ".join(sorted({selector.name for selector in self._selectors}))
            raise ParseError(f"more than {MAX_SERIES} series of {names}")
        self._left -= 1
        self.looks += self._each
        self.work += self.cost(sample)
        if self.work > _MAX_WORK:
            raise ParseError(
                "the metrics' labels are too long for the patterns that they must match"
            )
        for selector, values in zip(self._selectors, self.values, strict=True):
            if selector.takes(sample):
                values.append(sample.value)

    def cost(self, sample: Sample) -> int:
        """Return how much looking for patterns in a sample adds to `work`."""
        return sum(
            matcher.work(sample.labels)
            for selector in self._selectors
            if selector.name == sample.name
            for matcher in selector.matchers
        )


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression; one is like another that was written like it.

    Attributes:
        text: how it was written.
        term: what makes a value of what the selectors found.
        selectors: what it wants to know.
    """

    text: str
    term: Term = field(compare=False)
    selectors: tuple[Selector, ...] = field(compare=False)

    @property
    def names(self) -> frozenset[str]:
        """Return the metrics that it uses."""
        return frozenset(selector.name for selector in self.selectors)

    def value(self, samples: Iterable[Sample]) -> float:
        """Return the number for these metrics.

        Raises:
            ParseError: a series is not there, or the result is no single number.
        """
        series = Series(self.selectors)
        for sample in samples:
            series.take(sample)
        return self.result(series)

    def result(self, series: Series) -> float:
        """Return the number for these series; raises what `value` does."""
        found = _single(self.term(series.values), self.text)
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
    return Expression(text, term, tuple(reading.selectors))


def _single(values: Values, what: str) -> float:
    if len(values) != 1:
        found = "no series matches" if not values else f"{len(values)} series match"
        raise ParseError(f"{what}: {found}; make one number of them, as with sum(...)")
    return values[0]


class _Reading:
    """A recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        self.selectors: list[Selector] = []
        self._text = text
        self._at = 0
        self._depth = 0
        self._matchers_left = _MAX_MATCHERS

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
        first = part()
        others: list[tuple[str, Term]] = []
        while (sign := self._take(*operators)) is not None:
            others.append((sign, part()))
        return _folded(first, others) if others else first

    def _product(self) -> Term:
        return self._chain(("*", "/"), self._factor)

    def _factor(self) -> Term:
        if self._take("-"):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise self._wrong("fewer signs")
            term = _folded(lambda _: (-1.0,), [("*", self._factor())])
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

        def term(found: Sequence[Values]) -> Values:
            values = inner(found)
            if not values and name != "count":
                raise ParseError(f"{text}: {name}() of no series")
            return (function(values),)

        return term

    def _selector(self, name: str) -> Term:
        matchers = tuple(self._matchers()) if self._take("{") else ()
        index = len(self.selectors)
        if index == _MAX_SELECTORS:
            raise ParseError(f"an expression of more than {_MAX_SELECTORS} metrics")
        self.selectors.append(Selector(name, matchers))
        return lambda found: found[index]

    def _matchers(self) -> list[Matcher]:
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
            self._matchers_left -= 1
            if self._matchers_left < 0:
                raise ParseError(f"an expression of more than {_MAX_MATCHERS} labels")
            tests.append(_matcher(label[2], sign, wanted[3][1:-1]))
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


def _folded(first: Term, others: Sequence[tuple[str, Term]]) -> Term:
    """Return what a row of operations of one rank makes, from left to right."""

    def term(found: Sequence[Values]) -> Values:
        value = _single(first(found), "left side")
        for sign, other in others:
            value = _OPERATIONS[sign](value, _single(other(found), "right side"))
        return (value,)

    return term


def _quotient(left: float, right: float) -> float:
    return left / right if right else math.nan


_OPERATIONS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": _quotient,
}  # fmt: skip


def _matcher(label: str, sign: str, wanted: str) -> Matcher:
    if sign in {"=", "!="}:
        return Matcher(label, wanted, equal=sign == "=")
    try:
        form = pattern(wanted)
    except SettingError as error:
        raise ParseError(str(error)) from None
    if form.size > _MAX_PROGRAM:
        raise ParseError(
            f"`{wanted}` is too large: {form.size} instructions, and {_MAX_PROGRAM} are allowed"
        )
    return Matcher(label, form, equal=sign == "=~")
