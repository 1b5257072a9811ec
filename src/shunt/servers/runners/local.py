"""The runner of this very machine, or of a network namespace on it."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from shunt.errors import RemoteError
from shunt.servers.runners.base import UMASK, argv
from shunt.servers.runners.conversation import (
    Budget,
    Conversation,
    TooMuchOutputError,
    too_much,
)
from shunt.servers.steps import Command, Output

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class LocalRunner:
    """Executes commands here."""

    def __init__(self, *, netns: str | None = None, timeout: float = 30.0) -> None:
        self._netns = netns
        self.timeout = timeout

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    async def run(self, command: Command) -> Output:
        """Return what the command gave back; see `Runner`."""
        words = argv(command, netns=self._netns)
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                umask=UMASK,
            )
        except OSError as error:
            raise RemoteError(f"{words[0]} could not be started: {error.strerror}") from error
        data = (command.stdin or "").encode(errors="surrogateescape")
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            streams = Conversation(process.stdin, process.stdout, process.stderr)
            async with asyncio.timeout(self.timeout):
                out, err = await streams.hold(data, Budget())
                await process.wait()
        except TooMuchOutputError:
            message, hint = too_much(command)
            raise RemoteError(message, hint=hint) from None
        except TimeoutError as error:
            raise RemoteError(
                f"`{command.text}` took more than {self.timeout:g} seconds",
                hint="see what it waits for, or give it more time with --timeout",
            ) from error
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                # Who has left the group may hold the pipes, and `wait` waits for these, too.
                process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001
                await process.wait()
        assert process.returncode is not None
        return Output(_text(out), _text(err), process.returncode)


def _text(pieces: list[bytes]) -> str:
    return b"".join(pieces).decode(errors="surrogateescape")
