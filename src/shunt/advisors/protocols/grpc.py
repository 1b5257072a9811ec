"""grpc: the health service that gRPC servers have (grpc.health.v1, gRPC's health-checking.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import Reader, WrongAnswerError, up
from shunt.advisors.protocols import http2
from shunt.advisors.settings import (
    SettingError,
    authority,
    host_name,
    setting,
    text,
    without_port,
)
from shunt.advisors.tls import Tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.advisors.dialogue import Dialogue, Hearing

_STREAM = 1
_STATUS = {
    0: "UNKNOWN: no service by that name, or nobody has set its health",
    1: "SERVING",
    2: "NOT_SERVING",
    3: "SERVICE_UNKNOWN",
}
_SERVING = 1
_LONGEST = 1 << 10  # bytes of an answer that is one small number


@dataclass(frozen=True, slots=True, kw_only=True)
class Grpc(StreamAdvisor):
    """Asks for the health of a service; the answer must be SERVING."""

    name = "grpc"
    usual_port = 50051
    speaks_first = True
    health_of: str = field(
        default="",
        metadata=setting(text, "Name of the gRPC service; empty: the server as a whole."),
    )
    authority: str | None = field(
        default=None, metadata=setting(authority, "The authority to name; default the address.")
    )

    @property
    def secure(self) -> Tls | None:
        """Return TLS with HTTP/2 by ALPN, if wished."""
        name = self.authority and without_port(self.authority)
        return Tls(protocols=("h2",), server_name=name) if self.tls else None

    def contradictions(self) -> Mapping[str, str]:
        """Return an authority that is no name for TLS."""
        if self.tls and self.authority is not None:
            try:
                host_name(without_port(self.authority))
            except SettingError as error:
                return {"authority": str(error)}
        return {}

    def talk(self, target: Target, /) -> Dialogue:
        """Make one call and look at its message."""
        yield self.call(target)
        message = yield from _message(Reader())
        status = serving_status(message)
        if status != _SERVING:
            raise WrongAnswerError(f"says {_STATUS.get(status, f'status {status}')}")
        return up("says SERVING")

    def call(self, target: Target) -> bytes:
        """Return preface, settings and the whole call."""
        name = self.health_of.encode()
        request = b"\x0a" + varint(len(name)) + name if name else b""
        head = http2.fields(
            (
                (":method", "POST"),
                (":scheme", "https" if self.tls else "http"),
                (":path", "/grpc.health.v1.Health/Check"),
                (":authority", self.authority or target.place),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
            )
        )
        body = b"\0" + len(request).to_bytes(4, "big") + request
        return (
            http2.PREFACE
            + http2.frame(http2.SETTINGS)
            + http2.frame(http2.HEADERS, http2.END_HEADERS, _STREAM, head)
            + http2.frame(http2.DATA, http2.END_STREAM, _STREAM, body)
        )


def _message(reader: Reader) -> Hearing:
    """Return the one message of the answer."""
    body = b""
    while True:
        found = yield from http2.next_frame(reader)
        if found.kind == http2.SETTINGS and not found.flags & http2.ACK:
            yield http2.frame(http2.SETTINGS, http2.ACK)
        elif found.kind == http2.PING and not found.flags & http2.ACK:
            yield http2.frame(http2.PING, http2.ACK, 0, found.payload)
        elif found.kind == http2.GOAWAY:
            raise WrongAnswerError("goes away (HTTP/2 GOAWAY)")
        elif found.stream == _STREAM and found.kind == http2.RESET:
            raise WrongAnswerError("refuses the call (HTTP/2 RST_STREAM)")
        elif found.stream == _STREAM and found.kind == http2.DATA:
            body += http2.content(found)
            if len(body) > _LONGEST:
                raise WrongAnswerError(f"no health answer: more than {_LONGEST} bytes")
        if len(body) >= 5 and len(body) >= 5 + (length := int.from_bytes(body[1:5], "big")):
            if body[0]:
                raise WrongAnswerError("a compressed message, which was not asked for")
            return body[5 : 5 + length]
        if found.stream == _STREAM and found.kind in {http2.DATA, http2.HEADERS} and (
            found.flags & http2.END_STREAM
        ):  # fmt: skip
            raise WrongAnswerError("no health service, or none by that name")


def varint(value: int) -> bytes:
    """Return a number as protocol buffers write it."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def serving_status(message: bytes) -> int:
    """Return field 1, a varint, of a HealthCheckResponse; 0 if it is not there.

    Raises:
        WrongAnswerError: it is no such message.
    """
    at, status = 0, 0
    while at < len(message):
        key, at = _varint(message, at)
        value, at = _varint(message, at)
        if key & 7 == 2:
            at += value
        elif key & 7:
            raise WrongAnswerError("no health answer: a field of an unknown kind")
        elif key >> 3 == 1:
            status = value
    return status


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
    raise WrongAnswerError("no health answer: it is cut off")
