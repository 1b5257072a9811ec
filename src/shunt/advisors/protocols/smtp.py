"""smtp: greeting, EHLO, QUIT (RFC 5321)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import Reader, up
from shunt.advisors.protocols.replies import expected
from shunt.advisors.settings import line, setting

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp(StreamAdvisor):
    """The server must greet with 220 and accept EHLO."""

    name = "smtp"
    usual_port = 25
    helo: str = field(default="localhost", metadata=setting(line, "The name that EHLO gives."))

    def talk(self, _target: Target, /) -> Dialogue:
        """Hear the greeting, say EHLO and QUIT."""
        reader = Reader()
        greeting = yield from expected(reader, 220)
        yield f"EHLO {self.helo}\r\n".encode()
        yield from expected(reader, 250)
        yield b"QUIT\r\n"
        yield from expected(reader, 221)
        return up(greeting.words)
