"""telnet: the server's first negotiation, or its first words (RFC 854)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import HEAR, WrongAnswerError, shown, up
from shunt.advisors.settings import pattern, setting

if TYPE_CHECKING:
    import re

    from shunt.advisors.dialogue import Dialogue

_IAC, _SB, _SE = 255, 250, 240
_WILL, _WONT, _DO, _DONT = 251, 252, 253, 254
_REFUSAL = {_WILL: _DONT, _DO: _WONT}
_LONGEST = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Telnet(StreamAdvisor):
    """Anything that is said counts; with `expect`, a prompt must come. Options are refused."""

    name = "telnet"
    usual_port = 23
    expect: re.Pattern[str] | None = field(
        default=None,
        metadata=setting(pattern, "A regular expression that the server's words must contain."),
    )

    def talk(self, _target: Target, /) -> Dialogue:
        """Refuse what is offered until enough was said."""
        data = said = b""
        answered = 0
        while len(data) < _LONGEST:
            more = yield HEAR
            if not more:
                where = f"after {shown(said)!r}" if said.strip() else "without a word"
                raise WrongAnswerError(f"closed the connection {where}")
            data += more
            said, refusals = negotiated(data)
            if self.expect is None:
                return up(f"says {shown(said)!r}" if said.strip() else "negotiates")
            if self.expect.search(said.decode("utf-8", "replace")):
                return up(f"says {shown(said)!r}")
            if len(refusals) > answered:
                yield refusals[answered:]
                answered = len(refusals)
        raise WrongAnswerError(
            f"no {self.expect.pattern if self.expect else ''!r} in {_LONGEST} bytes"
        )


def negotiated(data: bytes) -> tuple[bytes, bytes]:
    """Return the words among the commands, and the refusals of every option so far."""
    said, refusals = bytearray(), bytearray()
    at = 0
    while at < len(data):
        if data[at] != _IAC:
            said.append(data[at])
            at += 1
            continue
        command = data[at + 1] if at + 1 < len(data) else None
        if command == _IAC:
            said.append(_IAC)
            at += 2
        elif command == _SB:
            end = data.find(bytes((_IAC, _SE)), at)
            at = len(data) if end < 0 else end + 2
        elif command is not None and command >= _WILL:
            if command in _REFUSAL and at + 2 < len(data):
                refusals += bytes((_IAC, _REFUSAL[command], data[at + 2]))
            at += 3
        else:
            at += 2
    return bytes(said), bytes(refusals)
