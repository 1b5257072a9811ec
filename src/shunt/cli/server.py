"""`shunt server`: plan, apply, check and remove the set-up of servers, or print it as a script."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import App, Parameter

from shunt.cli import server_runtime, server_view
from shunt.cli.output import Output
from shunt.cli.server_choice import (
    Choice,
    access,
    need_clusters,
    need_no_addresses,
    need_root,
    wishes,
)
from shunt.cli.server_traffic import CAREFUL, Care, consent
from shunt.cli.server_view import WHOLE, View
from shunt.cli.terminal import show_messages_of_libraries, tell

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from shunt.servers.apply import Examination, Report, Result
    from shunt.servers.fleet import Outcome
    from shunt.servers.runners.base import Runner
    from shunt.servers.wish import Wish

T = TypeVar("T", "Examination", "Result")

app = App(name="server", help="Set up the servers: silence, alias, routes, and what makes it last.")
Json = Annotated[bool, Parameter(help="Print one JSON document.", negative=())]
DryRun = Annotated[bool, Parameter(help="Change nothing; say what would be done.", negative=())]
Forget = Annotated[
    bool, Parameter(help="Take what cannot be undone off the record, too.", negative=())
]
_ANY = Choice()

for _command in (server_runtime.weight, server_runtime.quiesce, server_runtime.unquiesce):
    app.command(_command)


@app.command
def plan(*names: str, choice: Choice = _ANY, view: View = WHOLE, json: Json = False) -> int:
    """Show what is still to be done on servers, with the commands and the reasons.

    Changes nothing. Leaves with 0 if nothing is to be done, 1 if something is, 3 if a host failed.

    For example: `shunt server plan --all`, or on the server itself
    `shunt server plan --local --cluster 192.0.2.10`
    """
    from shunt.servers.apply import examine

    chosen = wishes(names, choice)
    need_clusters(chosen, choice)
    return _finish(Output(json=json), chosen, choice, view, lambda report: _with(examine, report))


@app.command
def check(*names: str, choice: Choice = _ANY, view: View = WHOLE, json: Json = False) -> int:
    """Say whether servers are as they must be, and why not.

    The same as `plan`, for monitoring: 0 right, 1 something is missing or wrong, 3 a host failed.

    For example: `shunt server check --all --quiet`, or `shunt server check a b --json`
    """
    return plan(*names, choice=choice, view=view, json=json)


@app.command
def apply(
    *names: str,
    choice: Choice = _ANY,
    view: View = WHOLE,
    care: Care = CAREFUL,
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Do what is missing on servers: each step is checked, and undone if a later one fails.

    May be repeated. What would interrupt traffic that the dispatcher on this host gives to the
    server is refused, unless with `--force`. Leaves with 0 if all is right then, 1 if something is
    left that you must do, 3 if a host failed.

    For example: `shunt server apply a b`, or on the server itself
    `shunt server apply --local --cluster 192.0.2.10`
    """
    from shunt.servers.apply import apply as do

    if dry_run:
        return plan(*names, choice=choice, view=view, json=json)
    chosen = wishes(names, choice)
    need_clusters(chosen, choice)
    need_root(chosen)
    out = Output(json=json)
    carefully = partial(do, consent=consent(care, out))
    return _finish(out, chosen, choice, view, lambda report: _with(carefully, report))


@app.command
def remove(
    *names: str,
    choice: Choice = _ANY,
    view: View = WHOLE,
    care: Care = CAREFUL,
    forget: Forget = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Take away what Shunt did on servers, and give back what it had changed.

    Leaves with 0 if nothing of it is left, 1 if something is, 3 if a host failed. What cannot be
    undone stays on the server's record, and silence with it. A server that the dispatcher on this
    host gives traffic to is left as it is, unless with `--force`.

    For example: `shunt server remove --all`, or on the server itself `shunt server remove --local`
    """
    from shunt.servers.apply import recorded
    from shunt.servers.apply import remove as undo

    need_no_addresses(choice)
    chosen = wishes(names, choice)
    out = Output(json=json)
    if dry_run:
        return _finish(out, chosen, choice, view, lambda report: _with(recorded, report))
    need_root(chosen)
    wholly = partial(undo, forget=forget, consent=consent(care, out))
    return _finish(out, chosen, choice, view, lambda report: _with(wholly, report))


@app.command
def script(*names: str, choice: Choice = _ANY) -> int:
    """Print the set-up of one server as a commented script with check, apply and undo.

    For those who let nobody in: a shell script, for Windows PowerShell (a batch file for 2003).

    For example: `shunt server script a > shunt-a.sh`
    """
    from shunt.errors import UsageError
    from shunt.servers.scripts.writing import write_script

    chosen = wishes(names, choice)
    need_clusters(chosen, choice)
    if len(chosen) != 1:
        raise UsageError("a script is for one server", hint="name one")
    tell(write_script(chosen[0]), end="")
    return 0


def _with(
    job: Callable[[Runner, Wish, Report], Awaitable[T]], report: Report
) -> Callable[[Runner, Wish], Awaitable[T]]:
    return lambda runner, wish: job(runner, wish, report)


def _finish(
    out: Output,
    chosen: Sequence[Wish],
    choice: Choice,
    view: View,
    job: Callable[[Report], Callable[[Runner, Wish], Awaitable[T]]],
) -> int:
    """Do the job on every server, show what came of it, and return the exit code."""
    from shunt.servers.fleet import each

    show_messages_of_libraries()
    way = access(choice, chosen)
    left = {wish.server.name: None for wish in chosen}  # in their order
    with server_view.progress(out, len(chosen)) as (event, advance):

        def finished(outcome: Outcome[T]) -> None:
            del left[outcome.server]
            advance()

        work = each(chosen, job(event), way, at_once=choice.jobs, finished=finished)
        try:
            outcomes: tuple[Outcome[T], ...] = asyncio.run(work)
        except KeyboardInterrupt:
            server_view.interrupted(out, left)
            raise
    out.document(server_view.document(outcomes))
    if not view.quiet or server_view.exit_code(outcomes, named=not choice.all):
        server_view.show(out, outcomes, view)
    if "--debug" in sys.argv:
        server_view.tracebacks(outcomes)
    return server_view.exit_code(outcomes, named=not choice.all)
