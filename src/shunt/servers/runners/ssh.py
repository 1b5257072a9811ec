"""The runner of a server that is reached by SSH: keys or agent, known hosts enforced, sudo."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncssh

from shunt.errors import RemoteError, StillRunningError
from shunt.servers.runners.base import Access, line
from shunt.servers.runners.conversation import (
    Budget,
    Conversation,
    TooMuchOutputError,
    too_much,
)
from shunt.servers.runners.ending import OPEN, ending, proof
from shunt.servers.runners.known import KnownHosts
from shunt.servers.steps import Command, Output

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from shunt.model.via import Endpoint

_CHANNELS = 4  # sshd allows ten sessions a connection by default (MaxSessions)
_NO_SUCH_PROGRAM = 127  # exec's status in every shell
_PIECE = 1 << 16  # letters that are read at once
_ENDING = 10.0  # seconds to end a command that took too long


@dataclass(slots=True)
class _Call:
    """A command on its way: the word of its gate, if it has one, and whether it has begun."""

    gate: str | None
    sudo: bool
    begun: bool = False


class SshRunner:
    """Executes commands by one SSH connection."""

    def __init__(
        self,
        there: Endpoint,
        access: Access,
        *,
        jump: Endpoint | None,
        sudo: bool,
        netns: str | None,
        unix: bool,
    ) -> None:
        self._there = there
        self._by = jump
        self._access = access
        self._netns = netns
        self._unix = unix
        self._sudo = unix and (sudo or there.user not in {None, "root"})
        self._channels = asyncio.Semaphore(_CHANNELS)
        self._connection: asyncssh.SSHClientConnection | None = None
        self._jump: asyncssh.SSHClientConnection | None = None

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._access.connect_timeout):
                await self._connect()
                if self._unix and not self._sudo and self._there.user is None:
                    self._sudo = await self._is_common_user()
                if self._sudo:
                    await self._may_use_sudo()
        except TimeoutError as error:
            await self._close()
            raise RemoteError(
                f"{self._there} does not answer within {self._access.connect_timeout:g} seconds",
                hint="is it up, and does nothing filter its SSH port?",
            ) from error
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    @property
    def timeout(self) -> float:
        """Return the seconds that one command may take."""
        return self._access.timeout

    async def run(self, command: Command) -> Output:
        """Return what the command gave back; see `Runner`."""
        return await self._run(command, sudo=self._sudo)

    async def _run(self, command: Command, *, sudo: bool) -> Output:
        gate = f"shunt-{secrets.token_hex(8)}" if command.shell == "sh" else None
        text = line(command, netns=self._netns, sudo=sudo, gate=gate)
        call = _Call(gate, sudo=sudo)
        try:
            async with self._channels, asyncio.timeout(self._access.timeout):
                return await self._converse(text, command.stdin or "", call)
        except TimeoutError as error:
            raise await self._given_up(
                call,
                f"{self._there}: `{command.text}` took more than {self._access.timeout:g} seconds",
                "see what it waits for there, or give it more time with --timeout",
            ) from error
        except TooMuchOutputError:
            message, hint = too_much(command)
            raise await self._given_up(call, f"{self._there}: {message}", hint) from None
        except (asyncssh.Error, OSError) as error:
            kind = StillRunningError if call.begun else RemoteError
            raise kind(f"{self._there}: the connection broke: {error}") from error
        except asyncio.CancelledError:
            await self._end(call)
            raise

    async def _converse(self, text: str, stdin: str, call: _Call) -> Output:
        """Start a command, open its gate when it asks for that, and return what it gave back."""
        assert self._connection is not None, "use `async with`"
        before, budget = "", Budget()
        call.begun = call.gate is None
        process = await self._connection.create_process(text, errors="surrogateescape")
        try:
            if call.gate is not None:
                # Others may speak first: sudo, or the settings of the login shell.
                # Nothing comes behind the gate's word, so what has come ends with it.
                while said := await process.stderr.read(_PIECE):
                    budget.take(said)
                    before += said
                    if before.endswith(f"{call.gate}\n"):
                        before = before.removesuffix(f"{call.gate}\n")
                        call.begun = True
                        stdin = OPEN + stdin
                        break
            streams = Conversation(process.stdin, process.stdout, process.stderr)
            out, errors = await streams.hold(stdin if call.begun else None, budget)
            await process.wait_closed()
        except BaseException:
            process.close()
            raise
        status = process.returncode
        return Output("".join(out), before + "".join(errors), -1 if status is None else status)

    async def _given_up(self, call: _Call, message: str, hint: str) -> RemoteError:
        """Return the error to raise once a command that took too long was ended, or was not."""
        if await self._end(call):
            return RemoteError(message, hint=hint)
        return StillRunningError(message, hint=hint)

    async def _end(self, call: _Call) -> bool:
        """End a command; return whether that is proven."""
        if not call.begun:
            return True
        if call.gate is None or self._connection is None:
            return False
        text = line(Command(("sh", "-s")), sudo=call.sudo)
        try:
            async with asyncio.timeout(_ENDING):
                done = await self._converse(text, ending(call.gate), _Call(None, sudo=call.sudo))
        except (TimeoutError, TooMuchOutputError, asyncssh.Error, OSError):
            return False
        return done.stdout.endswith(f"{proof(call.gate)}\n")

    async def _connect(self) -> None:
        if self._by:
            self._jump = await self._open(self._by, ())
        self._connection = await self._open(self._there, self._jump or ())

    async def _open(
        self, there: Endpoint, tunnel: asyncssh.SSHClientConnection | tuple[()]
    ) -> asyncssh.SSHClientConnection:
        known = KnownHosts()
        options: dict[str, Any] = {}
        if self._access.identities:
            options["client_keys"] = [str(path) for path in self._access.identities]
        try:
            known.read(there, self._access.known_hosts)
            return await asyncssh.connect(
                there.host,
                there.port,
                tunnel=tunnel,
                username=there.user or (),
                keepalive_interval=15,
                known_hosts=known,
                **options,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise known.refusal(there, error.reason) from error
        except asyncssh.PermissionDenied as error:
            raise RemoteError(
                f"{there}: no key was accepted",
                hint="load the key into the agent, or name it with --identity",
            ) from error
        except (asyncssh.Error, OSError, ValueError) as error:
            raise RemoteError(f"{there} cannot be reached: {error}") from error

    async def _is_common_user(self) -> bool:
        return "uid=0(" not in (await self._run(Command(("id",)), sudo=False)).stdout

    async def _may_use_sudo(self) -> None:
        allowed = await self._run(Command(("true",)), sudo=True)
        said = allowed.stderr.strip()
        if allowed.status == _NO_SUCH_PROGRAM:
            raise RemoteError(
                f"{self._there}: there is no sudo ({said or f'exit status {allowed.status}'})",
                hint="log in as root, or install sudo there",
            )
        if allowed.status:
            raise RemoteError(
                f"{self._there}: this user may not use sudo without a password"
                f" ({said or f'exit status {allowed.status}'})",
                hint="log in as root, or allow it in /etc/sudoers.d",
            )

    async def _close(self) -> None:
        for connection in (self._connection, self._jump):
            if connection is not None:
                connection.abort()
                await connection.wait_closed()
        self._connection = self._jump = None
