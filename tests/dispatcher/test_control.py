"""The control socket: for root and one group, and calm whatever is sent to it."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest

from shunt.dispatcher import control
from shunt.errors import ControlError, HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path


async def _echo(request: Mapping[str, Any]) -> dict[str, Any]:
    return dict(request)


async def _refuse(_request: Mapping[str, Any]) -> None:
    raise UsageError("no such server", hint="there are a, b")


async def _fail(_request: Mapping[str, Any]) -> None:
    raise ControlError("it went wrong")


async def _need(request: Mapping[str, Any]) -> Any:
    return request["server"]


HANDLERS = {"echo": _echo, "refuse": _refuse, "fail": _fail, "need": _need}


async def ended(server: asyncio.Server) -> None:
    """End a server when the connections before have had their turn, and wait for their ends."""
    last = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_unix_connection(last)
    writer.write(b"{}\n")
    await reader.readline()
    writer.close()
    await writer.wait_closed()
    server.close()
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - a server tells of no such event
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)


def during(path: Path, ask: Callable[[], Any], group: str | None = None) -> Any:
    """Return what `ask`, in a thread, returns while the socket is served."""

    async def main() -> Any:
        server = await control.serve(path, group, HANDLERS)
        try:
            return await asyncio.wait_for(asyncio.to_thread(ask), 20)
        finally:
            await ended(server)

    return asyncio.run(main())


def send(path: Path, data: bytes) -> list[Any]:
    """Send bytes, close the sending side, return every reply until the daemon closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as replies:
            return [json.loads(line) for line in replies]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def test_a_request_is_answered(path: Path) -> None:
    found = during(path, lambda: control.request(path, "echo", server="ä", services=[1]))
    assert found == {"command": "echo", "server": "ä", "services": [1]}


def test_errors_keep_message_hint_and_kind(path: Path) -> None:
    with pytest.raises(UsageError, match="no such server") as refused:
        during(path, lambda: control.request(path, "refuse"))
    assert refused.value.hint == "there are a, b"
    with pytest.raises(ControlError, match="it went wrong"):
        during(path, lambda: control.request(path, "fail"))
    with pytest.raises(UsageError, match="no command 'dance'"):
        during(path, lambda: control.request(path, "dance"))
    with pytest.raises(UsageError, match="server"):
        during(path, lambda: control.request(path, "need"))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"hello\n",
        b"[]\n",
        b"null\n",
        b"7\n",
        b'"echo"\n',
        b"{}\n",
        b'{"command": ["echo"]}\n',
        b'{"command": {}}\n',
        b"\xff\xfe\x00\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_garbage_is_refused_and_the_next_request_answered(path: Path, garbage: bytes) -> None:
    good = json.dumps({"command": "echo"}).encode() + b"\n"
    refused, answered = during(path, lambda: send(path, garbage + good))
    assert refused["error"]["exit_code"] == 2
    assert refused["error"]["message"]
    assert answered == {"ok": {"command": "echo"}}


def test_a_line_without_end_is_cut_off_and_others_are_served(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_LONGEST", 1 << 16)

    def ask() -> Any:
        with contextlib.suppress(ConnectionError):  # hung up on before all of it was sent
            assert send(path, b"x" * (1 << 20)) == []
        return control.request(path, "echo")

    assert during(path, ask) == {"command": "echo"}


def test_half_a_request_and_nobody_there_any_more_harm_nothing(path: Path) -> None:
    def ask() -> Any:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(path))
            connection.sendall(b'{"command": "ec')
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(path))
            connection.sendall(b'{"command": "echo"}\n' * 1000)
        return control.request(path, "echo")

    assert during(path, ask) == {"command": "echo"}


def _mode(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def test_only_root_may_use_it(path: Path) -> None:
    assert during(path, lambda: _mode(path)) == (0o600, os.geteuid(), os.getegid())


def test_a_named_group_may_use_it_too(path: Path) -> None:
    group = grp.getgrall()[-1]
    assert during(path, lambda: _mode(path), group.gr_name) == (0o660, 0, group.gr_gid)


def test_a_group_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(HostError, match=r"dispatcher\.group: there is no group 'nobodies'"):
        during(path, lambda: None, "nobodies")
    assert not path.exists()


def test_a_socket_that_a_killed_daemon_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with pytest.raises(ControlError, match="no dispatcher runs here"):
        control.request(path, "echo")
    assert during(path, lambda: control.request(path, "echo")) == {"command": "echo"}


def test_without_a_daemon_it_is_said_how_to_start_one(path: Path) -> None:
    with pytest.raises(ControlError, match="no dispatcher runs here") as caught:
        control.request(path, "status")
    assert caught.value.hint is not None
    assert "shunt up" in caught.value.hint


def test_a_place_where_no_socket_can_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"control socket .*absent"):
        during(tmp_path / "absent" / "control.sock", lambda: None)


@pytest.mark.parametrize("reply", [b"", b"nonsense\n", b"[]\n", b'{"error": 1}\n'])
def test_whatever_answers_instead_of_a_daemon_is_an_error(path: Path, reply: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(reply)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_unix_server(talk, path)
        ask: Awaitable[Any] = asyncio.to_thread(control.request, path, "status")
        with pytest.raises(ControlError):
            await asyncio.wait_for(ask, 20)
        await ended(server)

    asyncio.run(main())
