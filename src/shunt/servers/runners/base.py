"""What a runner is, and how a command becomes a line for the other side."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shunt.errors import UsageError
from shunt.servers.powershell import program
from shunt.servers.runners.ending import gated

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from shunt.model.via import Endpoint
    from shunt.servers.steps import Command, Output

UMASK = 0o022
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Access:
    """How to get in.

    Attributes:
        timeout: Seconds that one command may take.
        connect_timeout: Seconds until a connection must stand.
        identities: Private keys; none means those of the agent and of ~/.ssh.
        known_hosts: The file of host keys, which are always checked; None means ~/.ssh/known_hosts.
        jump: A host to go through, unless the server's own way says which.
        password: For WinRM only; SSH uses keys.
        ca: Certificates that a WinRM server's must descend from; None means the system's.
    """

    timeout: float = 30.0
    connect_timeout: float = 10.0
    identities: tuple[Path, ...] = ()
    known_hosts: Path | None = None
    jump: Endpoint | None = None
    password: str | None = None
    ca: Path | None = None


class Runner(Protocol):
    """Executes commands on one server; an asynchronous context manager."""

    @property
    def timeout(self) -> float:
        """Return the seconds that one command may take."""
        ...

    async def run(self, command: Command) -> Output:
        """Return what the command gave back, whatever its exit status.

        Raises:
            RemoteError: The command could not be started, or took too long and was ended.
            StillRunningError: It took too long or the connection broke, and nobody saw it end.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def namespace(netns: str) -> str:
    """Return the file of a network namespace: a name of `ip netns`, a process's number, a path."""
    if netns.startswith("/"):
        return netns
    if netns.isdigit():
        return f"/proc/{netns}/ns/net"
    if "/" in netns:
        raise UsageError(
            f"{netns!r} names no network namespace",
            hint="give a name of `ip netns`, the number of a process, or an absolute path",
        )
    return f"/run/netns/{netns}"


def argv(command: Command, *, netns: str | None = None) -> tuple[str, ...]:
    """Return the words to execute, in the namespace if one is named."""
    if command.shell == "powershell":
        return program(command)
    if command.shell == "cmd":
        return ("cmd", "/d", "/c", " ".join(command.argv))
    if netns is None:
        return command.argv
    return ("nsenter", f"--net={namespace(netns)}", "--", *command.argv)


def line(
    command: Command, *, netns: str | None = None, sudo: bool = False, gate: str | None = None
) -> str:
    """Return the command as one line for a login shell of any kind, with a PATH that has `ip`.

    What it makes is for its owner alone to write, whatever umask a server gives to logins.

    With `gate`, a word that nobody else knows, it waits to be let in; see `ending.gated`.
    """
    words = argv(command, netns=netns)
    if command.shell != "sh":
        return " ".join(words)
    if gate is not None:
        words = gated(words, gate)
    if sudo:
        words = ("sudo", "-n", *words)
    start = f'umask {UMASK:03o}; PATH={_PATH}:$PATH; export PATH; exec "$@"'
    return shlex.join(("sh", "-c", start, "sh", *words))
