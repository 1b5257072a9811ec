"""Tag, length, value of ASN.1's basic encoding (X.690): what LDAP and certificates need of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

SEQUENCE = 0x30
INTEGER, OCTETS, ENUMERATED, BOOLEAN = 0x02, 0x04, 0x0A, 0x01
_UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x17, 0x18, 0xA0


class BerError(ValueError):
    """The bytes are no such encoding, or not of the expected shape."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One element: its tag, its content, and where the next one begins."""

    tag: int
    content: bytes
    end: int


def encoded(tag: int, *contents: bytes) -> bytes:
    """Return an element in definite form."""
    content = b"".join(contents)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Return a number that is not negative."""
    return encoded(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def header(data: bytes) -> tuple[int, int] | None:
    """Return the length of an element's head and of its content; None if more bytes are needed.

    Raises:
        BerError: a length of indefinite form, or of more than four bytes.
    """
    if len(data) < 2:
        return None
    if data[1] < 0x80:
        return 2, data[1]
    count = data[1] & 0x7F
    if not 1 <= count <= 4:
        raise BerError("a length of a form that is not used")
    if len(data) < 2 + count:
        return None
    return 2 + count, int.from_bytes(data[2 : 2 + count], "big")


def piece(data: bytes, at: int = 0) -> Piece:
    """Return the element that begins at `at`.

    Raises:
        BerError: there is none.
    """
    found = header(data[at : at + 6])
    if found is None or at + sum(found) > len(data):
        raise BerError("cut off")
    head, length = found
    return Piece(data[at], data[at + head : at + head + length], at + head + length)


def pieces(data: bytes) -> list[Piece]:
    """Return the elements that `data` consists of.

    Raises:
        BerError: it does not.
    """
    found = []
    at = 0
    while at < len(data):
        found.append(piece(data, at))
        at = found[-1].end
    return found


def not_after(certificate: bytes) -> datetime:
    """Return when a certificate ends (RFC 5280 section 4.1.2.5).

    Raises:
        BerError: it is no certificate.
    """
    (body, *_) = pieces(_inside(piece(certificate), SEQUENCE)) or [Piece(0, b"", 0)]
    fields = pieces(_inside(body, SEQUENCE))
    if fields and fields[0].tag == _VERSION:
        fields = fields[1:]
    if len(fields) < 4:  # serial number, signature, issuer, validity
        raise BerError("no certificate")
    times = pieces(_inside(fields[3], SEQUENCE))
    if len(times) != 2:
        raise BerError("a validity without two times")
    return _time(times[1])


def _inside(found: Piece, tag: int) -> bytes:
    if found.tag != tag:
        raise BerError(f"an element of type {found.tag:#x} where {tag:#x} must be")
    return found.content


def _time(found: Piece) -> datetime:
    words = found.content.decode("ascii", "replace")
    if found.tag == _UTC_TIME:  # two digits of the year: 1950 to 2049
        words = ("19" if words[:2] >= "50" else "20") + words
    elif found.tag != _GENERALIZED_TIME:
        raise BerError(f"no time but an element of type {found.tag:#x}")
    try:
        return datetime.strptime(words, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise BerError(f"no time: {words!r}") from None
