"""Who executes: examines a server, applies a plan step by step, takes everything back.

Nothing here knows an operating system. What is done is written to the server's record first, so a
set-up that is killed at any point can be finished by a second one, or removed. What changes a
server holds its lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from shunt.errors import ParseError, RemoteError, ShuntError, StillRunningError
from shunt.servers import proof
from shunt.servers import record as records
from shunt.servers.bundle import run_all
from shunt.servers.drivers.registry import driver_for
from shunt.servers.lock import locked
from shunt.servers.steps import Command, Finding, Plan, Severity, Step

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
Consent = Callable[["Wish", "Examination"], None]
"""Asked before a server is changed, with what is to be undone and done; raises to refuse."""


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
        record = records.parse(outputs[records.NAME])
        strangers = _strangers(record, wish)
        if strangers:
            return Examination(Plan(findings=strangers), record)
        plan = driver.plan(driver.observe(wish, outputs), wish)
    except ParseError as error:
        # The person's request was right: it is the host that gave no usable answer.
        raise RemoteError(error.message, hint=error.hint) from error
    except proof.NOT_UNDERSTOOD as error:
        raise RemoteError(
            f"an answer of this server was not understood: {type(error).__name__}: {error}",
            hint="this is a bug in Shunt; --debug adds the traceback for a report",
        ) from error
    return Examination(plan, record, record.stale(wish.clusters, plan.obsolete))


def _strangers(record: Record, wish: Wish) -> tuple[Finding, ...]:
    """Return what keeps a wish that was typed from undoing what it does not speak of."""
    if wish.only:
        return ()
    others = sorted(map(str, record.addresses - {*wish.clusters, *wish.bare}))
    if not others:
        return ()
    return (
        Finding(
            Severity.ERROR,
            f"Shunt has set up this server for {', '.join(others)}, too",
            "what keeps the addresses is written for all of them at once, so to set up those named"
            " alone would take the others back",
            "name all of them with --cluster; or take the others back with --only",
        ),
    )


async def apply(
    runner: Runner, wish: Wish, report: Report, *, consent: Consent | None = None
) -> Result:
    """Do what is missing, each step checked; if one fails, undo what this call has done.

    Raises:
        InUseError: `consent` refuses; nothing was changed.
        RemoteError: A step failed, somebody else is at it, or the server could not be asked.
    """
    async with locked(runner, wish) as renewal:
        return await _Hands(runner, wish, report, renewal, consent).apply()


async def remove(
    runner: Runner,
    wish: Wish,
    report: Report,
    *,
    forget: bool = False,
    consent: Consent | None = None,
) -> Result:
    """Undo everything that the server's record names, the newest first but silence last.

    With `forget`, what cannot be undone is taken off the record all the same, and told.

    Raises:
        InUseError: `consent` refuses; nothing was changed.
        RemoteError: Something could not be undone; the record keeps it, and with it silence, since
            it may be an address that is left.
    """
    async with locked(runner, wish) as renewal:
        return await _Hands(runner, wish, report, renewal, consent).remove(forget=forget)


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


@dataclass(frozen=True, slots=True)
class _Hands:
    """Who changes one server while it is locked; `renewal` fails once the lock is lost."""

    runner: Runner
    wish: Wish
    report: Report
    renewal: Command
    consent: Consent | None = None

    async def apply(self) -> Result:
        before = await examine(self.runner, self.wish, self.report)
        if self.consent:
            self.consent(self.wish, before)
        for entry in before.stale:
            self._tell(Stage.UNDOING, entry.what)
        record = replace(before.record, clusters=self.wish.clusters)
        record, losses = await self._undo(record, before)
        steps = before.plan.steps
        if before.stale:  # more may have gone with it: addresses, with their manager's profile
            steps = (await examine(self.runner, self.wish, self.report)).plan.steps
        if steps or (record.entries and record != before.record):
            await self._must(self._writing(record.with_steps(steps)))
        reached: list[Step] = []
        for step in steps:
            self._tell(Stage.DOING, step.what)
            reached.append(step)
            try:
                await self._must(*step.do, *map(as_check, step.check))
            except StillRunningError as error:
                raise StillRunningError(
                    f"{error.message}; nobody saw it end, so nothing was undone",
                    hint="see what is going on there; then `apply` again, or `remove`",
                ) from error
            except ShuntError as error:
                await self._fall_back(record, reached, error)
        self._tell(Stage.PROVING)
        changed = bool(steps or before.stale)
        now = await examine(self.runner, self.wish, self.report) if changed else before
        now = replace(now, plan=now.plan + Plan(findings=losses))
        undone = (f"undid: {entry.what}" for entry in before.stale)
        return Result((*undone, *(step.what for step in reached)), now)

    async def remove(self, *, forget: bool) -> Result:
        self._tell(Stage.ASKING)
        before = record = await _record(self.runner, self.wish)
        if self.consent:
            self.consent(self.wish, Examination(Plan(), record, record.removal()))
        first = await self._look(before)
        undone: list[str] = []
        stuck: dict[str, str] = {}
        for entry in record.removal():
            if stuck and not forget and entry.id.startswith("silence:"):
                continue
            self._tell(Stage.UNDOING, entry.what)
            shorter = record.without([entry.id])
            failure = await self._failure(*entry.undo, self._writing(shorter))
            if failure is None:
                undone.append(f"undid: {entry.what}")
            else:
                stuck[entry.what] = failure
                if not forget:
                    continue
                await self._must(self._writing(shorter))
            record = shorter
        if stuck and not forget:
            told = "; ".join(f"{what} ({failure})" for what, failure in stuck.items())
            raise RemoteError(
                f"could not be undone, and stays on the record: {told}",
                hint="mend it, then `remove` again; or leave it: --forget takes it off the record",
            )
        left = await _record(self.runner, self.wish)
        findings: tuple[Finding, ...] = ()
        if first is not None:
            self._tell(Stage.PROVING)
            last = await proof.look(self.runner, self.wish, before.addresses)
            findings = proof.judge(first, last, before, self.wish)
        forgotten = tuple(_forgotten(what, failure) for what, failure in stuck.items())
        return Result(tuple(undone), Examination(Plan(findings=forgotten + findings), left))

    async def _look(self, record: Record) -> proof.Look | None:
        """Return what the server is before a removal; None if there is nothing to remove."""
        if not record.entries:
            return None
        return await proof.look(self.runner, self.wish, record.addresses)

    def _tell(self, stage: Stage, text: str = "") -> None:
        self.report(Event(self.wish.server.name, stage, text))

    def _writing(self, record: Record) -> Command:
        return records.write(self.wish, record)

    async def _undo(
        self, record: Record, before: Examination
    ) -> tuple[Record, tuple[Finding, ...]]:
        """Undo what is stale, take each off the record; return what is left, and what was lost."""
        if not before.stale:
            return record, ()
        first = await self._look(before.record)
        for entry in before.stale:
            record = record.without([entry.id])
            await self._must(*entry.undo, self._writing(record))
        last = await self._look(before.record)
        return record, proof.losses(first, last, before.record, self.wish)

    async def _must(self, *commands: Command) -> None:
        """Run the commands one after the other, up to the first that fails.

        Raises:
            RemoteError: One failed, or somebody else has taken over the server.
        """
        failure = await self._failure(*commands)
        if failure is not None:
            raise RemoteError(failure)

    async def _failure(self, *commands: Command) -> str | None:
        """Run the commands up to the first that fails, and return what is to be said of it.

        Raises:
            RemoteError: Nothing can be run, or somebody else has taken over the server.
        """
        outputs = await run_all(self.runner, (self.renewal, *commands), stop=True)
        last, failed = outputs[-1], len(outputs) - 2
        if failed < 0:
            raise RemoteError(
                "somebody else has taken over this server meanwhile",
                hint="see who changes it; then `apply` again, or `remove`",
            )
        if last.status not in commands[failed].ok:
            said = last.stderr.strip() or last.stdout.strip() or f"exit status {last.status}"
            first, _, more = commands[failed].text.partition("\n")
            return f"`{first}{' ...' if more else ''}` failed: {said}"
        return None

    async def _fall_back(self, before: Record, reached: list[Step], error: ShuntError) -> None:
        """Undo the steps reached, the last first, restore the record, and raise the error again.

        Silence stays once something could not be undone: that may be an address it is needed for.
        """
        stuck: list[str] = []
        kept: list[Step] = []
        for step in reversed(reached):
            if stuck and step.id.startswith("silence:"):
                kept.append(step)
                continue
            self._tell(Stage.UNDOING, step.what)
            try:
                if step.undo:
                    await self._must(*step.undo)
            except ShuntError as second:
                stuck.append(f"{step.what} ({second.message})")
                kept.append(step)
        try:
            await self._must(self._writing(before.with_steps(reversed(kept))))
        except ShuntError as second:
            stuck.append(f"the record ({second.message})")
        outcome = (
            f"; could not be undone: {'; '.join(stuck)}" if stuck else "; everything was undone"
        )
        raise RemoteError(f"{error.message}{outcome}", hint=error.hint) from error


def _forgotten(what: str, failure: str) -> Finding:
    return Finding(
        Severity.ERROR,
        f"not undone, and forgotten: {what}",
        failure,
        "look whether something of it is left, and undo it by hand",
    )


def as_check(command: Command) -> Command:
    """Return a command that fails unless the check holds; for PowerShell, unless it is true."""
    if command.shell != "powershell":
        return command
    return replace(command, argv=(f"if (-not ({command.argv[0]})) {{ throw 'it is not so' }}",))
