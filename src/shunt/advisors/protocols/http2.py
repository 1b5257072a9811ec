"""What of HTTP/2 one request needs: frames (RFC 9113), and fields as literals (RFC 7541)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shunt.advisors.dialogue import Reader, WrongAnswerError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from shunt.advisors.dialogue import Step

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK, PADDED = 0x1, 0x4, 0x1, 0x8
_LONGEST = 1 << 14


class Frame(NamedTuple):
    """One frame."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Return a frame as it is sent."""
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


def fields(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Return header fields, each a literal that is never indexed, without Huffman's code."""
    return b"".join(
        b"\x10" + _string(name.encode()) + _string(value.encode()) for name, value in pairs
    )


def _string(data: bytes) -> bytes:
    """Return a string with its length, an integer with a prefix of 7 bits (RFC 7541 section 5)."""
    length = len(data)
    if length < 127:
        return bytes((length,)) + data
    head, length = bytearray((127,)), length - 127
    while length >= 128:
        head.append(length % 128 | 128)
        length //= 128
    return bytes((*head, length)) + data


def next_frame(reader: Reader) -> Generator[Step, bytes, Frame]:
    """Return the next frame.

    Raises:
        WrongAnswerError: no frame, or one that is longer than we allowed.
    """
    head = yield from reader.exactly(9)
    length = int.from_bytes(head[:3], "big")
    if length > _LONGEST:
        raise WrongAnswerError(f"no HTTP/2, or a frame of {length} bytes")
    payload = yield from reader.exactly(length)
    return Frame(head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, payload)


def content(found: Frame) -> bytes:
    """Return the data of a DATA frame without its padding."""
    if not found.flags & PADDED:
        return found.payload
    if not found.payload or found.payload[0] >= len(found.payload):
        raise WrongAnswerError("an HTTP/2 frame with more padding than content")
    return found.payload[1 : len(found.payload) - found.payload[0]]
