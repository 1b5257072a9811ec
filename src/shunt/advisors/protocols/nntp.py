"""nntp: greeting and QUIT (RFC 3977 section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import Reader, up
from shunt.advisors.protocols.replies import expected

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Nntp(StreamAdvisor):
    """The server must greet with 200 or 201 (no posting)."""

    name = "nntp"
    usual_port = 119

    def talk(self, _target: Target, /) -> Dialogue:
        """Hear the greeting, say QUIT."""
        reader = Reader()
        greeting = yield from expected(reader, 200, 201)
        yield b"QUIT\r\n"
        yield from expected(reader, 205)
        return up(greeting.words)
