"""redis: PING (RESP, https://redis.io/docs/latest/develop/reference/protocol-spec/)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import Reader, WrongAnswerError, up
from shunt.advisors.settings import line, setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.advisors.dialogue import Dialogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis(StreamAdvisor):
    """PING must be answered with PONG; a server that only asks for a password works, too."""

    name = "redis"
    usual_port = 6379
    speaks_first = True
    user: str | None = field(
        default=None, metadata=setting(line, "User for AUTH, with a password.")
    )
    password: str | None = field(default=None, metadata=setting(line, "Password for AUTH."))

    def contradictions(self) -> Mapping[str, str]:
        """Return a user without a password, who would never be named."""
        if self.user is not None and self.password is None:
            return {"user": "is named with a password only; give `password` as well"}
        return {}

    def talk(self, _target: Target, /) -> Dialogue:
        """Say AUTH if there is a password, then PING."""
        reader = Reader()
        if self.password is not None:
            yield command("AUTH", *([self.user] if self.user else []), self.password)
            answer = yield from reader.line()
            if answer != b"+OK":
                raise WrongAnswerError(answer)
        yield command("PING")
        answer = yield from reader.line()
        if answer == b"+PONG":
            return up("PONG")
        if answer.startswith(b"-NOAUTH"):
            return up("works; it asks for a password")
        if answer.startswith(b"-NOPERM"):
            return up("works; it does not let this user ping")
        raise WrongAnswerError(answer)


def command(*parts: str) -> bytes:
    """Return a command as an array of strings."""
    encoded = [part.encode() for part in parts]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(e), e) for e in encoded)
