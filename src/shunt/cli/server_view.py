"""How `shunt server` shows its progress and its results."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from shunt.cli.terminal import complain_in_full
from shunt.errors import ShuntError
from shunt.servers.apply import Examination, Result, Stage
from shunt.servers.steps import Command, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from shunt.cli.output import JsonValue, Output
    from shunt.servers.apply import Event
    from shunt.servers.fleet import Outcome
    from shunt.servers.steps import Finding, Step

_COLOURS = {Severity.NOTE: "dim", Severity.WARNING: "yellow", Severity.ERROR: "red"}


@contextmanager
def progress(
    out: Output, servers: int
) -> Iterator[tuple[Callable[[Event], None], Callable[[], None]]]:
    """Yield what to call for an event and for a finished server.

    On a terminal a bar moves; elsewhere each change on a server is one line on stderr.
    """
    live = out.err.is_terminal
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=out.err, disable=not live, transient=True)
    task = bar.add_task("servers", total=servers)

    def event(what: Event) -> None:
        text = f"{what.server}: {what.stage} {what.text}".rstrip()
        if live:
            bar.update(task, description=escape(text[:60]).ljust(60))
        elif what.stage in {Stage.DOING, Stage.UNDOING}:
            out.err.print(text, markup=False)

    with bar:
        yield event, lambda: bar.advance(task)


def interrupted(out: Output, servers: Iterable[str]) -> None:
    """Say which servers were not finished when the person pressed Ctrl-C."""
    out.err.print(f"interrupted before the end of {', '.join(servers)}", markup=False)
    out.err.print("  what was begun there is on record: `apply` again, or `remove`", markup=False)


def standing(value: Examination | Result | None) -> str:
    """Return one word for the summary."""
    if value is None:
        return "failed"
    now = value.now if isinstance(value, Result) else value
    if now.settled:
        return "right"
    return "to do" if now.plan.steps or now.stale else "wrong"


def show(out: Output, outcomes: Sequence[Outcome[Examination] | Outcome[Result]]) -> None:
    """Print every server's steps and findings, and a table where there are several."""
    for outcome in outcomes:
        _one(out, outcome)
    if len(outcomes) > 1:
        table = Table(box=None, pad_edge=False)
        for title in ("server", "state", "steps", "findings"):
            table.add_column(title)
        for outcome in outcomes:
            value = outcome.value
            now = value.now if isinstance(value, Result) else value
            done = (
                len(value.done) if isinstance(value, Result) else len(now.plan.steps) if now else 0
            )
            word = standing(value)
            colour = {"right": "green", "to do": "yellow"}.get(word, "red")
            findings = str(len(now.plan.findings)) if now else ""
            table.add_row(escape(outcome.server), f"[{colour}]{word}[/]", str(done), findings)
        out.console.print(table)


def tracebacks(outcomes: Sequence[Outcome[Examination] | Outcome[Result]]) -> None:
    """Print on stderr what a bug report needs: where errors of Shunt's own came from."""
    for outcome in outcomes:
        if outcome.error and not isinstance(outcome.error.__cause__, ShuntError | None):
            complain_in_full(outcome.error)


def _one(out: Output, outcome: Outcome[Examination] | Outcome[Result]) -> None:
    console, value = out.console, outcome.value
    if value is None:
        assert outcome.error is not None
        console.print(f"[red]{escape(outcome.server)}: {escape(outcome.error.message)}[/]")
        if outcome.error.hint:
            console.print(f"  {escape(outcome.error.hint)}")
        return
    now = value.now if isinstance(value, Result) else value
    done = value.done if isinstance(value, Result) else ()
    console.print(f"[bold]{escape(outcome.server)}[/]: {standing(value)}")
    for text in done:
        console.print(f"  [green]done[/]  {escape(text)}")
    for entry in now.stale:
        console.print(f"  [yellow]undo[/]  {escape(entry.what)}")
    for number, step in enumerate(now.plan.steps, 1):
        _step(out, number, step)
    for finding in now.plan.findings:
        _finding(out, finding)


def _step(out: Output, number: int, step: Step) -> None:
    out.console.print(f"  [bold]{number}.[/] {escape(step.what)}")
    out.console.print(f"     [dim]{escape(step.why)}[/]")
    for command in step.do:
        for line in _lines(command):
            out.console.print(f"     {escape(line)}")
    if step.note:
        out.console.print(f"     [yellow]{escape(step.note)}[/]")


def _lines(command: Command) -> Iterator[str]:
    """Yield the command as it is shown; of a file, its content."""
    if command.file and command.stdin is not None:
        yield f"write {command.file}:"
        yield from (f"  | {line}" for line in command.stdin.splitlines())
    else:
        yield from (f"$ {line}" for line in command.text.splitlines())
        if command.stdin is not None:
            yield from (f"  | {line}" for line in command.stdin.splitlines())


def _finding(out: Output, finding: Finding) -> None:
    colour = _COLOURS[finding.severity]
    word = finding.severity.name.lower()
    out.console.print(f"  [{colour}]{word}[/]: {escape(finding.what)}")
    out.console.print(f"     [dim]{escape(finding.why)}[/]")
    if finding.fix:
        out.console.print(f"     {escape(finding.fix)}")


def document(outcomes: Sequence[Outcome[Examination] | Outcome[Result]]) -> JsonValue:
    """Return the outcomes as one JSON document."""
    return {"servers": [_document(outcome) for outcome in outcomes]}


def _document(outcome: Outcome[Examination] | Outcome[Result]) -> JsonValue:
    value = outcome.value
    head: dict[str, JsonValue] = {"server": outcome.server, "state": standing(value)}
    if value is None:
        return head | {"error": _error(outcome.error)}
    now = value.now if isinstance(value, Result) else value
    return head | {
        "done": list(value.done) if isinstance(value, Result) else [],
        "stale": [entry.what for entry in now.stale],
        "steps": [
            {
                "id": step.id,
                "what": step.what,
                "why": step.why,
                "note": step.note,
                "do": [_command(command) for command in step.do],
                "check": [_command(command) for command in step.check],
                "undo": [_command(command) for command in step.undo],
            }
            for step in now.plan.steps
        ],
        "findings": [
            {
                "severity": finding.severity.name.lower(),
                "what": finding.what,
                "why": finding.why,
                "fix": finding.fix,
            }
            for finding in now.plan.findings
        ],
    }


def _command(command: Command) -> JsonValue:
    return {"shell": command.shell, "argv": list(command.argv), "stdin": command.stdin}


def _error(error: ShuntError | None) -> JsonValue:
    return None if error is None else {"message": error.message, "hint": error.hint}
