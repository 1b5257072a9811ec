"""ssl: only the hellos of TLS; for servers of whatever protocol behind it (RFC 8446 section 4)."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Advisor, Target
from shunt.advisors.dialogue import Reader, WrongAnswerError, shown, up
from shunt.advisors.settings import host_name, setting
from shunt.advisors.tls import Tls, context

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

_HANDSHAKE, _ALERT = 22, 21
_SERVER_HELLO = 2
_LONGEST_RECORD = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssl(Advisor):
    """Says the client's hello; the server must answer with its own."""

    name = "ssl"
    usual_port = 443
    speaks_first = True
    server_name: str | None = field(default=None, metadata=setting(host_name, "The name for SNI."))

    def talk(self, _target: Target, /) -> Dialogue:
        """Send a client's hello, read one record."""
        yield client_hello(self.server_name)
        reader = Reader()
        header = yield from reader.exactly(5)
        kind, length = header[0], int.from_bytes(header[3:], "big")
        if header[1] != 3 or kind not in {_HANDSHAKE, _ALERT} or length > _LONGEST_RECORD + 256:
            raise WrongAnswerError(f"no TLS: {shown(header)!r}")
        record = yield from reader.exactly(length)
        if kind == _ALERT:
            code = record[1] if len(record) == 2 else 0
            raise WrongAnswerError(f"a TLS alert, number {code}")
        if record[:1] != bytes((_SERVER_HELLO,)):
            raise WrongAnswerError(f"no server hello but handshake message {record[:1].hex()}")
        return up("says its TLS hello")


def client_hello(server_name: str | None) -> bytes:
    """Return a client's first flight."""
    outgoing = ssl.MemoryBIO()
    tls = context(Tls()).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()
