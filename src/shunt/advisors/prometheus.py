"""A machine's load from its Prometheus exporter, such as node_exporter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import TURN, Offload, Reader, WrongAnswerError, up
from shunt.advisors.exposition import samples, slices
from shunt.advisors.expression import Expression, Series, parse
from shunt.advisors.pattern import AT_ONCE
from shunt.advisors.protocols.http import Http, body, head, request_line
from shunt.advisors.settings import SettingError, setting, text
from shunt.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from shunt.advisors.dialogue import Dialogue, Step
    from shunt.advisors.exposition import Sample

_LONGEST = 1 << 21
_AT_ONCE = 300  # comparisons before others get their turn


def expression(value: object) -> Expression:
    """Return an expression over metrics."""
    try:
        return parse(text(value))
    except ParseError as error:
        raise SettingError(error.message) from None


_LOAD_PER_CPU = parse('100 * node_load1 / count(node_cpu_seconds_total{mode="idle"})')


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus(StreamAdvisor):
    """Reads the metrics of a machine and makes a load of 0 to 100 of them."""

    name = "prometheus"
    usual_port = 9100
    speaks_first = True
    at_server = True
    percent = True
    request: str = field(default="GET /metrics", metadata=setting(request_line, "Method and path."))
    expression: Expression = field(
        default=_LOAD_PER_CPU,
        metadata=setting(expression, "What makes a load of 0 (idle) to 100 (full) of the metrics."),
    )

    def contradictions(self) -> Mapping[str, str]:
        """Return what can never be right: metrics of an answer that has no body."""
        if self.request.startswith("HEAD "):
            return {"request": "an answer to HEAD has no metrics; ask by GET"}
        return {}

    def talk(self, target: Target, /) -> Dialogue:
        """Make the request, read the metrics, calculate."""
        yield Http(request=self.request).message(target)
        reader = Reader(_LONGEST)
        code, status, fields = yield from head(reader)
        if code != 200:
            raise WrongAnswerError(status)
        page = (yield from body(reader, fields)).decode("utf-8", "replace")
        try:
            value = self.expression.result((yield from _series(self.expression, page)))
        except ParseError as error:
            raise WrongAnswerError(error.message) from None
        load = min(100.0, max(0.0, value))
        return up(f"load {load:.0f}", load=load)


def _series(wanted: Expression, page: str) -> Generator[Step, bytes, Series]:
    """Return what an expression's selectors find; in many turns, for a page may be large."""
    series, names = Series(wanted.selectors), wanted.names
    due, work = _AT_ONCE, AT_ONCE
    for first, part in slices(page):
        for sample in samples(part, names, first):
            cost = series.cost(sample)
            if series.looks >= due or series.work + cost > work:
                due, work = series.looks + _AT_ONCE, series.work + AT_ONCE
                yield TURN
            if cost > AT_ONCE:
                yield from _taken_apart(series, sample)
            else:
                series.take(sample)
        yield TURN
    return series


def _taken_apart(series: Series, sample: Sample) -> Generator[Step, bytes, None]:
    """Show a sample beside the event loop: its labels are long; raises what `take` does."""
    failed: list[ParseError] = []

    def take() -> bool:
        try:
            series.take(sample)
        except ParseError as error:
            failed.append(error)
        return True

    yield Offload(take)
    if failed:
        raise failed[0]
