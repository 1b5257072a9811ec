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
from shunt.servers.drivers.registry import driver_for
from shunt.servers.steps import Command, Output, Plan, Step

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

    `stale` are aliases that Shunt once made and that no service uses any more.
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
    outputs: dict[str, Output] = {}
    for fact in (*driver.facts(wish), records.read(wish)):
        outputs[fact.name] = await runner.run(fact.command)
    try:
        observed = driver.observe(wish, outputs)
        record = records.parse(outputs[records.NAME])
    except ParseError as error:
        # The person's request was right: it is the host that gave no usable answer.
        raise RemoteError(f"{wish.server.name}: {error.message}", hint=error.hint) from error
    return Examination(driver.plan(observed, wish), record, record.stale(wish.clusters))


async def apply(runner: Runner, wish: Wish, report: Report) -> Result:
    """Do what is missing, each step checked; if one fails, undo what this call has done.

    Raises:
        RemoteError: A step failed, or the server could not be asked.
    """
    before = await examine(runner, wish, report)
    for entry in before.stale:
        report(Event(wish.server.name, Stage.UNDOING, entry.what))
    record = await _undo(runner, wish, before.record, before.stale)
    reached: list[Step] = []
    for step in before.plan.steps:
        report(Event(wish.server.name, Stage.DOING, step.what))
        reached.append(step)
        try:
            await _must(runner, records.write(wish, record.with_step(step)))
            record = record.with_step(step)
            await _do(runner, step)
        except ShuntError as error:
            await _fall_back(runner, wish, before.record, reached, report, error)
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
        raise RemoteError(f"{wish.server.name}: {error.message}", hint=error.hint) from error


async def _undo(runner: Runner, wish: Wish, record: Record, entries: tuple[Entry, ...]) -> Record:
    """Undo entries one by one, and take each off the record; return what is left of it."""
    for entry in entries:
        for command in entry.undo:
            await _must(runner, command)
        record = record.without([entry.id])
        await _must(runner, records.write(wish, record))
    return record


async def _do(runner: Runner, step: Step) -> None:
    for command in step.do:
        await _must(runner, command)
    for command in step.check:
        await _must(runner, as_check(command), because=f"{step.what}: done, but the check fails")


async def _must(runner: Runner, command: Command, *, because: str = "") -> None:
    output = await runner.run(command)
    if output.status not in command.ok:
        said = output.stderr.strip() or output.stdout.strip() or f"exit status {output.status}"
        raise RemoteError(f"{because or f'`{command.text}` failed'}: {said}")


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
            for command in step.undo:
                await _must(runner, command)
        except ShuntError as second:
            stuck.append(f"{step.what} ({second.message})")
            kept = kept.with_step(step)
    try:
        await _must(runner, records.write(wish, kept))
    except ShuntError as second:
        stuck.append(f"the record ({second.message})")
    outcome = f"; could not be undone: {'; '.join(stuck)}" if stuck else "; everything was undone"
    raise RemoteError(f"{wish.server.name}: {error.message}{outcome}", hint=error.hint) from error
