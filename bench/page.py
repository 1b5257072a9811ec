"""docs/performance.md: a section for each subject; a run replaces its own and keeps the others."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.plot import svg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.figures import Figure

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_SECTION = re.compile(r"<!-- bench: (\w+) -->\n(.*?)<!-- end -->\n", re.DOTALL)
_HEAD = """\
# Performance

Written by `make bench`; `python -m bench SUBJECT` renews one section. Absolute times belong to the
machine that is named at each section; what carries over are the comparisons within one table, whose
rows took turns in one run. `bench/` has the programs, and at the top of each its method.

"""


def machine() -> dict[str, str]:
    """Return what this machine is: processor, cores, kernel."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
    }


def section(name: str, title: str, figures: Sequence[Figure]) -> str:
    """Return a subject's section."""
    about = ", ".join(f"{what}: {value}" for what, value in machine().items())
    parts = [f"## {title}\n", f"`python -m bench {name}`; {about}\n"]
    for figure in figures:
        if figure.plot:
            parts.append(f"![{figure.title}]({_plot_path(figure.plot.name).name})\n")
        parts.append(figure.markdown())
    return "\n".join(parts)


def merged(page: str, fresh: Mapping[str, str], order: Sequence[str]) -> str:
    """Return the page with fresh sections in place of those of the same subjects."""
    sections = {**dict(_SECTION.findall(page)), **fresh}
    blocks = [
        f"<!-- bench: {name} -->\n{sections[name]}<!-- end -->\n"
        for name in order
        if name in sections
    ]
    return _HEAD + "\n".join(blocks)


def write(fresh: Mapping[str, str], figures: Sequence[Figure], order: Sequence[str]) -> None:
    """Bring the page and its plots up to date."""
    page = PAGE.read_text() if PAGE.exists() else ""
    for figure in figures:
        if figure.plot:
            _plot_path(figure.plot.name).write_text(svg(figure.plot))
    PAGE.write_text(merged(page, fresh, order))


def _plot_path(name: str) -> Path:
    return PAGE.with_name(f"performance-{name}.svg")
