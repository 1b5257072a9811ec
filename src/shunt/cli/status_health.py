"""What the checks saw and what the manager made of it, for `shunt status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from rich.table import Table

_HEADINGS = (
    "server",
    "check",
    "load",
    "active",
    "new/s",
    "machine",
    "factor",
    "weight",
    "what was seen",
)
_NUMBERS = {"load", "active", "new/s", "factor", "weight"}


def tables(health: Mapping[str, Any], shown: Collection[str]) -> Iterator[Table]:
    """Yield a table for each service that the manager decides about, and that is to be shown."""
    from rich.markup import escape
    from rich.table import Table

    for name, service in health["services"].items():
        if name not in shown:
            continue
        alert = f"  [red]{escape(service['alert'])}[/]" if service["alert"] else ""
        title = f"checks of {escape(name)}{alert}"
        table = Table(title=title, title_justify="left", box=None, padding=(0, 1),
                      header_style="dim")  # fmt: skip
        for heading in _HEADINGS:
            table.add_column(heading, justify="right" if heading in _NUMBERS else "left")
        for server, row in service["servers"].items():
            table.add_row(server, *_cells(row))
        yield table


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    from rich.markup import escape

    words = row["words"]
    if row["parts"]:
        parts = ", ".join(f"{name} {value:.2f}" for name, value in row["parts"].items())
        words = f"{words}; {parts}"
    if row["falls"]:
        often = "once" if row["falls"] == 1 else f"{row['falls']} times"
        words = f"{words}; fell {often} lately, returns more slowly"
    return (
        _state(row),
        _number(row["load"], ".1f"),
        _number(row["active"], ".0f"),
        _number(row["new"], ".1f"),
        escape(row["machine"] or ""),
        f"{row['factor']:.2f}" if row["parts"] else "",
        str(row["weight"]),
        escape(words),
    )


def _state(row: Mapping[str, Any]) -> str:
    if not row["checked"]:
        return "[yellow]none yet[/]" if row["up"] is None else "[yellow]down before[/]"
    if row["untold"]:
        return f"[yellow]{'up' if row['up'] else 'down'}?[/]"
    where = "" if row["at"] in {None, "cluster"} else " (own address)"
    return f"[green]up[/]{where}" if row["up"] else f"[red]down[/]{where}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
