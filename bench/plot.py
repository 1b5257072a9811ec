"""A plot as SVG: lines over a logarithmic x axis; reads well on white and on dark pages."""

from __future__ import annotations

from html import escape
from math import ceil, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.figures import Plot

WIDTH, HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 190, 16, 44
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's
_STEPS = (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000)
_MOST_STEPS = 8


def svg(plot: Plot) -> str:
    """Draw a plot; each series needs a point, each x is 1 or more."""
    points = [point for series in plot.series.values() for point in series]
    decades = max(1, ceil(log10(max(x for x, _ in points))))
    highest = max(y for _, y in points)
    step = next((s for s in _STEPS if highest <= s * _MOST_STEPS), _STEPS[-1])
    top = step * max(1, ceil(highest / step))

    def across(x: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * log10(x) / decades

    def down(y: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * max(0.0, y) / top

    def drawing() -> Iterator[str]:
        for mark in range(0, top + 1, step):
            yield _line(across(1), down(mark), across(10**decades), down(mark))
            yield _text(_LEFT - 8, down(mark) + 4, f"{mark}", "end")
        for decade in (10**power for power in range(decades + 1)):
            yield _line(across(decade), down(0), across(decade), down(top))
            yield _text(across(decade), HEIGHT - _BOTTOM + 18, f"{decade:,}", "middle")
        yield _text(across(10 ** (decades / 2)), HEIGHT - 6, plot.x, "middle")
        yield _text(14, down(top / 2), plot.y, "middle", f"rotate(-90 14 {down(top / 2):.0f})")
        for number, (name, series) in enumerate(plot.series.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in series)
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            for x, y in series:
                yield f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3" fill="{colour}"/>'
            height = _TOP + 12 + number * 20
            yield f'<rect x="{WIDTH - _RIGHT + 14}" y="{height - 9}" width="12" height="10" '
            yield f'fill="{colour}"/>'
            yield _text(WIDTH - _RIGHT + 32, height, name, "start")

    style = "text{font:12px sans-serif;fill:#777}line{stroke:#999;stroke-opacity:.35}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    title = f"<title>{escape(plot.y)} by {escape(plot.x)}</title>"
    return "\n".join([head, title, f"<style>{style}</style>", *drawing(), "</svg>\n"])


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, anchor: str, transform: str = "") -> str:
    turn = f' transform="{transform}"' if transform else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>{escape(words)}</text>'
