"""Who executes: examines a server, applies a plan step by step, takes everything back.

Nothing here knows an operating system. What is done is written to the server's record first, so a
set-up that is killed at any point can be finished by a second one, or removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from shunt.errors import ParseError, RemoteError, ShuntError
from shunt.servers import record as records
from shunt.servers.bundle import run_all
from shunt.servers.drivers.registry import driver_for
from shunt.servers.steps import Command, Plan, Step

if TYPE_CHECKING:
    from shunt.servers.record import Entry, Record
    from shunt.servers.runners.base import Runner
    from shunt.servers.wish import Wish


class Stage(StrEnum):
    """What is going on."""

    ASKING = "asking"
    DOING = "doing"
    UNDOING = "undoing"
    PROVING = "proving"


@dataclass(frozen=True, slots=True)
class Event:
    """Progress on one server: the stage, and what it is about."""

    server: str
    stage: Stage
    text: str = ""


Report = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Examination:
    """What a server is, against what it shall be.

    `stale` is what Shunt once did and what nobody wants any more.
    """

    plan: Plan
    record: Record
    stale: tuple[Entry, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether there is nothing to do and nothing wrong."""
        return self.plan.settled and not self.stale


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one server: what was done or undone, and how it stands now."""

    done: tuple[str, ...]
    now: Examination


async def examine(runner: Runner, wish: Wish, report: Report) -> Examination:
    """Return what separates the server from the wish; only reads.

    Raises:
        RemoteError: The server could not be asked, or an answer was not understood.
    """
    report(Event(wish.server.name, Stage.ASKING))
    driver = driver_for(wish.server.os)
    facts = (*driver.facts(wish), records.read(wish))
    answers = await run_all(runner, [fact.command for fact in facts])
    outputs = {fact.name: answer for fact, answer in zip(facts, answers, strict=True)}
    try:
        observed = driver.observe(wish, outputs)
        record = records.parse(outputs[records.NAME])
    except ParseError as error:
        # The person's request was right: it is the host that gave no usable answer.
        raise RemoteError(error.message, hint=error.hint) from error
    plan = driver.plan(observed, wish)
    return Examination(plan, record, record.stale(wish.clusters, plan.obsolete))


async def apply(runner: Runner, wish: Wish, report: Report) -> Result:
    """Do what is missing, each step checked; if one fails, undo what this call has done.

    Raises:
        RemoteError: A step failed, or the server could not be asked.
    """
    before = await examine(runner, wish, report)
    for entry in before.stale:
        report(Event(wish.server.name, Stage.UNDOING, entry.what))
    record = await _undo(runner, wish, before.record, before.stale)
    if before.plan.steps:
        await _must(runner, records.write(wish, record.with_steps(before.plan.steps)))
    reached: list[Step] = []
    for step in before.plan.steps:
        report(Event(wish.server.name, Stage.DOING, step.what))
        reached.append(step)
        try:
            await _do(runner, step)
        except ShuntError as error:
            await _fall_back(runner, wish, record, reached, report, error)
    report(Event(wish.server.name, Stage.PROVING))
    now = await examine(runner, wish, report) if before.plan.steps or before.stale else before
    done = (*(f"undid: {entry.what}" for entry in before.stale), *(step.what for step in reached))
    return Result(done, now)


async def remove(runner: Runner, wish: Wish, report: Report) -> Result:
    """Undo everything that the server's record names, the newest first but silence last.

    Raises:
        RemoteError: Something could not be undone; the record keeps it, and what is older.
    """
    report(Event(wish.server.name, Stage.ASKING))
    record = await _record(runner, wish)
    entries = record.removal()
    for entry in entries:
        report(Event(wish.server.name, Stage.UNDOING, entry.what))
        record = await _undo(runner, wish, record, (entry,))
    left = await _record(runner, wish)
    return Result(tuple(f"undid: {entry.what}" for entry in entries), Examination(Plan(), left))


async def recorded(runner: Runner, wish: Wish, report: Report) -> Examination:
    """Return what `remove` would undo, as `stale`; only reads.

    Raises:
        RemoteError: The record could not be read.
    """
    report(Event(wish.server.name, Stage.ASKING))
    record = await _record(runner, wish)
    return Examination(Plan(), record, record.removal())


async def _record(runner: Runner, wish: Wish) -> Record:
    try:
        return records.parse(await runner.run(records.read(wish).command))
    except ParseError as error:
        raise RemoteError(error.message, hint=error.hint) from error


async def _undo(runner: Runner, wish: Wish, record: Record, entries: tuple[Entry, ...]) -> Record:
    """Undo entries one by one, and take each off the record; return what is left of it."""
    for entry in entries:
        record = record.without([entry.id])
        await _must(runner, *entry.undo, records.write(wish, record))
    return record


async def _do(runner: Runner, step: Step) -> None:
    checks = tuple(as_check(command) for command in step.check)
    await _must(runner, *step.do, *checks)


async def _must(runner: Runner, *commands: Command) -> None:
    """Run the commands one after the other, up to the first that fails.

    Raises:
        RemoteError: One failed.
    """
    outputs = await run_all(runner, commands, stop=True)
    last, command = outputs[-1], commands[len(outputs) - 1]
    if last.status not in command.ok:
        said = last.stderr.strip() or last.stdout.strip() or f"exit status {last.status}"
        first, _, more = command.text.partition("\n")
        raise RemoteError(f"`{first}{' ...' if more else ''}` failed: {said}")


def as_check(command: Command) -> Command:
    """Return a command that fails unless the check holds; for PowerShell, unless it is true."""
    if command.shell != "powershell":
        return command
    return replace(command, argv=(f"if (-not ({command.argv[0]})) {{ throw 'it is not so' }}",))


async def _fall_back(
    runner: Runner,
    wish: Wish,
    before: Record,
    reached: list[Step],
    report: Report,
    error: ShuntError,
) -> None:
    """Undo the steps reached, the last first, restore the record, and raise the error again."""
    stuck: list[str] = []
    kept = before
    for step in reversed(reached):
        report(Event(wish.server.name, Stage.UNDOING, step.what))
        try:
            if step.undo:
                await _must(runner, *step.undo)
        except ShuntError as second:
            stuck.append(f"{step.what} ({second.message})")
            kept = kept.with_steps([step])
    try:
        await _must(runner, records.write(wish, kept))
    except ShuntError as second:
        stuck.append(f"the record ({second.message})")
    outcome = f"; could not be undone: {'; '.join(stuck)}" if stuck else "; everything was undone"
    raise RemoteError(f"{error.message}{outcome}", hint=error.hint) from error
