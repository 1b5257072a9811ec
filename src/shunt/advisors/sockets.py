"""Sockets of checks: marked, never waiting, one class a transport."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Transport

if TYPE_CHECKING:
    from shunt.advisors.advisor import Target
    from shunt.model.addresses import Address

_DATAGRAM = 1 << 16
_CHUNK = 1 << 14  # of a stream: what a dialogue does with it takes its time, and others wait
_ABORT = struct.pack("ii", 1, 0)  # struct linger: on, 0 seconds
_SOL_RAW, _ICMP_FILTER, _ECHO_REPLY = 255, 1, 0
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_ICMP = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
_KNOWN_ADDRESSES = 1 << 14


class Wire:
    """A socket on its way to a server. Every call returns at once.

    Attributes:
        number: its descriptor.
    """

    def __init__(self, made: socket.socket) -> None:
        self._socket = made
        self.number = made.fileno()

    def begin(self, target: Target) -> bool:
        """Begin to connect; return whether it is done already.

        Raises:
            OSError: what the kernel says.
        """
        self._socket.connect((_written(target.address), target.port))
        return True

    def begun(self) -> None:
        """Look how the connecting ended.

        Raises:
            OSError: it failed.
        """

    def say(self, data: bytes) -> int:
        """Send what goes; return how much that was.

        Raises:
            BlockingIOError: nothing goes now.
            OSError: what the kernel says.
        """
        return self._socket.send(data)

    def hear(self) -> bytes:
        """Return what came, nothing at the end of a stream.

        Raises:
            BlockingIOError: nothing has come.
            OSError: what the kernel says.
        """
        return self._socket.recv(_DATAGRAM)

    def set(self, level: int, option: int, value: int) -> None:
        """Set an option.

        Raises:
            OSError: what the kernel says.
        """
        self._socket.setsockopt(level, option, value)

    def close(self) -> None:
        """Leave."""
        self._socket.close()


class _Stream(Wire):
    """TCP, ended by a reset unless the server has closed first.

    Who closes first keeps the ports busy for a minute; a thousand checks a second would use up all.
    """

    _ended = False  # the server has closed its side

    def begin(self, target: Target) -> bool:
        code = self._socket.connect_ex((_written(target.address), target.port))
        if code not in {0, errno.EINPROGRESS}:
            raise OSError(code, os.strerror(code))
        return code == 0

    def begun(self) -> None:
        if code := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, os.strerror(code))

    def hear(self) -> bytes:
        data = self._socket.recv(_CHUNK)
        self._ended = self._ended or not data
        return data

    def close(self) -> None:
        if not self._ended:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self._socket.close()


class _Raw4(Wire):
    """ICMP on a raw socket, which hands over IPv4's header as well."""

    def hear(self) -> bytes:
        packet = self._socket.recv(_DATAGRAM)
        return packet[(packet[0] & 0xF) * 4 :] if packet else packet


def open_wire(target: Target, transport: Transport, mark: int, *, speaks_first: bool) -> Wire:
    """Return a socket for a target, not connected yet.

    Args:
        target: address and port.
        transport: TCP, UDP or ICMP.
        mark: of the socket, for the classifier that chooses the server; 0: none.
        speaks_first: the first words are ours.

    Raises:
        OSError: what the kernel says.
    """
    made = _make(target, transport)
    try:
        if mark:
            made.set(socket.SOL_SOCKET, socket.SO_MARK, mark)
        if speaks_first and transport is Transport.TCP:
            # The handshake's last acknowledgement rides on the first words: tcp(7).
            made.set(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
    except OSError:
        made.close()
        raise
    return made


def _make(target: Target, transport: Transport) -> Wire:
    version = target.address.version
    family = _FAMILIES[version]
    if transport is Transport.ICMP:
        return _echo(version)
    kind = socket.SOCK_STREAM if transport is Transport.TCP else socket.SOCK_DGRAM
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    return _Stream(made) if transport is Transport.TCP else Wire(made)


def _echo(version: int) -> Wire:
    """Return a socket for pings: the kernel's own kind where it is allowed, else a raw one."""
    flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    try:
        made = socket.socket(_FAMILIES[version], socket.SOCK_DGRAM | flags, _ICMP[version])
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT}:
            raise
    else:
        return Wire(made)
    made = socket.socket(_FAMILIES[version], socket.SOCK_RAW | flags, _ICMP[version])
    if version == 6:
        return Wire(made)
    only_replies = struct.pack("I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF)
    made.setsockopt(_SOL_RAW, _ICMP_FILTER, only_replies)
    return _Raw4(made)


@lru_cache(_KNOWN_ADDRESSES)
def _written(address: Address) -> str:
    return str(address)
