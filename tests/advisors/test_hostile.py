"""Every advisor against every way in which a server can be hostile, and what is said of it."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest

from shunt.advisors import registry
from shunt.advisors.advisor import Target, Transport
from shunt.advisors.check import make
from shunt.advisors.run import run
from tests.advisors.serving import LOOPBACK, impatient, serving, silent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.advisors.check import Check

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "exec": {"command": "/bin/true"},
    "telnet": {"expect": "login: $"},
    "tcp": {"expect": "ready"},
    "udp": {"send": "x", "expect": "ready"},
    "http": {"request": "/", "body": "healthy"},
    "agent": {"port": "1"},
    "dns by tcp": {"over": "tcp"},
    "sip by tcp": {"over": "tcp"},
    "smtp by tls": {"tls": "yes"},
}
STREAM = [
    name
    for name in (*registry.BUILT_IN, *SETTINGS)
    if make(name.split()[0], SETTINGS.get(name, {}), port=1).advisor.transport is Transport.TCP
]
STREAM = [name for name in dict.fromkeys(STREAM) if name != "connect"]
REFUSED_AT_ITS_HEAD = {"ssl", "ldap", "mysql", "postgres", "https", "smtp by tls"}

# What each says of a server that speaks another protocol, and of one that never stops.
WRONG = b"SSH-2.0-OpenSSH_9.2 " + b"\0" * 12 + b"\r\n"
WRONG_WORDS = {
    "tcp": "no 'ready' in 'SSH-2.0-OpenSSH_9.2",
    "http": "no HTTP: 'SSH-2.0",
    "https": "no TLS handshake: ",
    "ssl": "no TLS: 'SSH-2'",
    "smtp": "no reply code in 'SSH-2.0",
    "smtp by tls": "no TLS handshake: ",
    "imap": "no IMAP greeting: 'SSH",
    "pop3": "no +OK: 'SSH-2.0",
    "ftp": "no reply code in 'SSH-2.0",
    "nntp": "no reply code in 'SSH-2.0",
    "telnet": "closed the connection after 'SSH-2.0-OpenSSH_9.2",
    "ldap": "no LDAP: 'SS'",
    "redis": "SSH-2.0-OpenSSH_9.2",
    "mysql": "no MySQL: 'SSH-'",
    "postgres": "no PostgreSQL: 'SSH-2'",
    "grpc": "no HTTP/2, or a frame of 5460808 bytes",
    "agent": "not a word of agents: 'SSH-2.0-OpenSSH_9.2",
    "prometheus": "no HTTP: 'SSH-2.0",
    "dns by tcp": "closed the connection after 32 of 21331 bytes",
    "sip by tcp": "no SIP: 'SSH-2.0",
}
# The beginning of a right answer, without its end, and what never ends after it.
BEGINNINGS = {
    "tcp": (b"wait", b"wait", "no 'ready' in 'wait"),
    "http": (b"HTTP/1.1 200 OK\r\n\r\n", b"x", "but the body has no 'healthy'; it begins with"),
    "https": (b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03", b"\x03", "no TLS handshake: "),
    "ssl": (b"\x16\x03\x03\xff\xff", b"x", "no TLS: "),
    "smtp": (b"220-", b"220-mail\r\n", "a reply of more than 200 lines"),
    "smtp by tls": (b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03", b"\x03", "no TLS handshake: "),
    "imap": (b"* OK ", b"x", "a line of more than 4096 bytes"),
    "pop3": (b"+OK ", b"x", "a line of more than 4096 bytes"),
    "ftp": (b"220-", b"\r\nwell", "a reply of more than 200 lines"),
    "nntp": (b"200 ", b"x", "a line of more than 4096 bytes"),
    "telnet": (b"\xff\xfd\x18", b"motd\r\n", "no 'login: $' in 16384 bytes"),
    "ldap": (b"\x30\x84\x00\x7f\xff\xff", b"\x04", "no LDAP: "),
    "redis": (b"+", b"PONG", "a line of more than 4096 bytes"),
    "mysql": (b"\xff\xff\xff\x00", b"\x0a", "no MySQL: "),
    "postgres": (b"R\x7f\xff\xff\xff", b"\0", "no PostgreSQL: "),
    "grpc": (b"", b"\0\0\0\x04\0\0\0\0\0", "an answer of more than 1048576 bytes"),
    "agent": (b"up ", b"up ", "a line of more than 1024 bytes"),
    "prometheus": (b"HTTP/1.0 200 OK\r\n\r\n", b"load 1\n", "no series matches"),
    "dns by tcp": (b"\xff\xff", b"x", "an answer to another question"),
    "sip by tcp": (b"", b"SIP/2.0 100 Trying\r\n\r\n", "an answer of more than 1048576 bytes"),
}
HASTE = 0.5  # seconds, for servers that say nothing in time
SILENT = "no full answer within 0.5 s"


def a_check(name: str, seconds: float = 30.0) -> Check:
    return impatient(make(name.split(maxsplit=1)[0], SETTINGS.get(name, {}), port=1), seconds)


async def _verdict(name: str, handler: Any, seconds: float = 30.0) -> tuple[bool | None, str]:
    async with serving(handler) as target:
        verdict = await run(a_check(name, seconds), target)
    assert verdict.words.isprintable()
    assert len(verdict.words) <= 300
    assert "within 30 s" not in verdict.words
    return verdict.up, verdict.words


def test_every_stream_advisor_is_here() -> None:
    assert set(STREAM) == set(WRONG_WORDS) == set(BEGINNINGS)
    assert len(STREAM) == 20


async def test_silent_servers() -> None:
    found = await asyncio.gather(*(_verdict(name, silent, HASTE) for name in STREAM))
    assert dict(zip(STREAM, found, strict=True)) == dict.fromkeys(STREAM, (False, SILENT))


async def test_slow_servers() -> None:
    async def ask(name: str) -> tuple[bool | None, str]:
        async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            beginning, more, _words = BEGINNINGS[name]
            for byte in beginning + more * 1000:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0.03)

        return await _verdict(name, slow, HASTE)

    found = await asyncio.gather(*(ask(name) for name in STREAM))
    for name, (up, words) in zip(STREAM, found, strict=True):
        assert up is False, name
        assert words == SILENT or (name in REFUSED_AT_ITS_HEAD and BEGINNINGS[name][2] in words)


@pytest.mark.parametrize("name", STREAM)
async def test_a_server_that_is_another(name: str) -> None:
    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WRONG)
        writer.write_eof()
        await reader.read()

    up, words = await _verdict(name, wrong)
    assert up is False
    assert WRONG_WORDS[name] in words


@pytest.mark.parametrize("name", STREAM)
async def test_a_server_that_never_stops(name: str) -> None:
    async def huge(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beginning, more, _words = BEGINNINGS[name]
        writer.write(beginning)
        while True:
            writer.write(more * (60_000 // len(more)))
            await writer.drain()

    up, words = await _verdict(name, huge)
    assert up is False
    assert BEGINNINGS[name][2] in words


@pytest.mark.parametrize("name", STREAM)
async def test_a_server_that_resets(name: str) -> None:
    async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if make(name.split(maxsplit=1)[0], SETTINGS.get(name, {}), port=1).advisor.speaks_first:
            await reader.read(1)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert await _verdict(name, resetting) == (False, "resets the connection")


@pytest.mark.parametrize("name", STREAM)
async def test_a_server_that_closes_its_side_at_once(name: str) -> None:
    async def half_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        await reader.read()

    up, words = await _verdict(name, half_open)
    assert up is False
    assert words.startswith("closed the connection ")


@pytest.mark.parametrize("name", STREAM)
async def test_a_server_that_closes_its_side_within_its_answer(name: str) -> None:
    async def half_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beginning, more, _words = BEGINNINGS[name]
        writer.write((beginning + more)[:5])
        writer.write_eof()
        await reader.read()

    up, words = await _verdict(name, half_open)
    assert up is False
    cut = re.match("closed the connection (within|after)", words)
    assert cut or BEGINNINGS[name][2] in words


# Datagrams.

DATAGRAM = ("dns", "sip")


class Peer(asyncio.DatagramProtocol):
    """Answers each datagram with some; `@` stands for what was asked."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for answer in self.answers:
            self.transport.sendto(answer.replace(b"@", data), addr)


async def _answered(name: str, *answers: bytes) -> tuple[bool | None, str]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Peer(*answers), local_addr=(str(LOOPBACK), 0)
    )
    port = transport.get_extra_info("sockname")[1]
    verdict = await run(a_check(name, HASTE), Target(LOOPBACK, port))
    transport.close()
    return verdict.up, verdict.words


@pytest.mark.parametrize("name", DATAGRAM)
async def test_datagrams_of_others_are_no_answer(name: str) -> None:
    hostile = ((), (b"noise",), (b"",), (b"x" * 65_000, bytes(65_000)), (b"a", b"b", b"c") * 30)
    found = await asyncio.gather(*(_answered(name, *answers) for answers in hostile))
    assert found == [(False, SILENT)] * len(hostile)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"HTTP/1.1 200 OK\r\n@" + b"x" * 30_000, "no SIP: 'HTTP/1.1 200 OK'"),
     (b"SIP/2.0 503 Full\r\n@", "SIP/2.0 503 Full"), (b"@", "no SIP: 'OPTIONS")],
)  # fmt: skip
async def test_a_wrong_datagram_that_names_our_request_is_an_answer(
    answer: bytes, words: str
) -> None:
    up, said = await _answered("sip", answer)
    assert up is False
    assert said.startswith(words)


@pytest.mark.parametrize("name", DATAGRAM)
async def test_a_port_where_nothing_listens_for_datagrams(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((str(LOOPBACK), 0))
        port = free.getsockname()[1]
    verdict = await run(a_check(name), Target(LOOPBACK, port))
    assert (verdict.up, verdict.words) == (False, "refuses connections: nothing listens there")
