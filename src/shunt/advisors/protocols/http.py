"""http and https: a request, and what its answer must be (RFC 9112, RFC 9110)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt import __version__
from shunt.advisors.advisor import Advisor, Target
from shunt.advisors.dialogue import Enough, Growth, Reader, WrongAnswerError, shown, up
from shunt.advisors.pattern import Pattern, pattern
from shunt.advisors.settings import (
    SettingError,
    authority,
    choice,
    host_name,
    number,
    setting,
    text,
    without_port,
    words,
    yes_no,
)
from shunt.advisors.tls import Tls
from shunt.advisors.tls_hello import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from shunt.advisors.dialogue import Dialogue, Hearing, Judging, Step

_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9]{2})(?: (.*))?")
_CODES = re.compile(r"([1-5])xx|([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_REQUEST = re.compile(r"[A-Z]{1,16} [!-~]+")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ -~]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;.*)?")
_MOST_HEADERS = 200
_NO_BODY = {204, 304}
_LONGEST = 1 << 18


def codes(value: object) -> tuple[range, ...]:
    """Return status codes: `200`, `2xx`, `200-399`, several with commas or as a list."""
    found = []
    for part in (word.strip() for each in words(value) for word in each.split(",")):
        match = _CODES.fullmatch(part)
        if not match:
            raise SettingError(f"`{part}` is no status; write like 200, 2xx, 200-399")
        if match[1]:
            found.append(range(int(match[1]) * 100, int(match[1]) * 100 + 100))
        else:
            found.append(range(int(match[2]), int(match[3] or match[2]) + 1))
        if not found[-1]:
            raise SettingError(f"`{part}` ends before it begins")
    if not found:
        raise SettingError("no status would be right; give at least one")
    return tuple(found)


def request_line(value: object) -> str:
    """Return a method and a path."""
    found = text(value)
    if found.startswith("/"):
        found = f"GET {found}"
    if not _REQUEST.fullmatch(found):
        raise SettingError(f"`{found}` is no request; write like GET /health")
    return found


def protocols(value: object) -> tuple[str, ...]:
    """Return names of protocols for ALPN (RFC 7301 section 3.1)."""
    for each in words(value):
        if not re.fullmatch(r"[!-~]{1,255}", each):
            raise SettingError(f"`{each}` is no protocol; write like http/1.1")
    return words(value)


def header_lines(value: object) -> tuple[str, ...]:
    """Return header fields, each as `Name: value`."""
    for each in words(value):
        if not _HEADER.fullmatch(each):
            raise SettingError(f"`{each}` is no header field; write like `X-Check: shunt`")
    return words(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Http(Advisor):
    """Makes a request; the status, and if wished the body, must be as expected."""

    name = "http"
    usual_port = 80
    speaks_first = True
    request: str | None = field(
        default=None,
        metadata=setting(
            request_line, "Method and path; default `HEAD /`, or `GET /` where `body` is given."
        ),
    )
    expect: tuple[range, ...] = field(
        default=(range(200, 400),),
        metadata=setting(codes, "Statuses that are right, like 200, 2xx, 200-399."),
    )
    body: Pattern | None = field(
        default=None,
        metadata=setting(
            pattern, "A regular expression that the body must contain (its first 256 KiB)."
        ),
    )
    host: str | None = field(
        default=None, metadata=setting(authority, "The Host field; default the address.")
    )
    headers: tuple[str, ...] = field(
        default=(), metadata=setting(header_lines, "More header fields, `Name: value`.")
    )

    def contradictions(self) -> Mapping[str, str]:
        """Return what can never be right: the body of an answer that has none."""
        if self.body is None:
            return {}
        if (self.request or "").startswith("HEAD "):
            return {"body": "an answer to HEAD has none; ask by GET"}
        if all(code in _NO_BODY for right in self.expect for code in right):
            return {"body": "an answer of the expected status has none"}
        return {}

    def talk(self, target: Target, /) -> Dialogue:
        """Make the request and look at the answer."""
        yield self.message(target)
        reader = Reader(_LONGEST)
        code, status, fields = yield from head(reader)
        if not any(code in right for right in self.expect):
            raise WrongAnswerError(status)
        if self.body is None:
            return up(status)
        wanted = self.body
        found = b""
        if code not in _NO_BODY:
            found = yield from body(reader, fields, lambda data: _has(wanted, data))
        if not (yield from _has(wanted, found)):
            what = f"begins with {shown(found[:80])!r}" if found else "is empty"
            raise WrongAnswerError(f"{status}, but the body has no {wanted.text!r}; it {what}")
        return up(f"{status}, the body has {wanted.text!r}")

    def message(self, target: Target) -> bytes:
        """Return the request as it is sent."""
        host = self.host or (target.place if target.port != self.usual_port else
                             target.place.rpartition(":")[0])  # fmt: skip
        request = self.request or ("GET /" if self.body else "HEAD /")
        lines = [
            f"{request} HTTP/1.1",
            f"Host: {host}",
            f"User-Agent: shunt/{__version__}",
            "Accept: */*",
            "Connection: close",
            *self.headers,
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Https(Http):
    """The same through TLS: a whole handshake, the certificate looked at as far as is wished."""

    name = "https"
    usual_port = 443
    verify: bool = field(
        default=False,
        metadata=setting(yes_no, "The certificate must be trusted and name the server."),
    )
    authorities: str | None = field(
        default=None,
        metadata=setting(text, "A file of certificates to trust instead of the system's."),
    )
    server_name: str | None = field(
        default=None,
        metadata=setting(
            host_name, "The name for SNI and for the certificate; default `host`, or the address."
        ),
    )
    tls_minimum: str | None = field(
        default=None,
        metadata=setting(
            choice(*VERSIONS),
            "Oldest version of TLS that is right: 1.0 to 1.3; default 1.2 with `verify`, else any.",
        ),
    )
    alpn: tuple[str, ...] = field(
        default=("http/1.1",), metadata=setting(protocols, "Protocols to offer by ALPN.")
    )
    warn_days: int = field(
        default=14,
        metadata=setting(number(0, 3650), "Warn if the certificate ends within so many days."),
    )

    @property
    def secure(self) -> Tls:
        """Return TLS as the settings have it."""
        return Tls(
            verify=self.verify,
            authorities=self.authorities,
            server_name=self.server_name or (self.host and without_port(self.host)),
            protocols=self.alpn,
            warn_days=self.warn_days,
            minimum=self.tls_minimum,
        )

    def contradictions(self) -> Mapping[str, str]:
        """Return also: authorities that nobody asks, and a host that is no name for TLS."""
        found = dict(Http.contradictions(self))
        if self.authorities is not None and not self.verify:
            found["authorities"] = "are not asked without `verify: yes`"
        if self.host is not None and self.server_name is None:
            try:
                host_name(without_port(self.host))
            except SettingError as error:
                found["host"] = f"{error}; or give `server_name`"
        return found


def head(
    reader: Reader,
) -> Generator[Step, bytes, tuple[int, str, dict[bytes, bytes]]]:
    """Return code, status line and header fields (names in lower case) of the final answer."""
    while True:
        first = yield from reader.line()
        found = _STATUS.fullmatch(first)
        if not found:
            raise WrongAnswerError(f"no HTTP: {shown(first)!r}")
        fields = yield from _fields(reader)
        code = int(found[1])
        if code >= 200 or code == 101:
            return code, shown(first), fields


def _fields(reader: Reader) -> Generator[Step, bytes, dict[bytes, bytes]]:
    """Return the header fields; those of one name are one list (RFC 9110 section 5.3).

    A line that begins with a blank goes on with the field before it: old servers fold
    (RFC 9112 section 5.2).
    """
    fields: dict[bytes, bytes] = {}
    name = b""
    for _ in range(_MOST_HEADERS):
        field = yield from reader.line(1 << 14)
        if not field:
            return fields
        if field[:1] in b" \t" and name:
            fields[name] = (fields[name] + b" " + field.strip()).strip()
            continue
        name, colon, value = field.partition(b":")
        name = name.strip().lower()
        if not colon or not name:
            raise WrongAnswerError(f"no header field: {shown(field)!r}")
        value = value.strip()
        fields[name] = fields[name] + b", " + value if name in fields else value
    raise WrongAnswerError(f"more than {_MOST_HEADERS} header fields")


def body(reader: Reader, fields: dict[bytes, bytes], enough: Enough | None = None) -> Hearing:
    """Return the body, or its beginning that is `enough`, or its first part."""
    if fields.get(b"transfer-encoding", b"").lower().endswith(b"chunked"):
        return (yield from _chunked(reader, enough))
    if b"content-length" not in fields:
        return (yield from reader.rest(enough=enough))
    return (yield from reader.rest(_length(fields[b"content-length"]), enough))


def _length(field: bytes) -> int:
    """Return a body's length; the same number several times is that number (RFC 9110 8.6)."""
    (length, *others) = {part.strip() for part in field.split(b",")}
    if others or not length.isdigit() or len(length) > 18:
        raise WrongAnswerError(f"no length: {shown(field)!r}")
    return int(length)


def _chunked(reader: Reader, enough: Enough | None) -> Hearing:
    """Return a body in chunks (RFC 9112 section 7.1)."""
    found = bytearray()
    growth = Growth()
    while True:
        first = yield from reader.line()
        size = _CHUNK.fullmatch(first)
        if not size:
            raise WrongAnswerError(f"no chunk's size: {shown(first)!r}")
        count = int(size[1], 16)
        if count == 0:
            return bytes(found)
        found += yield from reader.exactly(count)
        if (yield from reader.line()):
            raise WrongAnswerError("a chunk that does not end with its size")
        if (
            enough
            and growth.worth(len(found), more=reader.ahead)
            and (yield from enough(bytes(found)))
        ):
            return bytes(found)


def _has(wanted: Pattern, data: bytes) -> Judging:
    return (yield from wanted.looked_for(data.decode("utf-8", "replace").encode()))
