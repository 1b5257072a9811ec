"""mysql: the server's greeting (MySQL and MariaDB, client/server protocol, HandshakeV10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Advisor, Target
from shunt.advisors.dialogue import Reader, WrongAnswerError, shown, up

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

_VERSION, _ERROR = 10, 0xFF
_LONGEST = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Mysql(Advisor):
    """The server must greet and name its version; "too many connections" counts as down."""

    name = "mysql"
    usual_port = 3306

    def talk(self, _target: Target, /) -> Dialogue:
        """Hear one packet."""
        reader = Reader()
        header = yield from reader.exactly(4)
        length = int.from_bytes(header[:3], "little")
        if not 1 <= length <= _LONGEST or header[3] > 1:
            raise WrongAnswerError(f"no MySQL: {shown(header)!r}")
        packet = yield from reader.exactly(length)
        if packet[0] == _ERROR:
            code = int.from_bytes(packet[1:3], "little")
            raise WrongAnswerError(f"error {code}: {shown(packet[3:])}")
        version, end, _ = packet[1:].partition(b"\0")
        if packet[0] != _VERSION or not end:
            raise WrongAnswerError(f"no MySQL greeting: {shown(packet[:40])!r}")
        return up(f"greets as {shown(version)}")
