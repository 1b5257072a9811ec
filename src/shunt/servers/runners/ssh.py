"""The runner of a server that is reached by SSH: keys or agent, known hosts enforced, sudo."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from shunt.errors import RemoteError
from shunt.servers.runners.base import Access, line
from shunt.servers.steps import Command, Output

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import asyncssh

    from shunt.model.via import Endpoint

_CHANNELS = 4  # sshd allows ten sessions a connection by default (MaxSessions)


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

    async def run(self, command: Command) -> Output:
        """Return what the command gave back; see `Runner`."""
        return await self._run(command, sudo=self._sudo)

    async def _run(self, command: Command, *, sudo: bool) -> Output:
        import asyncssh

        assert self._connection is not None, "use `async with`"
        text = line(command, netns=self._netns, sudo=sudo)
        try:
            async with self._channels, asyncio.timeout(self._access.timeout):
                done = await self._connection.run(
                    text, input=command.stdin or "", check=False, errors="surrogateescape"
                )
        except TimeoutError as error:
            raise RemoteError(
                f"{self._there}: `{command.text}` took more than {self._access.timeout:g} seconds",
                hint="see what it waits for there, or give it more time with --timeout",
            ) from error
        except (asyncssh.Error, OSError) as error:
            raise RemoteError(f"{self._there}: the connection broke: {error}") from error
        status = done.returncode
        return Output(
            str(done.stdout or ""), str(done.stderr or ""), -1 if status is None else status
        )

    async def _connect(self) -> None:
        import asyncssh

        known = self._access.known_hosts
        options: dict[str, Any] = {} if known is None else {"known_hosts": str(known)}
        if self._access.identities:
            options["client_keys"] = [str(path) for path in self._access.identities]
        try:
            if self._by:
                self._jump = await asyncssh.connect(
                    self._by.host, self._by.port, username=self._by.user or (), **options
                )
            self._connection = await asyncssh.connect(
                self._there.host,
                self._there.port,
                tunnel=self._jump or (),
                username=self._there.user or (),
                keepalive_interval=15,
                **options,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise RemoteError(
                f"{self._there}: the host key is not the one that is known: {error.reason}",
                hint="make sure that it is the right machine, then put its key into known_hosts",
            ) from error
        except asyncssh.PermissionDenied as error:
            raise RemoteError(
                f"{self._there}: no key was accepted",
                hint="load the key into the agent, or name it with --identity",
            ) from error
        except (asyncssh.Error, OSError, ValueError) as error:
            raise RemoteError(f"{self._there} cannot be reached: {error}") from error

    async def _is_common_user(self) -> bool:
        return "uid=0(" not in (await self._run(Command(("id",)), sudo=False)).stdout

    async def _may_use_sudo(self) -> None:
        allowed = await self._run(Command(("true",)), sudo=True)
        if allowed.status:
            raise RemoteError(
                f"{self._there}: this user may not use sudo without a password"
                f" ({allowed.stderr.strip() or 'no sudo there'})",
                hint="log in as root, or allow it in /etc/sudoers.d",
            )

    async def _close(self) -> None:
        for connection in (self._connection, self._jump):
            if connection is not None:
                connection.abort()
                await connection.wait_closed()
        self._connection = self._jump = None
