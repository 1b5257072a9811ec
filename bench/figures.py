"""How figures are gathered and shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Plot:
    """What a figure shows at a glance: a line for each series, x on a logarithmic scale."""

    name: str
    x: str
    y: str
    series: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One table of a benchmark, and what it says about its targets."""

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = field(default_factory=tuple)
    plot: Plot | None = None

    def markdown(self) -> str:
        """Return the table as Markdown."""
        if not self.rows:
            return f"### {self.title}\n"
        heads = list(self.rows[0])
        lines = [f"### {self.title}", "", "| " + " | ".join(heads) + " |"]
        lines.append("|" + "|".join(" --- " for _ in heads) + "|")
        lines += ["| " + " | ".join(_cell(row[head]) for head in heads) + " |" for row in self.rows]
        lines += ["", *(f"- {note}" for note in self.notes), ""]
        return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def interleaved(
    measures: Mapping[str, Callable[[], float]],
    rounds: int,
    pick: Callable[[Sequence[float]], float] = median,
) -> dict[str, float]:
    """Return what `pick` makes of each measure, over rounds in which all take turns.

    So noise hits all alike. Where noise can only add, as to the cost of a packet, pick `min`.
    """
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            taken[name].append(measure())
    return {name: pick(values) for name, values in taken.items()}
