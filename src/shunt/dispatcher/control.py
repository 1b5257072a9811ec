"""The control socket: one JSON document a line in each direction, for root and a named group.

A request is `{"command": NAME, ...arguments}`; a reply `{"ok": RESULT}` or
`{"error": {"message", "hint", "exit_code"}}`.
"""

from __future__ import annotations

import asyncio
import grp
import json
import os
import socket
from typing import TYPE_CHECKING, Any

from shunt.errors import ControlError, HostError, ShuntError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]

_LONGEST = 1 << 24
_PATIENCE = 30.0  # seconds until a client gives a silent daemon up


async def serve(path: Path, group: str | None, handlers: Mapping[str, Handler]) -> asyncio.Server:
    """Listen at `path` and hand each request to the handler of its command.

    Raises:
        HostError: the group is unknown, or the socket cannot be made.
    """
    group_number(group)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                reply = await _answer(line, handlers)
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


async def _answer(line: bytes, handlers: Mapping[str, Handler]) -> dict[str, Any]:
    try:
        request = json.loads(line)
        handler = handlers.get(request["command"])
        if handler is None:
            raise UsageError(f"the daemon knows no command {request['command']!r}")
        return {"ok": await handler(request)}
    except ShuntError as error:
        return {
            "error": {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
        }
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return {"error": {"message": f"bad request: {error}", "hint": None, "exit_code": 2}}


def is_served(path: Path) -> bool:
    """Say whether somebody listens at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        return connection.connect_ex(str(path)) == 0


def request(path: Path, command: str, **arguments: Any) -> Any:
    """Ask the daemon; return its result.

    Raises:
        ControlError: no daemon listens there, or it did not answer.
        ShuntError: what the daemon raised, with its message and hint.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE)
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
