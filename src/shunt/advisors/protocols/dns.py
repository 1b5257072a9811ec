"""dns: a query, by datagram or stream (RFC 1035 section 4)."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Advisor, Target, Transport
from shunt.advisors.dialogue import HEAR, Reader, WrongAnswerError, up
from shunt.advisors.settings import SettingError, choice, setting, text, words

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

_HEADER = struct.Struct("!HHHHHH")  # id, flags, questions, answers, authorities, additional
_TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28,
          "SRV": 33}  # fmt: skip
_CODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
_RESPONSE, _RECURSE = 0x8000, 0x0100


def domain_name(value: object) -> str:
    """Return a domain name that fits a question."""
    found = text(value)
    labels = found.rstrip(".").split(".") if found.rstrip(".") else []
    if len(found) > 253 or not all(re.fullmatch(r"[!-~]{1,63}", label) for label in labels):
        raise SettingError(f"`{found}` is no domain name")
    return found


def codes(value: object) -> tuple[str, ...]:
    """Return response codes."""
    found = tuple(word.strip().upper() for each in words(value) for word in each.split(","))
    for each in found:
        if each not in _CODES:
            raise SettingError(f"`{each}` is no response code; one of {', '.join(_CODES)}")
    if not found:
        raise SettingError("no code would be right; give at least one")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns(Advisor):
    """A query must be answered with one of the expected codes."""

    name = "dns"
    usual_port = 53
    query: str = field(default=".", metadata=setting(domain_name, "The name to ask for."))
    record: str = field(default="NS", metadata=setting(choice(*_TYPES), "The type to ask for."))
    expect: tuple[str, ...] = field(
        default=("NOERROR", "NXDOMAIN", "REFUSED"),
        metadata=setting(codes, "Response codes that are right."),
    )
    over: str = field(default="udp", metadata=setting(choice("udp", "tcp"), "Transport."))

    @property
    def transport(self) -> Transport:
        """Return what the settings say."""
        return Transport(self.over)

    def talk(self, _target: Target, /) -> Dialogue:
        """Ask, and hear the answer to this question; others are let pass."""
        number = int.from_bytes(os.urandom(2), "big")
        question = _question(self.query, _TYPES[self.record])
        message = _HEADER.pack(number, _RECURSE, 1, 0, 0, 0) + question
        if self.transport is Transport.TCP:
            yield struct.pack("!H", len(message)) + message
            reader = Reader()
            length = int.from_bytes((yield from reader.exactly(2)), "big")
            heard = yield from reader.exactly(length)
            code = answer(heard, number, question)
            if code is None:
                raise WrongAnswerError("an answer to another question")
        else:
            yield message
            while (code := answer((yield HEAR), number, question)) is None:
                pass
        if code not in self.expect:
            raise WrongAnswerError(f"answers {code}")
        return up(f"answers {code}")


def _question(domain: str, kind: int) -> bytes:
    labels = [label.encode() for label in domain.rstrip(".").split(".") if label]
    encoded = b"".join(bytes((len(label),)) + label for label in labels)
    return encoded + b"\0" + struct.pack("!HH", kind, 1)


def answer(message: bytes, number: int, question: bytes) -> str | None:
    """Return the response code of a message; None if it does not answer this question."""
    if len(message) < _HEADER.size:
        return None
    found, flags, questions, *_ = _HEADER.unpack_from(message)
    if found != number or not flags & _RESPONSE:
        return None
    asked = message[_HEADER.size : _HEADER.size + len(question)]
    if questions and asked.lower() != question.lower():
        return None
    code = flags & 0xF
    return _CODES[code] if code < len(_CODES) else f"code {code}"
