"""A real request to an application, over a connection of a real TCP stack."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING

from shunt.verify.subject import Application
from shunt.verify.transcript import Outcome

if TYPE_CHECKING:
    import socket

    from shunt.verify.procedure import Request

CONNECT_TIME = 2.5  # seconds; the kernel asks again after one
ANSWER_TIME = 5.0
_LONGEST_HEAD = 16384
_LONGEST_BODY = 65536  # more than that is not waited for
_DRAIN_TIME = 0.5


async def ask(sock: socket.socket, request: Request) -> Outcome:
    """Connect, ask, and return what became of it; closes the socket. Never raises an OSError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIME):
            await loop.sock_connect(sock, (str(request.address), request.port.number))
    except OSError as error:  # TimeoutError, too
        sock.close()
        reason = error.strerror or "no answer"
        return Outcome(connected=False, detail=reason, error=reason)
    if request.port.application is Application.CONNECT:
        sock.close()
        return Outcome(connected=True, detail="the connection opened")
    try:
        async with asyncio.timeout(ANSWER_TIME):
            return await _http(sock, request)
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        reason = {
            TimeoutError: f"no answer within {ANSWER_TIME:g} s",
            asyncio.IncompleteReadError: "the connection was closed without an answer",
            ConnectionResetError: "the connection was reset without an answer",
        }.get(type(error), str(error))
        return Outcome(connected=True, detail=reason, error=reason)
    finally:
        sock.close()


async def _http(sock: socket.socket, request: Request) -> Outcome:
    port = request.port
    context = _trusting() if port.application is Application.HTTPS else None
    reader, writer = await asyncio.open_connection(
        sock=sock,
        ssl=context,
        server_hostname="" if context else None,
        limit=_LONGEST_HEAD,
    )
    host = f"[{request.address}]" if request.address.version == 6 else str(request.address)
    try:
        writer.write(
            f"{port.method} {port.path} HTTP/1.0\r\nHost: {host}\r\n"
            "User-Agent: shunt-verify\r\nConnection: close\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\n")
        await _drain(reader)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return _judged(head, port.expect)


async def _drain(reader: asyncio.StreamReader) -> None:
    """Let the server close first: fewer frames, and nothing for its log to complain of."""
    with contextlib.suppress(OSError):  # TimeoutError, too
        async with asyncio.timeout(_DRAIN_TIME):
            left = _LONGEST_BODY
            while left > 0 and (data := await reader.read(left)):
                left -= len(data)


def _judged(head: bytes, expect: int | None) -> Outcome:
    line = head.decode("latin-1").strip()[:100]
    protocol, _, rest = line.partition(" ")
    status = rest[:3]
    if not protocol.startswith("HTTP/") or not status.isdecimal():
        return Outcome(connected=True, detail=line, error=f"not an HTTP answer: {line!r}")
    if expect is not None and int(status) != expect:
        return Outcome(connected=True, detail=line, error=f"{line}, where {expect} was expected")
    if expect is None and int(status) >= 500:
        return Outcome(connected=True, detail=line, error=line)
    return Outcome(connected=True, detail=line)


def _trusting() -> ssl.SSLContext:
    """Return a context that takes any certificate: what is examined is the way, not the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
