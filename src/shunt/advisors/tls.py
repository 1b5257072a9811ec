"""TLS around a dialogue, still without input or output (`ssl.MemoryBIO`)."""

from __future__ import annotations

import ssl
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

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


@dataclass(frozen=True, slots=True)
class _Trust:
    """All that a context holds; what else is wished is said of each connection.

    So there are as many contexts as files of authorities and versions, however many names,
    protocols and days are wished by whomever: one that verifies holds the system's authorities,
    which take a megabyte, and making it takes tens of milliseconds.
    """

    verify: bool
    authorities: str | None
    oldest: str


_State: TypeAlias = "tuple[int, ...] | None"  # of the file of authorities
_MAX_CONTEXTS = 256  # a file of authorities may be replaced by one of another name, again and again


class Contexts:
    """Clients' contexts, each made once, and anew when its file of authorities has changed."""

    def __init__(self) -> None:
        self._made: OrderedDict[_Trust, tuple[_State, ssl.SSLContext]] = OrderedDict()
        self._making = threading.Lock()  # not twice at the same time

    def __len__(self) -> int:
        return len(self._made)

    def ready(self, tls: Tls) -> ssl.SSLContext | None:
        """Return what was made already; None: `make` it.

        Raises:
            OSError: the file of authorities cannot be read.
        """
        trust = _trust(tls)
        state, made = self._made.get(trust, (None, None))
        return made if made is not None and state == _state(trust) else None

    def make(self, tls: Tls) -> ssl.SSLContext:
        """Return a context, for any thread: making one is slow.

        Raises:
            OSError, ssl.SSLError: the file of authorities cannot be read.
        """
        with self._making:
            if (found := self.ready(tls)) is not None:
                return found
            trust = _trust(tls)
            state = _state(trust)
            made = _context(trust)
            self._made[trust] = state, made
            self._made.move_to_end(trust)
            while len(self._made) > _MAX_CONTEXTS:
                self._made.popitem(last=False)
            return made


contexts = Contexts()


def _trust(tls: Tls) -> _Trust:
    return _Trust(tls.verify, tls.authorities if tls.verify else None, tls.oldest)


def _state(trust: _Trust) -> _State:
    if not trust.verify:
        return None
    file = trust.authorities or _system_authorities()
    found = Path(file).stat() if file else None
    return (found.st_mtime_ns, found.st_ino, found.st_size) if found else None


@lru_cache(maxsize=1)
def _system_authorities() -> str | None:
    return ssl.get_default_verify_paths().cafile


def _context(trust: _Trust) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = trust.verify
    made.verify_mode = ssl.CERT_REQUIRED if trust.verify else ssl.CERT_NONE
    if trust.authorities:
        made.load_verify_locations(trust.authorities)
    elif trust.verify:
        made.load_default_certs()
    made.options |= ssl.OP_NO_RENEGOTIATION  # it would be done at once, however long it takes
    _allow_versions(made, trust.oldest)
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
        made = contexts.ready(tls) or (yield from _made_apart(tls))
    except (OSError, ssl.SSLError) as error:
        file = tls.authorities or "of the system"
        return Verdict(up=None, words=f"the authorities {file} cannot be read: {error}")
    name = tls.server_name or (address if tls.verify else None)
    stream = _Stream(made, name, tls.protocols)
    yield from stream.handshake()
    warning = ending(stream.tls.getpeercert(binary_form=True), tls.warn_days, now)
    verdict = yield from stream.carry(inner)
    words = f"{verdict.words} ({stream.tls.version()}{_protocol(stream.tls)})"
    return with_warning(replace(verdict, words=words), warning)


def _made_apart(tls: Tls) -> Generator[Step, bytes, ssl.SSLContext]:
    """Have a context made beside the event loop; what is raised there is raised here."""
    outcome: list[ssl.SSLContext | OSError] = []

    def make() -> bool:
        try:
            outcome.append(contexts.make(tls))
        except OSError as error:  # ssl.SSLError, too
            outcome.append(error)
        return True

    yield Offload(make)
    (found,) = outcome
    if isinstance(found, OSError):
        raise found
    return found


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

    def __init__(
        self, made: ssl.SSLContext, server_name: str | None, protocols: tuple[str, ...]
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._failed: ssl.SSLError | None = None
        made.set_alpn_protocols(list(protocols))  # each connection takes a copy (SSL_new(3))
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
