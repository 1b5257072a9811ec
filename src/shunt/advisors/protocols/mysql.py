"""mysql: greeting and log-in (MySQL and MariaDB, client/server protocol, HandshakeV10).

The log-in is needed, though it may be refused: a client that leaves before it is an error, and
after `max_connect_errors` of them (100) the server blocks the client's host; a refusal is none
(MySQL's reference manual, "The host_cache Table", SUM_CONNECT_ERRORS).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Advisor, Target
from shunt.advisors.dialogue import Reader, WrongAnswerError, shown, up
from shunt.advisors.settings import line, setting

if TYPE_CHECKING:
    from collections.abc import Generator

    from shunt.advisors.dialogue import Dialogue, Step

_VERSION, _ERROR, _OK, _OTHER_METHOD, _MORE = 10, 0xFF, 0x00, 0xFE, 0x01
_LONGEST = 1 << 16
_NOT_THIS_HOST = {1129, 1130}  # blocked, not allowed: who we are, not how the server is
_LONG_PASSWORD, _PROTOCOL_41, _SECURE_CONNECTION, _PLUGIN = 0x1, 0x200, 0x8000, 0x80000
_UTF8 = 33
_QUIT = b"\1\0\0\0\1"
_MOST_STEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Mysql(Advisor):
    """The server must greet and answer a log-in; "too many connections" counts as down."""

    name = "mysql"
    usual_port = 3306
    user: str = field(
        default="shunt", metadata=setting(line, "User to log in as, without a password.")
    )

    def talk(self, _target: Target, /) -> Dialogue:
        """Hear the greeting, log in, leave."""
        reader = Reader()
        number, packet = yield from _packet(reader)
        if number > 1:
            raise WrongAnswerError(f"no MySQL greeting: {shown(packet[:40])!r}")
        if packet[0] == _ERROR:
            code = int.from_bytes(packet[1:3], "little")
            if code in _NOT_THIS_HOST:
                return up(f"works; it does not let this host in: error {code}")
            raise WrongAnswerError(f"error {code}: {shown(packet[3:])}")
        version, end, rest = packet[1:].partition(b"\0")
        if packet[0] != _VERSION or not end:
            raise WrongAnswerError(f"no MySQL greeting: {shown(packet[:40])!r}")
        greeting = f"greets as {shown(version)}"
        if not _speaks_41(rest):  # older than 4.1 (2004)
            return up(greeting)
        yield login(self.user, number + 1)
        for _ in range(_MOST_STEPS):
            number, packet = yield from _packet(reader)
            if packet[0] == _OK:
                yield _QUIT
                return up(greeting)
            if packet[0] == _ERROR:
                return up(f"{greeting}, and refuses {self.user}")
            if packet[0] not in {_OTHER_METHOD, _MORE}:
                break
            yield bytes((0, 0, 0, (number + 1) & 0xFF))  # no password, by whatever method
        raise WrongAnswerError(f"no answer to a log-in: {shown(packet[:40])!r}")


def _packet(reader: Reader) -> Generator[Step, bytes, tuple[int, bytes]]:
    """Return a packet's number and its content."""
    header = yield from reader.exactly(4)
    length = int.from_bytes(header[:3], "little")
    if not 1 <= length <= _LONGEST:
        raise WrongAnswerError(f"no MySQL: {shown(header)!r}")
    return header[3], (yield from reader.exactly(length))


def _speaks_41(rest: bytes) -> bool:
    """Return whether a greeting, after its version, offers the protocol of 4.1."""
    # thread (4), a part of the salt (8), a filler (1), the lower half of the capabilities (2)
    return bool(int.from_bytes(rest[13:15], "little") & _PROTOCOL_41)


def login(user: str, number: int) -> bytes:
    """Return a HandshakeResponse41 without a password."""
    flags = _LONG_PASSWORD | _PROTOCOL_41 | _SECURE_CONNECTION | _PLUGIN
    body = (
        struct.pack("<IIB23x", flags, _LONGEST, _UTF8)
        + user.encode() + b"\0" + b"\0" + b"mysql_native_password\0"
    )  # fmt: skip
    return len(body).to_bytes(3, "little") + bytes((number & 0xFF,)) + body
