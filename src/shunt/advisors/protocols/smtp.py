"""smtp: greeting, EHLO or HELO, QUIT (RFC 5321 sections 3.1, 3.2 and 4.1.4)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import Reader, WrongAnswerError, up
from shunt.advisors.protocols.replies import expected, reply
from shunt.advisors.settings import line, setting

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp(StreamAdvisor):
    """The server must greet with 220 and accept EHLO, or HELO if it does not know that."""

    name = "smtp"
    usual_port = 25
    helo: str = field(
        default="localhost", metadata=setting(line, "The name that EHLO and HELO give.")
    )

    def talk(self, _target: Target, /) -> Dialogue:
        """Hear the greeting, say EHLO and QUIT; how the server takes its leave says nothing."""
        reader = Reader()
        greeting = yield from expected(reader, 220)
        yield f"EHLO {self.helo}\r\n".encode()
        answer = yield from reply(reader)
        if 500 <= answer.code < 600:
            yield f"HELO {self.helo}\r\n".encode()
            answer = yield from reply(reader)
        if answer.code != 250:
            raise WrongAnswerError(answer.words)
        yield b"QUIT\r\n"
        with contextlib.suppress(WrongAnswerError):
            yield from reply(reader)
        return up(greeting.words)
