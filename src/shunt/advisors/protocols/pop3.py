"""pop3: greeting and QUIT (RFC 1939)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import Reader, WrongAnswerError, shown, up

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue, Hearing


@dataclass(frozen=True, slots=True, kw_only=True)
class Pop3(StreamAdvisor):
    """Greeting and QUIT must be answered with +OK."""

    name = "pop3"
    usual_port = 110

    def talk(self, _target: Target, /) -> Dialogue:
        """Hear the greeting, say QUIT."""
        reader = Reader()
        greeting = yield from _ok(reader)
        yield b"QUIT\r\n"
        yield from _ok(reader)
        return up(greeting)


def _ok(reader: Reader) -> Hearing:
    line = yield from reader.line()
    if line.split(b" ", 1)[0] != b"+OK":
        raise WrongAnswerError(f"no +OK: {shown(line)!r}")
    return line
