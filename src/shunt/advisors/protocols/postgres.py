"""postgres: a start-up message, and the server's wish for a password (protocol 3.0, 55.7)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Advisor, Target
from shunt.advisors.dialogue import Reader, WrongAnswerError, shown, up
from shunt.advisors.settings import line, setting

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

_PROTOCOL = 3 << 16
_LONGEST = 1 << 16
# Refusals that only a working server gives: who we are, not how it is (SQLSTATE class 28, 3D000).
_WORKING = ("28", "3D000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres(Advisor):
    """The server must ask who we are, let us in, or refuse us by name."""

    name = "postgres"
    usual_port = 5432
    speaks_first = True
    user: str = field(default="shunt", metadata=setting(line, "User name of the start-up message."))
    database: str = field(
        default="postgres", metadata=setting(line, "Database of the start-up message.")
    )

    def talk(self, _target: Target, /) -> Dialogue:
        """Send a start-up message, hear one message, say good-bye."""
        yield startup(self.user, self.database)
        reader = Reader()
        header = yield from reader.exactly(5)
        kind, length = header[:1], int.from_bytes(header[1:], "big")
        if kind not in {b"R", b"E", b"v"} or not 4 <= length <= _LONGEST:
            raise WrongAnswerError(f"no PostgreSQL: {shown(header)!r}")
        body = yield from reader.exactly(length - 4)
        if kind == b"E":
            fields = error_fields(body)
            state, message = fields.get("C", ""), fields.get("M", "")
            if not state.startswith(_WORKING):
                raise WrongAnswerError(f"{state}: {shown(message)}")
            return up(f"works; {shown(message)}")
        yield b"X\0\0\0\4"
        return up("asks who we are" if kind == b"R" else "answers")


def startup(user: str, database: str) -> bytes:
    """Return a StartupMessage."""
    pairs = b"".join(word.encode() + b"\0" for word in ("user", user, "database", database))
    body = struct.pack("!I", _PROTOCOL) + pairs + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def error_fields(body: bytes) -> dict[str, str]:
    """Return the fields of an ErrorResponse by their letters."""
    fields = (part.decode("utf-8", "replace") for part in body.split(b"\0") if part)
    return {field[0]: field[1:] for field in fields}
