"""Requests to applications over loopback: what is right, and what is named when it is not."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.model.addresses import ZERO
from shunt.verify.application import ask
from shunt.verify.procedure import Request
from shunt.verify.subject import Application, Port

if TYPE_CHECKING:
    from shunt.verify.transcript import Outcome

LOOPBACK = ip_address("127.0.0.1")


async def _asked(answer: bytes | None, application: Application, expect: int | None) -> Outcome:
    """Return what becomes of a request to a server that says `answer`, or hangs up for None."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is not None:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        number = server.sockets[0].getsockname()[1]
        port = Port(number, application=application, path="/health", expect=expect)
        outcome = await ask(_socket(), Request(1, "a", ZERO, LOOPBACK, port))
    if heard:
        assert heard[0].startswith(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n")
    return outcome


def _socket() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    return made


@pytest.mark.parametrize(
    ("answer", "application", "expect", "error"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Application.HTTP, None, None),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Application.HTTP, None, None),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Application.HTTP, 200, "where 200 was expected"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", Application.HTTP, None, "503 Busy"),
        (b"220 mail ready\r\n", Application.HTTP, None, "not an HTTP answer"),
        (None, Application.HTTP, None, "without an answer"),
        (None, Application.CONNECT, None, None),
        (b"HTTP/1.1 400 Bad\r\n\r\n", Application.HTTPS, None, ""),
    ],
)
async def test_answers_are_judged(
    answer: bytes | None, application: Application, expect: int | None, error: str | None
) -> None:
    if application is Application.HTTPS:
        answer = None  # a server that speaks no TLS and hangs up
    outcome = await _asked(answer, application, expect)
    assert outcome.connected
    if error is None:
        assert outcome.error is None
    else:
        assert outcome.error is not None
        assert error in outcome.error


async def test_a_closed_port_is_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    outcome = await ask(_socket(), Request(1, "a", ZERO, LOOPBACK, Port(number)))
    assert not outcome.connected
    assert outcome.error
