"""ssl: only the hellos of TLS; for servers of whatever protocol behind it (RFC 8446 section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Advisor, Target
from shunt.advisors.dialogue import Reader, WrongAnswerError, shown, up
from shunt.advisors.settings import choice, host_name, setting
from shunt.advisors.tls_hello import NAMES, RECORD_HEAD, VERSIONS, client_hello, server_version

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

_HANDSHAKE, _ALERT = 22, 21
_LONGEST_RECORD = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssl(Advisor):
    """Says the client's hello; the server must answer with its own."""

    name = "ssl"
    usual_port = 443
    speaks_first = True
    server_name: str | None = field(default=None, metadata=setting(host_name, "The name for SNI."))
    tls_minimum: str = field(
        default="1.0",
        metadata=setting(choice(*VERSIONS), "Oldest version of TLS that is right: 1.0 to 1.3."),
    )

    def talk(self, _target: Target, /) -> Dialogue:
        """Send a client's hello, read one record."""
        yield client_hello(self.server_name, self.tls_minimum)
        reader = Reader()
        header = yield from reader.exactly(RECORD_HEAD)
        kind, length = header[0], int.from_bytes(header[3:], "big")
        if header[1] != 3 or kind not in {_HANDSHAKE, _ALERT} or length > _LONGEST_RECORD + 256:
            raise WrongAnswerError(f"no TLS: {shown(header)!r}")
        record = yield from reader.exactly(length)
        if kind == _ALERT:
            code = record[1] if len(record) == 2 else 0
            raise WrongAnswerError(f"a TLS alert, number {code}")
        version = server_version(record)
        name = NAMES.get(version, f"version {version:#06x}")
        if version < VERSIONS[self.tls_minimum]:
            raise WrongAnswerError(f"speaks {name}, which is older than {self.tls_minimum}")
        return up(f"says its TLS hello ({name})")
