"""telnet: the server's first negotiation, or its first words (RFC 854)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import HEAR, WrongAnswerError, shown, up
from shunt.advisors.pattern import Pattern, pattern
from shunt.advisors.settings import setting

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

_IAC, _SB, _SE = 255, 250, 240
_WILL, _WONT, _DO, _DONT = 251, 252, 253, 254
_REFUSAL = {_WILL: _DONT, _DO: _WONT}
_LONGEST = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Telnet(StreamAdvisor):
    """Anything that is said counts; with `expect`, a prompt must come. Options are refused."""

    name = "telnet"
    usual_port = 23
    expect: Pattern | None = field(
        default=None,
        metadata=setting(pattern, "A regular expression that the server's words must contain."),
    )

    def talk(self, _target: Target, /) -> Dialogue:
        """Refuse what is offered until enough was said."""
        negotiation = Negotiation()
        said = negotiation.said
        while negotiation.heard < _LONGEST:
            more = yield HEAR
            if not more:
                where = f"after {shown(bytes(said))!r}" if said.strip() else "without a word"
                raise WrongAnswerError(f"closed the connection {where}")
            refusals = negotiation.hear(more)
            if self.expect is None:
                return up(f"says {shown(bytes(said))!r}" if said.strip() else "negotiates")
            words = said.decode("utf-8", "replace").encode()
            if (yield from self.expect.looked_for(words)):
                return up(f"says {shown(bytes(said))!r}")
            if refusals:
                yield refusals
        raise WrongAnswerError(
            f"no {self.expect.text if self.expect else ''!r} in {_LONGEST} bytes"
        )


class Negotiation:
    """Takes words and commands apart, however they are cut into pieces.

    Attributes:
        said: the words so far.
        heard: how many bytes came.
    """

    def __init__(self) -> None:
        self.said = bytearray()
        self.heard = 0
        self._begun = b""  # a command whose end has not come

    def hear(self, more: bytes) -> bytes:
        """Take what came; return the refusals of what it offers or wants."""
        self.heard += len(more)
        data, self._begun = self._begun + more, b""
        refusals = bytearray()
        at = 0
        while (command := data.find(_IAC, at)) >= 0:
            self.said += data[at:command]
            end = _end(data, command)
            if end is None:
                self._begun = data[command:]
                return bytes(refusals)
            kind = data[command + 1]
            if kind == _IAC:
                self.said.append(_IAC)
            elif kind in _REFUSAL:
                refusals += bytes((_IAC, _REFUSAL[kind], data[command + 2]))
            at = end
        self.said += data[at:]
        return bytes(refusals)


def _end(data: bytes, at: int) -> int | None:
    """Return where the command that begins at `at` ends, None if that has not come."""
    kind = data[at + 1] if at + 1 < len(data) else None
    if kind == _SB:
        end = data.find(bytes((_IAC, _SE)), at)
        return end + 2 if end >= 0 else None
    length = 3 if kind is not None and _WILL <= kind <= _DONT else 2
    return at + length if at + length <= len(data) else None
