"""sip: OPTIONS (RFC 3261 section 11)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Advisor, Target, Transport
from shunt.advisors.dialogue import HEAR, Reader, WrongAnswerError, shown, up
from shunt.advisors.protocols.http import codes
from shunt.advisors.settings import choice, line, setting

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from shunt.advisors.dialogue import Dialogue, Step

_STATUS = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2})(?: .*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sip(Advisor):
    """OPTIONS must be answered with an expected status."""

    name = "sip"
    usual_port = 5060
    speaks_first = True
    user: str = field(default="shunt", metadata=setting(line, "The user of the From field."))
    expect: tuple[range, ...] = field(
        default=(range(200, 300), range(401, 406)),
        metadata=setting(codes, "Statuses that are right, like 200, 2xx."),
    )
    over: str = field(default="udp", metadata=setting(choice("udp", "tcp"), "Transport."))

    @property
    def transport(self) -> Transport:
        """Return what the settings say."""
        return Transport(self.over)

    def contradictions(self) -> Mapping[str, str]:
        """Return expected statuses none of which ends a transaction (RFC 3261 section 7.2)."""
        if all(right.stop <= 200 for right in self.expect):
            return {"expect": "statuses below 200 are provisional; expect others"}
        return {}

    def talk(self, target: Target, /) -> Dialogue:
        """Ask for options; provisional answers and other dialogues' are let pass."""
        token = os.urandom(6).hex()
        yield self.message(target, token)
        reader = Reader()
        while True:
            status = yield from (self._datagram(token) if self.over == "udp" else _stream(reader))
            found = _STATUS.fullmatch(status)
            if not found:
                raise WrongAnswerError(f"no SIP: {shown(status)!r}")
            if int(found[1]) < 200:
                continue
            if not any(int(found[1]) in right for right in self.expect):
                raise WrongAnswerError(shown(status))
            return up(status)

    def message(self, target: Target, token: str) -> bytes:
        """Return the request; `token` marks transaction, dialogue and call."""
        lines = (
            f"OPTIONS sip:{target.place} SIP/2.0",
            f"Via: SIP/2.0/{self.over.upper()} {target.place};branch=z9hG4bK{token};rport",
            "Max-Forwards: 1",
            f"From: <sip:{self.user}@shunt.invalid>;tag={token}",
            f"To: <sip:{target.place}>",
            f"Call-ID: {token}@shunt.invalid",
            "CSeq: 1 OPTIONS",
            "Accept: application/sdp",
            "Content-Length: 0",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _datagram(self, token: str) -> Generator[Step, bytes, bytes]:
        """Return the status line of the next message that belongs to us."""
        while True:
            message = yield HEAR
            head = message.partition(b"\r\n\r\n")[0]
            if token.encode() in head:
                return head.split(b"\r\n")[0]


def _stream(reader: Reader) -> Generator[Step, bytes, bytes]:
    """Return the status line of the next message, of which nothing is left; or what is none."""
    status = yield from reader.line()
    if not _STATUS.fullmatch(status):
        return status
    length = 0
    while field := (yield from reader.line()):
        name, _, value = field.partition(b":")
        if name.strip().lower() in {b"content-length", b"l"} and value.strip().isdigit():
            length = int(value.strip()[:9])
    yield from reader.exactly(length)
    return status
