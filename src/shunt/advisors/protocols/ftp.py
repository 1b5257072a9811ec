"""ftp: greeting and QUIT (RFC 959)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import Reader, up
from shunt.advisors.protocols.replies import expected, reply

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Ftp(StreamAdvisor):
    """The server must greet with 220, after 120 ("in a moment") if it likes."""

    name = "ftp"
    usual_port = 21

    def talk(self, _target: Target, /) -> Dialogue:
        """Hear the greeting, say QUIT."""
        reader = Reader()
        greeting = yield from expected(reader, 220, 120)
        if greeting.code == 120:
            greeting = yield from expected(reader, 220)
        yield b"QUIT\r\n"
        yield from reply(reader)
        return up(greeting.words)
