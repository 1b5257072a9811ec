"""The control sockets: one JSON document a line in each direction, for root and a named group.

There are two: one for root and the group, and one beside it for root only, which nobody else can
fill: a listener's queue is shared by all who may connect.

A request is `{"command": NAME, ...arguments}`; a reply `{"ok": RESULT}` or
`{"error": {"message", "hint", "exit_code"}}`. The kernel says who asks: members of the group may do
less than root (`Client.is_trusted`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import json
import os
import select
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from shunt.dispatcher.places import root_socket
from shunt.errors import ControlError, HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

Result = TypeVar("Result")

PATIENCE = 30.0  # seconds until a client gives a silent daemon up
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: process, user, group
_TIMEVAL = struct.Struct("@ll")  # struct timeval: seconds, microseconds


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the process at the other end when it connected, as the kernel says."""

    user: int
    connection: int  # the descriptor of our end
    process: int = 0

    @classmethod
    def of(cls, connection: socket.socket) -> Client:
        """Return the other end of a connection of this host."""
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, user, _ = _CREDENTIALS.unpack(told)
        return cls(user, connection.fileno(), process)

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


def listener(path: Path, group: str | None) -> socket.socket:
    """Return a socket that listens at `path`, for root and a group.

    Raises:
        HostError: it cannot be made.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(0)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        made.bind(str(path))
        permit(path, group)
        made.listen()
    except OSError as error:
        made.close()
        raise HostError(f"control socket {path}: {error.strerror}") from error
    except HostError:
        made.close()
        raise
    finally:
        os.umask(before)
    return made


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


def is_served(path: Path) -> bool:
    """Say whether somebody listens at `path`, or may: who may not ask cannot know."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(0)
        return connection.connect_ex(str(path)) in {0, errno.EACCES, errno.EAGAIN}


def _connected(path: Path, patience: float) -> socket.socket:
    """Return a connection by root's socket, or by the one of all who may ask.

    It waits in the kernel where the queue is full: who only tries again and again finds it taken.

    Raises:
        BlockingIOError: the queue was full all the time.
        OSError: nobody listens at `path`, or one may not ask.
    """
    for door in (root_socket(path), path):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        wait = _TIMEVAL.pack(int(patience), int(patience % 1 * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        try:
            connection.connect(str(door))
        except (FileNotFoundError, ConnectionRefusedError, PermissionError):
            connection.close()
            if door == path:
                raise
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise AssertionError("unreachable: the last one returns or raises")


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
        with _connected(path, patience) as connection:
            connection.settimeout(patience)
            with contextlib.suppress(BrokenPipeError):  # one that finds no room is told so at once
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
    except (TimeoutError, BlockingIOError) as error:
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
