"""Servers on loopback, and checks that ask them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from shunt.advisors import check as checks
from shunt.advisors.advisor import Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from shunt.advisors.check import Check

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LOOPBACK = ip_address("127.0.0.1")


@contextlib.asynccontextmanager
async def serving(handler: Handler, **more: Any) -> AsyncIterator[Target]:
    """A server on loopback; what its handlers raise when they are ended is nobody's matter."""

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(quiet, str(LOOPBACK), 0, **more)
    async with server:
        yield Target(LOOPBACK, server.sockets[0].getsockname()[1])


@contextlib.contextmanager
def crowded() -> Iterator[tuple[socket.socket, Target]]:
    """A server whose backlog is full: it takes no more connections until it accepts some."""
    with (
        socket.create_server((str(LOOPBACK), 0), backlog=1) as full,
        contextlib.ExitStack() as held,
    ):
        target = Target(LOOPBACK, full.getsockname()[1])
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((str(LOOPBACK), target.port))
        yield full, target


def a_check(kind: str = "http", /, **settings: str) -> Check:
    return checks.make(kind, settings, port=1)


def impatient(check: Check, seconds: float = 0.3) -> Check:
    return replace(check, connect_timeout=seconds, receive_timeout=seconds)


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhealthy")
    await writer.drain()
    await reader.read()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Hear everything and say nothing."""
    await reader.read()
