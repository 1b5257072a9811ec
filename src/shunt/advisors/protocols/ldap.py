"""ldap: an anonymous bind and a search of the root entry (RFC 4511)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.ber import (
    BOOLEAN,
    ENUMERATED,
    OCTETS,
    SEQUENCE,
    BerError,
    Piece,
    encoded,
    header,
    integer,
    piece,
)
from shunt.advisors.dialogue import Reader, WrongAnswerError, shown, up
from shunt.advisors.settings import setting, text

if TYPE_CHECKING:
    from collections.abc import Generator

    from shunt.advisors.dialogue import Dialogue, Step

_BIND, _BIND_ANSWER = 0x60, 0x61
_SEARCH, _ENTRY, _REFERENCE, _DONE = 0x63, 0x64, 0x73, 0x65
_UNBIND = 0x42
_SIMPLE, _PRESENT = 0x80, 0x87
_LONGEST = 1 << 18
_MOST_ENTRIES = 100
_NAMES = {32: "no such object", 49: "invalid credentials", 51: "busy", 52: "unavailable",
          53: "unwilling to perform"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ldap(StreamAdvisor):
    """Bind and base search must succeed."""

    name = "ldap"
    usual_port = 389
    speaks_first = True
    bind: str = field(default="", metadata=setting(text, "Name to bind as; empty: anonymous."))
    password: str = field(default="", metadata=setting(text, "Password to bind with."))
    base: str = field(
        default="", metadata=setting(text, "Entry to look for; empty: the server's root entry.")
    )

    def talk(self, _target: Target, /) -> Dialogue:
        """Bind, search, unbind."""
        reader = Reader()
        yield _message(
            1,
            encoded(
                _BIND,
                integer(3),
                encoded(OCTETS, self.bind.encode()),
                encoded(_SIMPLE, self.password.encode()),
            ),
        )
        _succeeded("bind", (yield from _answer(reader)), _BIND_ANSWER)
        yield _message(2, search(self.base))
        for _ in range(_MOST_ENTRIES):
            found = yield from _answer(reader)
            if found.tag not in {_ENTRY, _REFERENCE}:
                _succeeded("search", found, _DONE)
                yield _message(3, encoded(_UNBIND))
                return up("bind and search succeed")
        raise WrongAnswerError(f"a search of one entry with more than {_MOST_ENTRIES} answers")


def search(base: str) -> bytes:
    """Return a search request: scope base, no attributes, any object class."""
    return encoded(
        _SEARCH,
        encoded(OCTETS, base.encode()),
        integer(0, ENUMERATED),  # scope: the entry itself
        integer(0, ENUMERATED),  # never follow aliases
        integer(1),  # one entry
        integer(10),  # seconds
        encoded(BOOLEAN, b"\0"),
        encoded(_PRESENT, b"objectClass"),
        encoded(SEQUENCE, encoded(OCTETS, b"1.1")),
    )


def _message(number: int, operation: bytes) -> bytes:
    return encoded(SEQUENCE, integer(number), operation)


def _answer(reader: Reader) -> Generator[Step, bytes, Piece]:
    """Return the operation of the next message: it follows the number (section 4.1.1)."""
    try:
        head = yield from reader.exactly(2)
        while (sizes := header(head)) is None:
            head += yield from reader.exactly(1)
        if head[0] != SEQUENCE or sizes[1] > _LONGEST:
            raise WrongAnswerError(f"no LDAP: {shown(head)!r}")
        message = yield from reader.exactly(sizes[1])
        return piece(message, piece(message).end)
    except BerError as error:
        raise WrongAnswerError(f"no LDAP: {error}") from None


def _succeeded(what: str, found: Piece, tag: int) -> None:
    try:
        code = piece(found.content)
    except BerError as error:
        raise WrongAnswerError(f"no LDAP: {error}") from None
    if found.tag != tag or code.tag != ENUMERATED:
        raise WrongAnswerError(f"{what}: an answer of another kind, {found.tag:#x}")
    number = int.from_bytes(code.content, "big")
    if number:
        raise WrongAnswerError(f"{what} refused: {_NAMES.get(number, 'result code')} ({number})")
