"""Requests to applications over loopback: what is right, and what is named when it is not."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.model.addresses import ZERO
from shunt.model.config import Advisor
from shunt.verify.application import ask
from shunt.verify.phase import Request
from shunt.verify.subject import Application, Port

if TYPE_CHECKING:
    from shunt.verify.transcript import Outcome

LOOPBACK = ip_address("127.0.0.1")


async def _asked(
    answer: bytes | None, application: Application, advisor: Advisor | None = None
) -> tuple[Outcome, bytes]:
    """Return what becomes of a request to a server that says `answer`, and what it heard.

    For None it hangs up. Who speaks HTTP waits for the request.
    """
    heard: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if answer is not None:
                if answer.startswith(b"HTTP"):
                    heard.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
            writer.close()
            await writer.wait_closed()
        except (OSError, EOFError):
            pass  # the other end was quicker
        finally:
            writer.close()
            ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        number = server.sockets[0].getsockname()[1]
        port = Port(number, application=application, advisor=advisor)
        outcome = await ask(_socket(), Request(1, "a", ZERO, LOOPBACK, port))
        async with asyncio.timeout(60):  # nothing of the server outlives its loop
            await ended.wait()
    return outcome, b"".join(heard)


def _socket() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    return made


@pytest.mark.parametrize(
    ("answer", "application", "error"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Application.HTTP, None),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Application.HTTP, None),
        (b"HTTP/1.1 503 Busy\r\n\r\n", Application.HTTP, "503 Busy"),
        (b"220 mail ready\r\n", Application.HTTP, "not an HTTP answer"),
        (None, Application.HTTP, "without an answer"),
        (None, Application.CONNECT, None),
        (None, Application.HTTPS, ""),  # a server that speaks no TLS and hangs up
    ],
)
async def test_answers_are_judged(
    answer: bytes | None, application: Application, error: str | None
) -> None:
    outcome, heard = await _asked(answer, application)
    assert outcome.connected
    if error is None:
        assert outcome.error is None
    else:
        assert outcome.error is not None
        assert error in outcome.error
    if heard:
        assert heard.startswith(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n")


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
FOUND = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize(
    ("answer", "kind", "settings", "error"),
    [
        (NOT_FOUND, "http", {"request": "GET /nothing", "expect": "200-299"}, "404 Not Found"),
        (NOT_FOUND, "http", {"request": "GET /nothing", "expect": "404"}, None),
        (FOUND, "http", {"request": "GET /nothing", "expect": "200-299"}, None),
        (FOUND, "http", {"request": "GET /nothing", "body": "hell"}, None),
        (FOUND, "http", {"request": "GET /nothing", "body": "heaven"}, "heaven"),
        (b"554 go away\r\n", "smtp", {}, "554"),
        (None, "https", {}, ""),
    ],
)
async def test_the_services_advisor_judges(
    answer: bytes | None, kind: str, settings: dict[str, object], error: str | None
) -> None:
    host: dict[str, object] = {"host": "www.example"} if kind == "http" else {}
    advisor = Advisor(kind, settings | host)
    outcome, heard = await _asked(answer, Application.CONNECT, advisor)
    assert outcome.unasked is None
    if error is None:
        assert outcome.error is None
    else:
        assert outcome.error is not None
        assert error in outcome.error
    if kind == "http":
        assert heard.startswith(b"GET /nothing HTTP/1.1\r\n")
        assert b"\r\nHost: www.example\r\n" in heard


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        ("dns", {"query": "www.example"}, "not by a connection"),
        ("ping", {}, "not by a connection"),
        ("http", {"at": "server"}, "own address"),
        ("http", {"port": "9"}, "port 9"),
        ("http", {"expect": "nonsense"}, "expect"),
    ],
)
async def test_an_advisor_that_cannot_be_asked_is_said_to_be(
    kind: str, settings: dict[str, object], reason: str
) -> None:
    outcome, _ = await _asked(None, Application.HTTP, Advisor(kind, settings))
    assert (outcome.connected, outcome.error) == (True, None)
    assert outcome.unasked is not None
    assert reason in outcome.unasked


async def test_a_closed_port_is_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    outcome = await ask(_socket(), Request(1, "a", ZERO, LOOPBACK, Port(number)))
    assert not outcome.connected
    assert outcome.error
