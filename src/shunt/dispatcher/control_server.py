"""Serves the control socket: bounded lines, bounded connections, and no reply that stops the loop.

Members of the group are operators, and none of them may stop or slow the daemon: to end it is for
root only, what they hold is little and for a short time, what they ask at once is limited whether
it is understood or not, and what they change is logged with their name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from shunt.dispatcher.control import Client, group_number, listener
from shunt.dispatcher.control_listener import ControlListener
from shunt.dispatcher.limited_log import LimitedLog
from shunt.dispatcher.places import root_socket
from shunt.errors import ShuntError, UsageError
from shunt.rate_limiter import RateLimiter

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    Handler = Callable[[Mapping[str, Any], Client], Awaitable[Any]]

log = structlog.get_logger()

LONGEST = 1 << 16  # bytes of a request
CONNECTIONS = 64
_OF_OTHERS = 48  # connections of those who are not trusted: root always finds room
_OF_ONE = 8  # connections of one of them
IDLE = 30.0  # seconds for a request to arrive, and for a reply to be read
_PERIOD, _BURST = 0.1, 50  # requests of one user who is not trusted: ten a second for long
_REFUSED_AFTER = 0.05  # seconds until one who asks too often is told so
_PIECES_DEEP = 4  # levels of a reply that are encoded piece by piece
READINGS = frozenset({"status", "configuration", "trace", "flows"})


class ControlServer:
    """Owns the socket, its connections and their tasks; `close` ends them all."""

    def __init__(
        self, path: Path, group: str | None, handlers: Mapping[str, Handler], idle: float = IDLE
    ) -> None:
        """Listen at `path`, and beside it for root only; hand each request to its handler.

        Raises:
            HostError: the group is unknown, or the socket cannot be made.
        """
        group_number(group)
        self._handlers = handlers
        self._idle = idle
        self._log = LimitedLog()
        self._encoding = asyncio.Semaphore(1)  # big replies take turns, beside the event loop
        self._talks: dict[asyncio.Task[None], Client] = {}
        self._limiters: dict[int, RateLimiter] = {}
        self._loop = asyncio.get_running_loop()
        roots = listener(root_socket(path), None)
        try:
            all_ = listener(path, group)
        except BaseException:
            roots.close()
            raise
        self._listeners = [ControlListener(each, self._take, self._log) for each in (roots, all_)]

    async def close(self) -> None:
        """Hang up on everybody, and listen no more."""
        for each in self._listeners:
            each.close()
        for task in self._talks:
            task.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    def _take(self, connection: socket.socket) -> bool:
        """Serve a connection, or refuse it at once if there is no room; return whether there is."""
        client = Client.of(connection)
        if full := self._full(client):
            self._log.warning("a control connection was refused", full, reason=full)
            with contextlib.suppress(OSError):  # it has gone already
                connection.send(b"".join(encoded(_error(full, "try again in a moment"))) + b"\n")
            connection.close()
            return False
        task = asyncio.create_task(self._serve(connection, client))
        self._talks[task] = client
        task.add_done_callback(partial(self._ended, connection))
        return True

    def _ended(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        connection.close()  # a task that was cancelled before it began has not
        del self._talks[task]

    def _full(self, client: Client) -> str | None:
        """Return why a client finds no room, None if it does."""
        users = Counter(each.user for each in self._talks.values() if not each.is_trusted)
        if len(self._talks) >= CONNECTIONS:
            return f"{CONNECTIONS} others ask at this moment"
        if client.is_trusted:
            return None
        if users[client.user] >= _OF_ONE:
            return f"user {client.user} has {_OF_ONE} connections already"
        return f"{_OF_OTHERS} others ask at this moment" if users.total() >= _OF_OTHERS else None

    async def _serve(self, connection: socket.socket, client: Client) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LONGEST)
        except OSError:
            connection.close()
            return
        try:
            await self._talk(reader, writer, client)
        except (ConnectionError, TimeoutError):
            pass  # the client went away, says nothing more, or does not read
        except ValueError:
            self._log.warning("a control request was too long", user=client.user, bytes=LONGEST)
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: Client
    ) -> None:
        while True:
            async with asyncio.timeout(self._idle):
                line = await reader.readline()
            if not line:
                return
            reply = await self._answer(line, client)
            async with self._encoding:
                made = await asyncio.to_thread(encoded, reply)
            await self._send(writer, made)

    async def _send(self, writer: asyncio.StreamWriter, reply: list[bytes]) -> None:
        async with asyncio.timeout(self._idle):
            writer.writelines([*reply, b"\n"])
            writer.transport.set_write_buffer_limits(0)  # to drain is to hand all to the kernel
            await writer.drain()

    async def _answer(self, line: bytes, client: Client) -> dict[str, Any]:
        if not self._may(client):
            self._log.warning(
                "control requests of a user are refused: too many", str(client.user),
                user=client.user, process=client.process,
            )  # fmt: skip
            await asyncio.sleep(_REFUSED_AFTER)
            return _error(f"user {client.user} asks too often", "ask again in a second")
        try:
            request = json.loads(line)
            command = request["command"]
            handler = self._handlers.get(command)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._log.warning(
                "a control request was not understood", str(client.user),
                user=client.user, process=client.process,
            )  # fmt: skip
            return _error(f"bad request: {error}", exit_code=UsageError.exit_code)
        if handler is None:
            return _error(
                f"the daemon knows no command {command!r}", exit_code=UsageError.exit_code
            )
        if command not in READINGS:
            log.info("asked", command=command, user=client.user, process=client.process)
        try:
            return {"ok": await handler(_Arguments(request), client)}
        except ShuntError as error:
            return _error(error.message, error.hint, error.exit_code)
        except ConnectionError:
            raise  # nobody is there to be told
        except Exception as error:
            log.exception("a command failed", command=command)
            return _error(
                f"the daemon failed at this command: {error!r}",
                "its log says where; please report it",
            )

    def _may(self, client: Client) -> bool:
        """Return whether a user may ask now; root may at any time."""
        if client.is_trusted:
            return True
        limiter = self._limiters.setdefault(client.user, RateLimiter(_PERIOD, _BURST))
        return limiter.allows(self._loop.time())


class _Arguments(dict[str, Any]):
    """A request's keys; one that is missing is the client's mistake."""

    def __missing__(self, key: str) -> Any:
        raise UsageError(f"bad request: it says no {key!r}")


def encoded(reply: Any) -> list[bytes]:
    """Return a reply as JSON, in pieces; for any thread."""
    return list(_pieces(reply, _PIECES_DEEP))


def _pieces(value: Any, depth: int) -> Iterator[bytes]:
    """Yield a document as JSON, in pieces: the interpreter is held for no more than one of them.

    Args:
        value: of dictionaries with text as keys, lists, iterators, and what JSON knows.
        depth: levels that are taken apart; what is below is encoded at once.
    """
    if depth and isinstance(value, dict):
        opening = b"{"
        for key, each in value.items():
            yield opening + _encoded(str(key)) + b": "
            yield from _pieces(each, depth - 1)
            opening = b", "
        yield b"}" if value else b"{}"
    elif isinstance(value, Iterator) or (depth and isinstance(value, list)):
        value = iter(value)
        opening = b"["
        for each in value:
            yield opening
            yield from _pieces(each, depth - 1)
            opening = b", "
        yield b"]" if opening == b", " else b"[]"
    else:
        yield _encoded(value)


def _encoded(value: Any) -> bytes:
    return json.dumps(value, default=str).encode()


def _error(message: str, hint: str | None = None, exit_code: int = 1) -> dict[str, Any]:
    return {"error": {"message": message, "hint": hint, "exit_code": exit_code}}
