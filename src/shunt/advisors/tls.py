"""TLS around a dialogue, still without input or output (`ssl.MemoryBIO`)."""

from __future__ import annotations

import ssl
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from shunt.advisors.ber import BerError, not_after
from shunt.advisors.dialogue import (
    HEAR,
    TURN,
    Dialogue,
    Hearing,
    Offload,
    Verdict,
    WrongAnswerError,
    progress,
    with_warning,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from shunt.advisors.dialogue import Step

_MOST = 1 << 16
_SOON = 14
_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_OLD = {"1.0", "1.1"}


@dataclass(frozen=True, slots=True)
class Tls:
    """How a stream is secured.

    Attributes:
        verify: the certificate must be signed by a known authority and name `server_name`, or the
            address where there is none.
        authorities: a file of certificates to trust instead of the system's.
        server_name: for SNI and for the certificate.
        protocols: offered by ALPN, best first.
        warn_days: a certificate that ends sooner gives a warning.
        minimum: the oldest version that is right; None: 1.2 with `verify`, else any.
    """

    verify: bool = False
    authorities: str | None = None
    server_name: str | None = None
    protocols: tuple[str, ...] = ()
    warn_days: int = _SOON
    minimum: str | None = None

    @property
    def oldest(self) -> str:
        """Return the oldest version that is right."""
        return self.minimum or ("1.2" if self.verify else "1.0")


def context(tls: Tls) -> ssl.SSLContext:
    """Return a client's context; the same one for the same wishes, for making it is slow.

    It is made anew when the file of authorities has changed.

    Raises:
        OSError, ssl.SSLError: the file of authorities cannot be read.
    """
    if not tls.verify:
        return _context(tls, None)
    file = tls.authorities or _system_authorities()
    found = Path(file).stat() if file else None
    return _context(tls, (found.st_mtime_ns, found.st_ino, found.st_size) if found else None)


@lru_cache(maxsize=1)
def _system_authorities() -> str | None:
    return ssl.get_default_verify_paths().cafile


@lru_cache(maxsize=256)
def _context(tls: Tls, _state: tuple[int, ...] | None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = tls.verify
    made.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
    if tls.verify and tls.authorities:
        made.load_verify_locations(tls.authorities)
    elif tls.verify:
        made.load_default_certs()
    if tls.protocols:
        made.set_alpn_protocols(list(tls.protocols))
    made.options |= ssl.OP_NO_RENEGOTIATION  # it would be done at once, however long it takes
    _allow_versions(made, tls.oldest)
    return made


def _allow_versions(made: ssl.SSLContext, oldest: str) -> None:
    """Set the oldest version that is right, and allow the ciphers that it needs.

    OpenSSL 3 speaks TLS 1.0 and 1.1, and takes short keys, at its security level 0 only.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is why it must be asked for
        made.minimum_version = _VERSIONS[oldest]
    if oldest in _OLD:
        made.set_ciphers("ALL:COMPLEMENTOFDEFAULT:!aNULL:!eNULL:@SECLEVEL=0")


def secured(inner: Dialogue, tls: Tls, address: str, now: datetime | None = None) -> Dialogue:
    """Return `inner`, spoken through TLS.

    Args:
        inner: the dialogue.
        tls: how.
        address: of whom it is spoken with; the certificate must have it where no name is given
            (RFC 9110 section 4.3.4).
        now: the time; default the clock's.

    Raises (within the dialogue):
        WrongAnswerError: no handshake, or a certificate that is not trusted.
    """
    try:
        made = context(tls)
    except (OSError, ssl.SSLError) as error:
        file = tls.authorities or "of the system"
        return Verdict(up=None, words=f"the authorities {file} cannot be read: {error}")
    name = tls.server_name or (address if tls.verify else None)
    stream = _Stream(made, name)
    yield from stream.handshake()
    warning = ending(stream.tls.getpeercert(binary_form=True), tls.warn_days, now)
    verdict = yield from stream.carry(inner)
    words = f"{verdict.words} ({stream.tls.version()}{_protocol(stream.tls)})"
    return with_warning(replace(verdict, words=words), warning)


def _protocol(tls: ssl.SSLObject) -> str:
    chosen = tls.selected_alpn_protocol()
    return f", {chosen}" if chosen else ""


def ending(certificate: bytes | None, days: int, now: datetime | None = None) -> str | None:
    """Return a warning if a certificate (DER) has ended or ends within so many days."""
    if not certificate:
        return None
    try:
        ends = not_after(certificate)
    except BerError as error:
        return f"the certificate's end cannot be read: {error}"
    left = (ends - (now or datetime.now(UTC))).total_seconds() / 86400
    if left < 0:
        return f"the certificate ended on {ends:%Y-%m-%d}"
    return f"the certificate ends on {ends:%Y-%m-%d}" if left < days else None


class _Stream:
    """One end of a TLS connection over two buffers."""

    def __init__(self, made: ssl.SSLContext, server_name: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._failed: ssl.SSLError | None = None
        self.tls = made.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    def handshake(self) -> Generator[Step, bytes, None]:
        """Shake hands.

        How long one step takes is the server's choice: its group may have 10,000 bits, and a
        second goes by. So all but the first are offloaded.
        """
        done = self._shake()
        while True:
            yield from self._flush()
            if isinstance(self._failed, ssl.SSLCertVerificationError):
                words = self._failed.verify_message
                raise WrongAnswerError(f"certificate refused: {words}") from None
            if self._failed is not None:
                raise WrongAnswerError(f"no TLS handshake: {_words(self._failed)}") from None
            if done:
                return
            yield from self._hear("within the handshake")
            done = bool((yield Offload(self._shake)))

    def _shake(self) -> bool:
        """Go a step; return whether it was the last one."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self._failed = error
        return True

    def carry(self, inner: Dialogue) -> Dialogue:
        heard: bytes | None = None
        while True:
            step = progress(inner, heard)
            if isinstance(step, Verdict):
                return step
            if step is None:
                yield TURN  # what came at once may hold thousands of records
                heard = yield from self._read()
            elif isinstance(step, Offload):
                heard = yield step
            else:
                self.tls.write(step)
                yield from self._flush()
                heard = None

    def _read(self) -> Hearing:
        while True:
            try:
                return self.tls.read(_MOST)
            except ssl.SSLWantReadError:
                yield from self._flush()
                data = yield HEAR
                if not data:
                    return b""
                self._incoming.write(data)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise WrongAnswerError(f"TLS broke: {_words(error)}") from None

    def _hear(self, where: str) -> Generator[Step, bytes, None]:
        data = yield HEAR
        if not data:
            raise WrongAnswerError(f"closed the connection {where}")
        self._incoming.write(data)

    def _flush(self) -> Generator[Step, bytes, None]:
        if data := self._outgoing.read():
            yield data


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
