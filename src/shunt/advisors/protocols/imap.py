"""imap: greeting and LOGOUT (RFC 9051 section 7.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import Reader, WrongAnswerError, shown, up

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

_MOST_LINES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Imap(StreamAdvisor):
    """The server must greet with OK or PREAUTH and let us log out."""

    name = "imap"
    usual_port = 143

    def talk(self, _target: Target, /) -> Dialogue:
        """Hear the greeting, say LOGOUT."""
        reader = Reader()
        greeting = yield from reader.line()
        if greeting.upper().split(b" ")[:2] not in ([b"*", b"OK"], [b"*", b"PREAUTH"]):
            raise WrongAnswerError(f"no IMAP greeting: {shown(greeting)!r}")
        yield b"a1 LOGOUT\r\n"
        for _ in range(_MOST_LINES):
            line = yield from reader.line()
            if line.upper().startswith(b"A1 "):
                if line.upper().split(b" ")[1] != b"OK":
                    raise WrongAnswerError(f"LOGOUT refused: {shown(line)!r}")
                return up(greeting)
        raise WrongAnswerError(f"no answer to LOGOUT within {_MOST_LINES} lines")
