"""Route netlink: the messages' coding, a socket that asks, and a socket that listens.

Messages are `struct nlmsghdr` followed by a family's own header and attributes (`struct rtattr`);
linux/netlink.h, linux/rtnetlink.h and RFC 3549 describe them. The kernel answers while `sendto`
runs, so asking takes microseconds and may be done inside a running event loop; listening never
blocks. Sockets belong to the network namespace in which they were made.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

from shunt.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length with this header, type
_ERRNO = struct.Struct("=i")

_DONE, _ERROR = 3, 2
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_DUMP_INTERRUPTED, _ACK_ATTRIBUTES = 0x10, 0x200
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

_SOL_NETLINK = 270
_CAP_ACK, _EXT_ACK, _GET_STRICT_CHK = 10, 11, 12
_SO_RCVBUFFORCE = 33

_RECEIVE = 1 << 16  # bytes; the kernel fills at most 32 KiB at a time
_TIMEOUT = 10.0  # seconds; the kernel answers at once, or waits for its RTNL lock
_DUMP_ATTEMPTS = 8
_LARGEST_BUFFER = 1 << 26  # bytes
_BATCH = 2000  # datagrams read before the event loop gets its turn


class Message(NamedTuple):
    """One message: its type, its flags, and what follows the netlink header."""

    kind: int
    flags: int
    sequence: int
    body: bytes


def messages(data: bytes) -> Iterator[Message]:
    """Yield the messages of one datagram.

    Raises:
        NetworkError: a length is impossible.
    """
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER.size:
            raise NetworkError(f"netlink: {len(data) - offset} bytes left over after a message")
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if not _HEADER.size <= length <= len(data) - offset:
            raise NetworkError(f"netlink: a message claims {length} of {len(data) - offset} bytes")
        yield Message(kind, flags, sequence, data[offset + _HEADER.size : offset + length])
        offset += length + 3 & ~3


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes of a message's tail by type; of repeated ones the last.

    Raises:
        NetworkError: a length is impossible.
    """
    found: dict[int, bytes] = {}
    offset = 0
    while len(data) - offset >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if not _ATTRIBUTE.size <= length <= len(data) - offset:
            raise NetworkError(f"netlink: attribute {kind} claims {length} bytes, more than left")
        found[kind & _TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3
    return found


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded to 4 bytes."""
    return (
        _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind)
        + payload
        + b"\0" * (-len(payload) % 4)
    )


def text(payload: bytes) -> str:
    """Return a zero-terminated string attribute."""
    return payload.split(b"\0", 1)[0].decode(errors="replace")


def number(payload: bytes) -> int:
    """Return an unsigned integer attribute of 1, 2, 4 or 8 bytes in the host's byte order."""
    return int.from_bytes(payload, sys.byteorder)


def interface_name(index: int) -> str:
    """Return the name of the interface with this index.

    Raises:
        NetworkError: it went away since the kernel told its index.
    """
    try:
        return socket.if_indextoname(index)
    except OSError as error:
        raise NetworkError(f"interface {index} went away", errno=error.errno or 0) from error


@dataclass(frozen=True, slots=True)
class Request:
    """One request, without its netlink header; `flags` beside REQUEST and ACK."""

    kind: int
    body: bytes
    flags: int = 0


class Netlink:
    """A socket that asks the kernel and waits for its answer. Use as a context manager."""

    def __init__(self) -> None:
        self._socket = _route_socket()
        try:
            for option in (_CAP_ACK, _EXT_ACK, _GET_STRICT_CHK):
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            self._socket.settimeout(_TIMEOUT)
        except OSError as error:
            self._socket.close()
            raise _failure("set up a netlink socket", error) from error
        self._sequence = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def ask(self, request: Request) -> tuple[Message, ...]:
        """Send a request; return the messages that came before its acknowledgement.

        Raises:
            NetworkError: the kernel refused (`errno` is its), or did not answer.
        """
        return tuple(self._converse(request, _ACK)[0])

    def dump(self, kind: int, body: bytes) -> tuple[Message, ...]:
        """Return a whole table; read again when it changed between two parts.

        Raises:
            NetworkError: the kernel refused, or the table would not hold still.
        """
        for _ in range(_DUMP_ATTEMPTS):
            found, interrupted = self._converse(Request(kind, body), _DUMP)
            if not interrupted:
                return tuple(found)
        raise NetworkError(
            f"netlink: a table changed during each of {_DUMP_ATTEMPTS} readings",
            hint="something rewrites the host's network settings without pause; find and stop it",
        )

    def _converse(self, request: Request, flags: int) -> tuple[list[Message], bool]:
        sequence = next(self._sequence) & 0xFFFFFFFF
        header = _HEADER.pack(
            _HEADER.size + len(request.body),
            request.kind,
            _REQUEST | flags | request.flags,
            sequence,
            0,
        )
        found: list[Message] = []
        interrupted = False
        try:
            self._socket.sendto(header + request.body, (0, 0))
            while True:
                data, (port, _) = self._socket.recvfrom(_RECEIVE)
                if port != 0:
                    continue  # anybody may send to a netlink socket; only the kernel is believed
                for message in messages(data):
                    if message.sequence != sequence:
                        continue
                    interrupted |= bool(message.flags & _DUMP_INTERRUPTED)
                    if message.kind in {_DONE, _ERROR}:
                        _acknowledged(message)
                        return found, interrupted
                    found.append(message)
        except OSError as error:
            raise _failure("talk to the kernel by netlink", error) from error


class Listener:
    """A socket that hears the kernel's announcements of some groups, and never blocks.

    Counts in `overruns` how often announcements were lost; its buffer doubles each time.
    """

    def __init__(self, groups: Iterable[int], *, buffer: int = 1 << 20) -> None:
        self._socket = _route_socket()
        self._socket.settimeout(0)
        self.overruns = 0
        try:
            self._resize(buffer)
            self._socket.bind((0, sum(1 << group - 1 for group in groups)))
        except OSError as error:
            self._socket.close()
            raise _failure("listen to netlink announcements", error) from error

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @property
    def buffer(self) -> int:
        """Return the wished size of the receive buffer in bytes."""
        return self._buffer

    def read(self) -> tuple[list[Message], bool]:
        """Return what has arrived, and whether the kernel had to drop announcements.

        After a loss nothing is returned but the fact: read the table again.

        Raises:
            NetworkError: the socket failed.
        """
        heard: list[Message] = []
        lost = False
        for _ in range(_BATCH):
            try:
                data, (port, _) = self._socket.recvfrom(_RECEIVE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise _failure("hear netlink announcements", error) from error
                lost = True
                continue
            if port == 0 and not lost:
                heard.extend(messages(data))
        if lost:
            self.overruns += 1
            self._resize(min(self._buffer * 2, _LARGEST_BUFFER))
            return [], True
        return heard, False

    def _resize(self, size: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
        except PermissionError:  # without CAP_NET_ADMIN: as far as net.core.rmem_max allows
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        self._buffer = size


def _route_socket() -> socket.socket:
    try:
        return socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
    except OSError as error:
        raise _failure("open a netlink socket", error) from error


def _acknowledged(message: Message) -> None:
    """Raise what the kernel says in an acknowledgement or at the end of a dump."""
    code = -_ERRNO.unpack_from(message.body)[0] if len(message.body) >= _ERRNO.size else 0
    if code == 0:
        return
    said = ""
    if message.kind == _ERROR and message.flags & _ACK_ATTRIBUTES:
        said = text(attributes(message.body[_ERRNO.size + _HEADER.size :]).get(1, b""))
    raise NetworkError(f"netlink: {said or os.strerror(code)}", errno=code, hint=_hint(code))


def _failure(what: str, error: OSError) -> NetworkError:
    code = error.errno or 0
    return NetworkError(f"cannot {what}: {error.strerror or error}", errno=code, hint=_hint(code))


def _hint(code: int) -> str | None:
    return (
        "run it as root, or give it CAP_NET_ADMIN" if code in {errno.EPERM, errno.EACCES} else None
    )
