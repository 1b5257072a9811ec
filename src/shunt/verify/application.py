"""A real request to an application, over a connection of a real TCP stack."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Transport
from shunt.advisors.check import At, make
from shunt.advisors.dialogue import AdvisorError, Verdict, WrongAnswerError, advance, started
from shunt.advisors.tls import secured
from shunt.errors import ShuntError
from shunt.verify.subject import Application
from shunt.verify.transcript import Outcome

if TYPE_CHECKING:
    import socket

    from shunt.advisors.check import Check
    from shunt.advisors.dialogue import Dialogue
    from shunt.model.config import Advisor
    from shunt.verify.phase import Request
    from shunt.verify.subject import Port

CONNECT_TIME = 2.5  # seconds; the kernel asks again after one
ANSWER_TIME = 5.0
LONGEST_TIME = 30.0  # for an advisor that allows as much
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
    if request.port.advisor is not None:
        try:
            return await _advised(sock, request, request.port.advisor)
        finally:
            sock.close()
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


async def _advised(sock: socket.socket, request: Request, advisor: Advisor) -> Outcome:
    """Let the service's own advisor ask over the connection."""
    try:
        check = make(advisor.type, advisor.settings, port=request.port.number)
    except ShuntError as error:
        return Outcome(connected=True, detail="", unasked=error.message)
    if (reason := _cannot_ask(check, request.port)) is not None:
        return Outcome(connected=True, detail="", unasked=f"advisor {advisor.type}: {reason}")
    limit = min(check.receive_timeout, LONGEST_TIME)
    target = check.target(request.address, request.port.number, request.server)
    try:
        dialogue = started(check.advisor.talk(target))
        secure = check.advisor.secure
        spoken = secured(dialogue, secure, str(request.address)) if secure else dialogue
        async with asyncio.timeout(limit):
            verdict = await _converse(sock, spoken)
    except (WrongAnswerError, OSError) as error:  # TimeoutError, too
        late = isinstance(error, TimeoutError)
        reason = f"no full answer within {limit:g} s" if late else str(error)
        return Outcome(connected=True, detail=reason, error=f"advisor {advisor.type}: {reason}")
    except AdvisorError as error:
        return Outcome(connected=True, detail="", unasked=f"advisor {advisor.type}: {error}")
    words = f"advisor {advisor.type}: {verdict.words}"
    if verdict.up is None:
        return Outcome(connected=True, detail="", unasked=words)
    return Outcome(connected=True, detail=words, error=None if verdict.up else words)


def _cannot_ask(check: Check, port: Port) -> str | None:
    """Return why an advisor cannot be asked over a connection to this port, None if it can."""
    if check.advisor.transport is not Transport.TCP:
        return f"it asks by {check.advisor.transport}, not by a connection"
    if check.at is At.SERVER:
        return "it asks the server's own address"
    if check.port not in (None, port.number):
        return f"it asks port {check.port}"
    return None


async def _converse(sock: socket.socket, dialogue: Dialogue) -> Verdict:
    loop = asyncio.get_running_loop()
    heard: bytes | None = None
    while True:
        step = advance(dialogue, heard)
        if isinstance(step, Verdict):
            return step
        heard = None
        if step is None:
            heard = await loop.sock_recv(sock, _LONGEST_BODY)
        else:
            await loop.sock_sendall(sock, step)


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
            f"GET / HTTP/1.0\r\nHost: {host}\r\n"
            "User-Agent: shunt-verify\r\nConnection: close\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\n")
        await _drain(reader)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return _judged(head)


async def _drain(reader: asyncio.StreamReader) -> None:
    """Let the server close first: fewer frames, and nothing for its log to complain of."""
    with contextlib.suppress(OSError):  # TimeoutError, too
        async with asyncio.timeout(_DRAIN_TIME):
            left = _LONGEST_BODY
            while left > 0 and (data := await reader.read(left)):
                left -= len(data)


def _judged(head: bytes) -> Outcome:
    line = head.decode("latin-1").strip()[:100]
    protocol, _, rest = line.partition(" ")
    status = rest[:3]
    if not protocol.startswith("HTTP/") or not status.isdecimal():
        return Outcome(connected=True, detail=line, error=f"not an HTTP answer: {line!r}")
    if int(status) >= 500:
        return Outcome(connected=True, detail=line, error=line)
    return Outcome(connected=True, detail=line)


def _trusting() -> ssl.SSLContext:
    """Return a context that takes any certificate: what is examined is the way, not the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
