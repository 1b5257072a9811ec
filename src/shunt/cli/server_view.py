"""How `shunt server` shows its progress and its results."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from shunt.cli.terminal import complain_in_full
from shunt.errors import InUseError, NoWayInError, ShuntError
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


def standing(outcome: Outcome[Examination] | Outcome[Result]) -> str:
    """Return one word for the summary."""
    now = _now(outcome)
    if now is None:
        if isinstance(outcome.error, NoWayInError):
            return "by hand"
        return "refused" if isinstance(outcome.error, InUseError) else "failed"
    if now.settled:
        return "right"
    return "to do" if now.plan.steps or now.stale else "wrong"


def exit_code(outcomes: Sequence[Outcome[Examination] | Outcome[Result]], *, named: bool) -> int:
    """Return 0 if all is right, 1 if something is not, 3 if a server could not tell.

    A server that nobody lets in was not asked. It counts only where it was `named`, or where no
    other one was asked: then nothing is known.
    """
    states = [standing(outcome) for outcome in outcomes]
    asked = [state for state in states if state != "by hand"]
    if "failed" in states or not asked or (named and len(asked) < len(states)):
        return 3
    return 0 if all(state == "right" for state in asked) else 1


def _now(outcome: Outcome[Examination] | Outcome[Result]) -> Examination | None:
    value = outcome.value
    return value.now if isinstance(value, Result) else value


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class View:
    """How much is printed; `--json` is always the whole."""

    only_wrong: Annotated[bool, Parameter(negative=())] = False
    """Leave out the servers that are right."""

    quiet: Annotated[bool, Parameter(name=("-q", "--quiet"), negative=())] = False
    """Print one line for servers that are not right, and nothing where the exit status is 0."""


WHOLE = View()


def show(
    out: Output, outcomes: Sequence[Outcome[Examination] | Outcome[Result]], view: View = WHOLE
) -> None:
    """Print steps and findings, once for servers that are equal, and a table of several."""
    groups: dict[object, list[Outcome[Examination] | Outcome[Result]]] = {}
    for outcome in outcomes:
        if standing(outcome) != "right" or not (view.only_wrong or view.quiet):
            groups.setdefault(_likeness(outcome), []).append(outcome)
    for equal in groups.values():
        _one(out, equal, view)
    if len(outcomes) > 1 and not view.quiet:
        _table(out, groups.values())
        right = sum(standing(outcome) == "right" for outcome in outcomes)
        if view.only_wrong and right:
            out.console.print(f"right and left out: {right} of {len(outcomes)}")


def _table(out: Output, groups: Iterable[Sequence[Outcome[Examination] | Outcome[Result]]]) -> None:
    table = Table(box=None, pad_edge=False, show_header=True)
    for title in ("servers", "state", "steps", "findings"):
        table.add_column(title)
    for equal in groups:
        value, now = equal[0].value, _now(equal[0])
        done = len(value.done) if isinstance(value, Result) else len(now.plan.steps) if now else 0
        word = standing(equal[0])
        colour = {"right": "green", "to do": "yellow", "by hand": "yellow"}.get(word, "red")
        findings = str(len(now.plan.findings)) if now else ""
        table.add_row(escape(_names(equal)), f"[{colour}]{word}[/]", str(done), findings)
    if table.rows:
        out.console.print(table)


def _likeness(outcome: Outcome[Examination] | Outcome[Result]) -> object:
    """Return what is the same for servers of which the same is to be said."""
    value, now = outcome.value, _now(outcome)
    if now is None:
        by_hand = isinstance(outcome.error, NoWayInError)
        return "by hand" if by_hand else outcome.server  # an error speaks of one server
    done = value.done if isinstance(value, Result) else ()
    return done, tuple((e.id, e.what) for e in now.stale), now.plan.steps, now.plan.findings


def _names(equal: Sequence[Outcome[Examination] | Outcome[Result]]) -> str:
    return ", ".join(outcome.server for outcome in equal)


def tracebacks(outcomes: Sequence[Outcome[Examination] | Outcome[Result]]) -> None:
    """Print on stderr what a bug report needs: where errors of Shunt's own came from."""
    for outcome in outcomes:
        if outcome.error and not isinstance(outcome.error.__cause__, ShuntError | None):
            complain_in_full(outcome.error)


def _one(out: Output, equal: Sequence[Outcome[Examination] | Outcome[Result]], view: View) -> None:
    console, value, error, now = out.console, equal[0].value, equal[0].error, _now(equal[0])
    names, word = escape(_names(equal)), standing(equal[0])
    if now is None:
        assert error is not None
        if word == "by hand":
            console.print(f"[bold]{names}[/]: by hand: the configuration has no way in")
            hint: str | None = "add `via: ssh://root@...`, or use `shunt server script NAME`"
        else:
            console.print(f"[red]{names}: {escape(error.message)}[/]")
            hint = error.hint
        if hint and not view.quiet:
            console.print(f"  {escape(hint)}")
        return
    if view.quiet:
        console.print(f"{names}: {word}: {escape(_first(now))}")
        return
    console.print(f"[bold]{names}[/]: {word}")
    for text in value.done if isinstance(value, Result) else ():
        console.print(f"  [green]done[/]  {escape(text)}")
    for entry in now.stale:
        console.print(f"  [yellow]undo[/]  {escape(entry.what)}")
    for number, step in enumerate(now.plan.steps, 1):
        _step(out, number, step)
    for finding in now.plan.findings:
        _finding(out, finding)


def _first(now: Examination) -> str:
    """Return the first thing that is not right, and how many more there are."""
    errors = [f.what for f in now.plan.findings if f.severity is Severity.ERROR]
    undone = [f"undo: {entry.what}" for entry in now.stale]
    found = [*errors, *undone, *(step.what for step in now.plan.steps)]
    return found[0] + (f" (and {len(found) - 1} more)" if found[1:] else "")


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
    head: dict[str, JsonValue] = {"server": outcome.server, "state": standing(outcome)}
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
