"""The control socket: one JSON document a line in each direction, for root and a named group.

A request is `{"command": NAME, ...arguments}`; a reply `{"ok": RESULT}` or
`{"error": {"message", "hint", "exit_code"}}`. The kernel says who asks: members of the group may do
less than root (`Client.is_trusted`).
"""

from __future__ import annotations

import asyncio
import errno
import grp
import json
import os
import select
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from shunt.errors import ControlError, HostError, ShuntError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from pathlib import Path

    Handler = Callable[[Mapping[str, Any], "Client"], Awaitable[Any]]

Result = TypeVar("Result")

log = structlog.get_logger()

PATIENCE = 30.0  # seconds until a client gives a silent daemon up
_LONGEST = 1 << 24
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: process, user, group


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the process at the other end when it connected, as the kernel says."""

    user: int
    connection: int  # the descriptor of our end

    @classmethod
    def of(cls, connection: socket.socket) -> Client:
        """Return the other end of a connection of this host."""
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return cls(_CREDENTIALS.unpack(told)[1], connection.fileno())

    @property
    def is_trusted(self) -> bool:
        """Return whether it may do all that this process may: it is root, or the same user."""
        return self.user in {0, os.geteuid()}

    async def while_there(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do what only this client wants; give it up if the client goes away.

        Raises:
            ConnectionError: it has gone.
        """
        working, leaving = asyncio.create_task(work), asyncio.create_task(self._gone())
        try:
            await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ConnectionResetError("the client went away")
            return working.result()
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)

    async def _gone(self) -> None:
        """Return when the other end hung up; one that only says no more still listens."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        with select.epoll() as hangups:
            hangups.register(self.connection, 0)  # a hang-up is told without being asked for
            loop.add_reader(hangups.fileno(), gone.set)
            try:
                await gone.wait()
            finally:
                loop.remove_reader(hangups.fileno())


async def serve(path: Path, group: str | None, handlers: Mapping[str, Handler]) -> asyncio.Server:
    """Listen at `path` and hand each request to the handler of its command.

    Raises:
        HostError: the group is unknown, or the socket cannot be made.
    """
    group_number(group)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            client = Client.of(writer.get_extra_info("socket"))
            while line := await reader.readline():
                reply = await _answer(line, handlers, client)
                writer.write(json.dumps(reply, default=str).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the client went away, or sent a line without end
        finally:
            writer.close()

    return await asyncio.start_unix_server(talk, sock=_listener(path, group), limit=_LONGEST)


def permit(path: Path, group: str | None) -> None:
    """Let root and a group use the socket at `path`, and nobody else.

    Raises:
        HostError: the group is unknown, or the socket is not ours to change.
    """
    gid = group_number(group)
    try:
        os.chown(path, -1, os.getegid() if gid < 0 else gid)
        path.chmod(0o600 if gid < 0 else 0o660)
    except OSError as error:
        raise HostError(f"control socket {path}: {error.strerror}") from error


def _listener(path: Path, group: str | None) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise HostError(f"control socket {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    permit(path, group)
    return listener


def group_number(group: str | None) -> int:
    """Return the number of a group, -1 for none.

    Raises:
        HostError: this host has no such group.
    """
    if group is None:
        return -1
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise HostError(
            f"dispatcher.group: there is no group {group!r} here",
            hint=f"groupadd {group}, or name another",
        ) from None


async def _answer(line: bytes, handlers: Mapping[str, Handler], client: Client) -> dict[str, Any]:
    try:
        request = json.loads(line)
        handler = handlers.get(request["command"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return _error(f"bad request: {error}", exit_code=UsageError.exit_code)
    if handler is None:
        return _error(
            f"the daemon knows no command {request['command']!r}", exit_code=UsageError.exit_code
        )
    try:
        return {"ok": await handler(_Arguments(request), client)}
    except ShuntError as error:
        return _error(error.message, error.hint, error.exit_code)
    except ConnectionError:
        raise  # nobody is there to be told
    except Exception as error:
        log.exception("a command failed", command=request["command"])
        return _error(
            f"the daemon failed at this command: {error!r}", "its log says where; please report it"
        )


class _Arguments(dict[str, Any]):
    """A request's keys; one that is missing is the client's mistake."""

    def __missing__(self, key: str) -> Any:
        raise UsageError(f"bad request: it says no {key!r}")


def _error(message: str, hint: str | None = None, exit_code: int = 1) -> dict[str, Any]:
    return {"error": {"message": message, "hint": hint, "exit_code": exit_code}}


def is_served(path: Path) -> bool:
    """Say whether somebody listens at `path`, or may: who may not ask cannot know."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(0)
        return connection.connect_ex(str(path)) in {0, errno.EACCES, errno.EAGAIN}


def request(path: Path, command: str, *, patience: float = PATIENCE, **arguments: Any) -> Any:
    """Ask the daemon; return its result.

    Args:
        path: of its socket.
        command: its name.
        patience: seconds to wait for the answer.
        arguments: of the command.

    Raises:
        ControlError: no daemon listens there, or it did not answer.
        ShuntError: what the daemon raised, with its message and hint.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(patience)
            connection.connect(str(path))
            connection.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as replies:
                line = replies.readline()
    except (FileNotFoundError, ConnectionError) as error:
        raise ControlError(
            f"no dispatcher runs here (nothing listens at {path})",
            hint="start it: shunt up -c FILE, or systemctl start shunt",
        ) from error
    except PermissionError as error:
        raise HostError(
            f"{path}: {error.strerror}", hint="become root, or join the group of dispatcher.group"
        ) from error
    except TimeoutError as error:
        raise ControlError(
            f"the daemon at {path} has not answered within {patience:g} s", hint="see its log"
        ) from error
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror or error}") from error
    if not line:
        raise ControlError("the daemon ended before it answered", hint="see its log")
    try:
        reply = json.loads(line)
        if "ok" in reply:
            return reply["ok"]
        failure = reply["error"]
        kind = UsageError if failure["exit_code"] == 2 else ControlError
        refused = kind(failure["message"], hint=failure["hint"])
    except (ValueError, KeyError, TypeError) as error:
        raise ControlError(
            f"what listens at {path} answers like no dispatcher",
            hint="see what it is: ss -xlp",
        ) from error
    raise refused
