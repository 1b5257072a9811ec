"""tcp and udp: what is said, and what must be answered, for protocols that have no advisor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Advisor, StreamAdvisor, Target, Transport
from shunt.advisors.dialogue import HEAR, Reader, WrongAnswerError, shown, up
from shunt.advisors.octets import octets
from shunt.advisors.pattern import Pattern, bytes_pattern
from shunt.advisors.settings import SettingError, setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.advisors.dialogue import Dialogue

_LONGEST = 1 << 16  # bytes of an answer that are looked at


def something(value: object) -> bytes:
    """Return bytes, at least one."""
    found = octets(value)
    if not found:
        raise SettingError("is empty; say something, for nobody answers nothing")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp(StreamAdvisor):
    """Says `send`, if there is one; what the server says must have `expect`."""

    name = "tcp"
    send: bytes = field(
        default=b"",
        metadata=setting(octets, "What to say first; `\\r`, `\\n`, `\\x00`: bytes."),
    )
    expect: Pattern | None = field(
        default=None,
        metadata=setting(
            bytes_pattern,
            "A regular expression over bytes that the answer must contain (its first 64 KiB); "
            "default any answer.",
        ),
    )

    def contradictions(self) -> Mapping[str, str]:
        """Return what says nothing and expects nothing."""
        if not self.send and self.expect is None:
            return {"expect": "is missing, and `send` too; `connect` opens a connection only"}
        return {}

    def talk(self, _target: Target, /) -> Dialogue:
        """Say it, hear until it is enough."""
        if self.send:
            yield self.send
        wanted = self.expect
        if wanted is None:
            said = yield HEAR
        else:
            said = yield from Reader(_LONGEST).rest(enough=wanted.looked_for)
        if not said:
            raise WrongAnswerError("closed the connection without a word")
        if wanted is not None and not (yield from wanted.looked_for(said)):
            raise WrongAnswerError(f"no {wanted.text!r} in {shown(said[:80])!r}")
        return up(f"says {shown(said[:80])!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Udp(Advisor):
    """Says `send` in a datagram; the first one that comes back must have `expect`."""

    name = "udp"
    speaks_first = True
    send: bytes = field(metadata=setting(something, "What to say; `\\r`, `\\n`, `\\x00`: bytes."))
    expect: Pattern | None = field(
        default=None,
        metadata=setting(
            bytes_pattern,
            "A regular expression over bytes that the answer must contain; default any answer.",
        ),
    )

    @property
    def transport(self) -> Transport:
        """Return datagrams."""
        return Transport.UDP

    def talk(self, _target: Target, /) -> Dialogue:
        """Say it, hear one datagram."""
        yield self.send
        said = yield HEAR
        if self.expect is not None and not (yield from self.expect.looked_for(said)):
            raise WrongAnswerError(f"no {self.expect.text!r} in {shown(said[:80])!r}")
        return up(f"says {shown(said[:80])!r}")
