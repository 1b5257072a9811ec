"""What is said to a command and what it gives back, up to a limit.

A server is not trusted with this machine's memory: a command there may print without an end.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, AnyStr, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from shunt.servers.steps import Command

MAX_OUTPUT = 8 << 20  # bytes or characters of one command, both of its streams together
_PIECE = 1 << 16


class TooMuchOutputError(Exception):
    """A command has printed more than `MAX_OUTPUT`, and has not ended yet."""


def too_much(command: Command) -> tuple[str, str]:
    """Return message and hint for a person."""
    return (
        f"`{command.text}` printed more than {MAX_OUTPUT >> 20} MiB and was given up",
        "run it there by hand: its output should be a few lines",
    )


_ReadT_co = TypeVar("_ReadT_co", str, bytes, covariant=True)
_WrittenT_contra = TypeVar("_WrittenT_contra", str, bytes, contravariant=True)


class Source(Protocol[_ReadT_co]):
    """A stream to read from, of asyncio or asyncssh."""

    async def read(self, n: int = -1, /) -> _ReadT_co:
        """Return at most `n` of what there is, nothing at its end."""
        ...


class Sink(Protocol[_WrittenT_contra]):
    """A stream to write to, of asyncio or asyncssh."""

    def write(self, data: _WrittenT_contra, /) -> None:
        """Take data."""

    def write_eof(self) -> None:
        """Take no more."""

    async def drain(self) -> None:
        """Wait until there is room again."""


@dataclass(slots=True)
class Budget:
    """How much more may be read."""

    left: int = MAX_OUTPUT

    def take(self, data: str | bytes) -> None:
        """Count what was read.

        Raises:
            TooMuchOutputError: it is more than was left.
        """
        self.left -= len(data)
        if self.left < 0:
            raise TooMuchOutputError


@dataclass(frozen=True, slots=True)
class Conversation(Generic[AnyStr]):
    """A process' three streams."""

    stdin: Sink[AnyStr]
    stdout: Source[AnyStr]
    stderr: Source[AnyStr]

    async def hold(self, said: AnyStr | None, budget: Budget) -> tuple[list[AnyStr], list[AnyStr]]:
        """Say `said`, or end the input at once; return both outputs, in pieces, when they end.

        Raises:
            TooMuchOutputError: the outputs are more than `budget` has left.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._say(said))
                out = tasks.create_task(_whole(self.stdout, budget))
                errors = tasks.create_task(_whole(self.stderr, budget))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        return out.result(), errors.result()

    async def _say(self, said: AnyStr | None) -> None:
        """Whoever does not listen to the end may still answer well."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if said:
                self.stdin.write(said)
                await self.stdin.drain()
        with contextlib.suppress(OSError):
            self.stdin.write_eof()


async def _whole(source: Source[AnyStr], budget: Budget) -> list[AnyStr]:
    pieces = []
    while piece := await source.read(_PIECE):
        budget.take(piece)
        pieces.append(piece)
    return pieces
