"""The words of setting up a server: commands, facts, steps, findings, plans, drivers.

A *fact* is a command that changes nothing and whose output a driver parses. A *plan* is what is
still to be done, as *steps*, and what is wrong or worth knowing, as *findings*. A driver is pure:
it names commands and judges outputs; runners execute.

What undoes a step is said by the step itself, when it is planned, from what was observed then.
The executor writes these undo commands to a record on the server *before* the step is done, and
keeps the oldest undo of each step's id. So removal needs no driver: it is the record, backwards.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.model.addresses import Address
    from shunt.model.config import OperatingSystem
    from shunt.servers.wish import Wish

Shell = Literal["sh", "powershell", "cmd"]


@dataclass(frozen=True, slots=True)
class Command:
    """A command for a server.

    Attributes:
        argv: For `sh` and `cmd`: program and arguments, unquoted; the runner or the script quotes.
            For `powershell`: one element, a statement that is passed as written.
        stdin: Text for its standard input, if any.
        shell: What understands it.
        ok: Exit statuses that mean it worked. A PowerShell statement that throws has status 1.
        file: The one file (also under /proc/sys) whose whole content this command sets, if it is of
            that kind. A script keeps the former content and gives it back, since it cannot know it
            when it is written; a runner uses the undo commands, which do know.
    """

    argv: tuple[str, ...]
    stdin: str | None = None
    shell: Shell = "sh"
    ok: tuple[int, ...] = (0,)
    file: str | None = None

    @classmethod
    def sh(cls, line: str, *, stdin: str | None = None, ok: tuple[int, ...] = (0,)) -> Command:
        """Return a command that has `sh` interpret `line` (pipes, tests, redirections)."""
        return cls(("sh", "-c", line), stdin, ok=ok)

    @classmethod
    def powershell(cls, statement: str) -> Command:
        """Return a PowerShell statement."""
        return cls((statement,), None, "powershell")

    @classmethod
    def write(cls, path: str, content: str, *, mode: str = "644") -> Command:
        """Return a command that puts `content` into a file of a Unix server, all or nothing."""
        new = shlex.quote(f"{path}.shunt-new")
        old = shlex.quote(path)
        folder = shlex.quote(str(PurePosixPath(path).parent))
        line = f"mkdir -p {folder} && cat > {new} && chmod {mode} {new} && mv -f {new} {old}"
        return cls(("sh", "-c", line), content, file=path)

    @classmethod
    def delete(cls, path: str) -> Command:
        """Return a command that removes a file of a Unix server; gone already is right."""
        return cls(("rm", "-f", path), file=path)

    @property
    def text(self) -> str:
        """Return the command as a person would type it; standard input is not shown."""
        if self.shell == "powershell":
            return self.argv[0]
        if self.argv[:2] == ("sh", "-c"):
            return self.argv[2]
        return shlex.join(self.argv) if self.shell == "sh" else " ".join(self.argv)


@dataclass(frozen=True, slots=True)
class Output:
    """What a command gave back: text of both streams, exit status."""

    stdout: str
    stderr: str = ""
    status: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    """A question to the server; `name` is its key among the outputs."""

    name: str
    command: Command


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a server.

    Attributes:
        id: Its stable name, unique within a plan. A later plan that does the same thing again
            uses the same id, and no other thing does. A step that adds a cluster address is called
            `alias:ADDRESS`, one that brings it back at the next boot `keep:ADDRESS`: they are
            undone by themselves when the address is not wanted any more. `keep:` with a file or a
            switch serves all addresses: it goes with the last one.
        what: What is done, as a sentence without the command.
        why: What goes wrong without it.
        do: The commands that do it. Each must be safe to repeat.
        check: Commands that all succeed if, and only if, it is done. In PowerShell: expressions
            that are true. Never empty.
        undo: The commands that bring back what was observed. They must also succeed when there is
            nothing to undo (the step was not reached, or somebody undid it by hand).
        note: What the operator should know besides.
    """

    id: str
    what: str
    why: str
    do: tuple[Command, ...]
    check: tuple[Command, ...]
    undo: tuple[Command, ...]
    note: str | None = None


class Severity(IntEnum):
    """How bad a finding is: worth knowing, likely to bite, does not work or will not last."""

    NOTE = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that no step of the plan sets right: what, why it matters, what to do."""

    severity: Severity
    what: str
    why: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """Something that a server has and that must not be lost: an address, a route, a setting.

    Attributes:
        what: It in words; the same words, the same thing.
        about: The addresses that it is about: where one is a cluster address, it may go with it.
        steps: Ids of steps that would change it, and take it away when they are undone.
        restore: The command that brings it back, if one does.
    """

    what: str
    about: frozenset[Address] = frozenset()
    steps: frozenset[str] = frozenset()
    restore: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is still to be done, in this order, and what was found besides.

    `obsolete` are the ids of recorded steps that have no place in what is wanted, and are undone
    before anything is done: a file of a network manager that is not in charge any more.
    """

    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    obsolete: tuple[str, ...] = ()

    def __add__(self, other: Plan) -> Plan:
        """Return both plans, one after the other."""
        return Plan(
            self.steps + other.steps,
            self.findings + other.findings,
            self.obsolete + other.obsolete,
        )

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do and nothing found makes the server unfit, now or later."""
        nothing_to_do = not self.steps and not self.obsolete
        return nothing_to_do and all(f.severity < Severity.ERROR for f in self.findings)


ObservedT = TypeVar("ObservedT")


class Driver(Protocol[ObservedT]):
    """One operating system. Modules offer theirs as `DRIVER`."""

    @property
    def system(self) -> OperatingSystem:
        """Return the system that this driver is for."""
        ...

    def facts(self, wish: Wish) -> tuple[Fact, ...]:
        """Return the commands to ask. Besides these, `outputs["record"]` is always there."""
        ...

    def observe(self, wish: Wish, outputs: Mapping[str, Output]) -> ObservedT:
        """Return what the outputs say; `outputs["record"]` is for `record.parse`.

        Raises:
            ParseError: An output is empty, cut off, failed or in an unknown form.
        """
        ...

    def unseen(self, wish: Wish) -> ObservedT:
        """Return a host as delivered, which nobody has looked at: for scripts and the reference."""
        ...

    def plan(self, observed: ObservedT, wish: Wish) -> Plan:
        """Return what separates `observed` from `wish`; empty once it is fulfilled."""
        ...

    def inventory(self, observed: ObservedT) -> tuple[Item, ...]:
        """Return what must be there after a removal if it was there before."""
        ...
