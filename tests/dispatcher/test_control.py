"""The control socket: for root and one group, and calm whatever is sent to it."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import resource
import select
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from shunt.dispatcher import control
from shunt.dispatcher.control_server import CONNECTIONS, IDLE, ControlServer, encoded
from shunt.errors import ControlError, HostError, UsageError
from tests.dispatcher.scene import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from shunt.dispatcher.control import Client
    from shunt.dispatcher.control_server import Handler


async def _echo(request: Mapping[str, Any], _client: Client) -> dict[str, Any]:
    return dict(request)


async def _refuse(_request: Mapping[str, Any], _client: Client) -> None:
    raise UsageError("no such server", hint="there are a, b")


async def _fail(_request: Mapping[str, Any], _client: Client) -> None:
    raise ControlError("it went wrong")


async def _need(request: Mapping[str, Any], _client: Client) -> Any:
    return request["server"]


async def _break(_request: Mapping[str, Any], _client: Client) -> Any:
    raise ZeroDivisionError("of one's own")


async def _who(_request: Mapping[str, Any], client: Client) -> Any:
    return client.user


async def _still(_request: Mapping[str, Any], client: Client) -> Any:
    return await client.while_there(asyncio.sleep(0.05, "done"))


HANDLERS = {
    "echo": _echo, "refuse": _refuse, "fail": _fail, "need": _need, "break": _break, "who": _who,
    "still": _still,
}  # fmt: skip


def during(
    path: Path,
    ask: Callable[[], Any],
    group: str | None = None,
    handlers: Mapping[str, Handler] = HANDLERS,
    idle: float = IDLE,
) -> Any:
    """Return what `ask`, in a thread, returns while the socket is served."""

    async def main() -> Any:
        server = ControlServer(path, group, handlers, idle)
        try:
            return await asyncio.wait_for(asyncio.to_thread(ask), 20)
        finally:
            await server.close()

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
        b"[" * 65_000 + b"\n",
    ],
)
def test_garbage_is_refused_and_the_next_request_answered(path: Path, garbage: bytes) -> None:
    good = json.dumps({"command": "echo"}).encode() + b"\n"
    refused, answered = during(path, lambda: send(path, garbage + good))
    assert refused["error"]["exit_code"] == 2
    assert refused["error"]["message"]
    assert answered == {"ok": {"command": "echo"}}


def test_a_line_without_end_is_cut_off_and_others_are_served(
    path: Path,
) -> None:
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


@pytest.mark.root
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
        server.close()

    asyncio.run(main())


def test_a_fault_of_a_handler_is_told_and_logged(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The connection stands, and the daemon's log says where it was."""
    lines = b'{"command": "break"}\n{"command": "echo"}\n'
    failed, answered = during(path, lambda: send(path, lines))
    assert failed["error"]["exit_code"] == 1
    assert "ZeroDivisionError" in failed["error"]["message"]
    assert answered == {"ok": {"command": "echo"}}
    said = capsys.readouterr()
    assert "in _break" in said.out + said.err


def test_the_kernel_says_who_asks(path: Path) -> None:
    assert during(path, lambda: control.request(path, "who")) == os.geteuid()
    forged = b'{"command": "who", "user": 1, "client": {"user": 1}}\n'
    assert during(path, lambda: send(path, forged)) == [{"ok": os.geteuid()}]


@pytest.mark.root
def test_another_users_process_is_known_and_not_trusted(path: Path) -> None:
    """As a member of the group: it may connect, and may not do everything."""
    code = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        's.sendall(b\'{"command": "trust"}\\n\'); print(s.makefile().readline())\n'
    )

    async def trust(_request: Mapping[str, Any], client: Client) -> Any:
        return [client.user, client.is_trusted]

    def ask() -> Any:
        path.chmod(0o666)
        path.parent.chmod(0o755)  # the process begins there: those above it may stay closed
        done = subprocess.run(
            [sys.executable, "-c", code, path.name],
            cwd=path.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout or repr(done.stderr))

    assert during(path, ask, handlers={"trust": trust}) == {"ok": [65534, False]}
    assert during(path, lambda: control.request(path, "trust"), handlers={"trust": trust}) == [
        os.geteuid(), True,
    ]  # fmt: skip


def test_what_only_one_client_wants_ends_when_it_goes_away(path: Path) -> None:
    begun, ended_ = threading.Event(), threading.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended_.set()

    async def wait(_request: Mapping[str, Any], client: Client) -> None:
        await client.while_there(endless())

    def ask() -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(path))
            connection.sendall(b'{"command": "wait"}\n')
            assert begun.wait(20)
            connection.shutdown(socket.SHUT_WR)
            assert not ended_.wait(0.2)  # it still listens
        return ended_.wait(20)

    assert during(path, ask, handlers={"wait": wait, "echo": _echo})


def test_who_only_says_no_more_is_answered(path: Path) -> None:
    assert during(path, lambda: send(path, b'{"command": "still"}\n')) == [{"ok": "done"}]


def test_a_daemon_that_is_slow_is_said_to_be_so(path: Path) -> None:
    async def never(_request: Mapping[str, Any], client: Client) -> None:
        await client.while_there(asyncio.sleep(3600))

    with pytest.raises(ControlError, match=r"has not answered within 0\.05 s"):
        during(
            path,
            lambda: control.request(path, "never", patience=0.05),
            handlers={"never": never},
        )


def test_whether_a_daemon_is_there_is_known(path: Path) -> None:
    assert not control.is_served(path)
    assert during(path, lambda: control.is_served(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path.with_name("dead")))
    assert not control.is_served(path.with_name("dead"))


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(20)
    connection.connect(str(path))
    return connection


def test_who_says_nothing_is_hung_up_on_and_half_a_request_as_well(path: Path) -> None:
    def ask() -> list[bytes]:
        with connected(path) as idle, connected(path) as slow, connected(path) as good:
            slow.sendall(b'{"command": ')
            good.sendall(b'{"command": "echo"}\n')
            assert b"ok" in good.recv(100)
            return [idle.recv(100), slow.recv(100), good.recv(100)]

    assert during(path, ask, idle=0.2) == [b"", b"", b""]


def test_who_does_not_read_is_hung_up_on(path: Path) -> None:
    async def much(_request: Mapping[str, Any], _client: Client) -> Any:
        return ["x" * 1000] * 10_000

    def ask() -> int:
        with connected(path) as connection:
            connection.sendall(b'{"command": "much"}\n')
            eventually(lambda: closed(connection), "it is hung up on")
        with connected(path) as reading:
            reading.sendall(b'{"command": "much"}\n')
            return len(reading.makefile("rb").readline())

    assert during(path, ask, handlers={"much": much}, idle=0.5) > 10_000_000


def closed(connection: socket.socket) -> bool:
    with select.epoll() as hangups:
        hangups.register(connection.fileno(), 0)
        return bool(hangups.poll(0))


_MANY = """
import os, socket, sys, time
os.setgroups([]); os.setgid(65534); os.setuid(65534)
held = []
for _ in range(12):
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); held.append(s)
for s in held:
    try: s.sendall(b'{"command": "echo"}\\n')
    except BrokenPipeError: pass  # it was refused and hung up on already: the answer is there
print([b'"ok"' in s.recv(1000) for s in held], flush=True)
sys.stdin.read()
"""


def test_one_member_holds_few_connections_and_root_always_finds_room(path: Path) -> None:
    def ask() -> tuple[str, Any]:
        path.chmod(0o666)
        path.parent.chmod(0o755)
        with subprocess.Popen(
            [sys.executable, "-c", _MANY, path.name],
            cwd=path.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as member:  # fmt: skip
            assert member.stdout is not None
            assert member.stdin is not None
            said = member.stdout.readline()
            answered = control.request(path, "echo")
            member.stdin.close()
        return said, answered

    said, answered = during(path, ask)
    assert said.count("True") == 8
    assert said.count("False") == 4
    assert answered == {"command": "echo"}


_FLOOD = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try: socket.socket(socket.AF_UNIX).connect("root.sock")
except PermissionError: pass
else: sys.exit("another user reached root's socket")
held, full = [], False
while True:
    s = socket.socket(socket.AF_UNIX); s.setblocking(False)
    try: s.connect(sys.argv[1])
    except BlockingIOError:
        if not full: print("full", flush=True)
        full = True
    held.append(s)
    if len(held) > 400: held.pop(0).close()
"""


@pytest.mark.root
def test_members_who_fill_the_queue_do_not_keep_root_out(path: Path) -> None:
    """Three processes connect without pause, as no group's members should."""

    def ask() -> list[Any]:
        path.chmod(0o666)
        path.parent.chmod(0o755)
        with contextlib.ExitStack() as stack:
            members = []
            for _ in range(3):
                member = stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-c", _FLOOD, path.name],
                        cwd=path.parent, stdout=subprocess.PIPE, text=True,
                    )
                )  # fmt: skip
                stack.callback(member.kill)
                members.append(member)
            for member in members:
                assert member.stdout is not None
                assert member.stdout.readline() == "full\n"
            answers = [control.request(path, "echo", number=number) for number in range(50)]
            assert all(member.poll() is None for member in members)
        return answers

    assert [each["number"] for each in during(path, ask)] == [*range(50)]


def test_who_finds_the_queue_full_waits_for_room(path: Path) -> None:
    """As a member does, and root with a daemon of an earlier release."""
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as stack:
        listening.bind(str(path))
        listening.listen(0)
        listening.settimeout(20)
        stack.enter_context(connected(path))
        with pytest.raises(ControlError, match=r"has not answered within 0\.05 s"):
            control.request(path, "echo", patience=0.05)
        with asking(path) as answer:
            first, _ = listening.accept()
            first.close()
            second, _ = listening.accept()
            with second, second.makefile("rb") as lines:
                assert json.loads(lines.readline()) == {"command": "echo"}
                second.sendall(b'{"ok": 1}\n')
            assert answer() == 1


@contextlib.contextmanager
def asking(path: Path) -> Iterator[Callable[[], Any]]:
    """Ask in a thread; yield what waits for the answer."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(control.request, path, "echo")
        yield lambda: future.result(20)


def test_more_connections_than_there_is_room_for_are_refused(path: Path) -> None:
    def ask() -> Any:
        with contextlib.ExitStack() as stack:
            for _ in range(CONNECTIONS):
                each = stack.enter_context(connected(path))
                each.sendall(b'{"command": "echo"}\n')
                assert each.recv(100)
            with pytest.raises(ControlError, match="others ask at this moment"):
                control.request(path, "echo")
        eventually(lambda: answers(path), "there is room again")

    during(path, ask)


def answers(path: Path) -> bool:
    try:
        return bool(control.request(path, "echo"))
    except ControlError:
        return False


@pytest.mark.parametrize(
    "line",
    ['{"command": "echo"}', '{"command": "dance"}', "x" * 1000],
    ids=["right", "unknown", "bad"],
)
def test_one_member_may_not_ask_without_pause_and_the_log_says_who_did(
    path: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); f = s.makefile()\n"
        "for _ in range(110):\n"
        "    s.sendall(sys.argv[2].encode() + b'\\n'); print(f.readline(), end='')\n"
    )

    def ask() -> str:
        path.chmod(0o666)
        path.parent.chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", code, path.name, line], cwd=path.parent, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        return done.stdout

    assert during(path, ask).count("asks too often") > 10
    found = capsys.readouterr()
    lines = (found.out + found.err).splitlines()
    assert sum("requests of a user are refused" in each for each in lines) == 1
    assert sum("was not understood" in each for each in lines) == (line[0] == "x")


def test_no_descriptors_for_a_connection_are_said_in_a_few_lines(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def ask() -> Any:
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(10)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
            try:
                for each in waiting:
                    each.connect(str(path))
                eventually(lambda: said(capsys, "not taken for now"), "it is said")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            return control.request(path, "echo")

    assert during(path, ask) == {"command": "echo"}
    assert not said(capsys, "Traceback")


def said(capsys: pytest.CaptureFixture[str], words: str) -> bool:
    found = capsys.readouterr()
    return words in found.out + found.err


def test_a_reply_in_pieces_is_the_same_document() -> None:
    document = {
        "a": [], "b": {}, "c": [1, None, {"x": [True, "\u00e4\n"]}], "d": {"e": {"f": {"g": 7}}},
        "h": 1.5, 3: "three",
    }  # fmt: skip
    values: list[object] = [document, [], {}, [[]], None, "x"]
    for value in values:
        parts = encoded({"ok": value})
        assert json.loads(b"".join(parts)) == json.loads(json.dumps({"ok": value}))
        assert b"\n" not in b"".join(parts)
    for count in range(3):
        assert json.loads(b"".join(encoded({"rows": iter(range(count))})))["rows"] == [
            *range(count)
        ]
