"""Connections of checks: marked sockets on the event loop, one class a transport."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Protocol

from shunt.advisors.advisor import Transport

if TYPE_CHECKING:
    from shunt.advisors.advisor import Target

_CHUNK = 1 << 16
_ABORT = struct.pack("ii", 1, 0)  # struct linger: on, 0 seconds
_SOL_RAW, _ICMP_FILTER, _ECHO_REPLY = 255, 1, 0
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_ICMP = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}


class Connection(Protocol):
    """A way to a server, made by `open_connection`."""

    async def say(self, data: bytes) -> None:
        """Send all of it."""

    async def hear(self) -> bytes:
        """Return what came, nothing at the end of a stream."""

    def close(self) -> None:
        """Leave."""


class _Socket:
    """A connected socket."""

    def __init__(self, made: socket.socket) -> None:
        self._socket = made
        self._loop = asyncio.get_running_loop()
        self._ended = False  # the server has closed its side

    async def connect(self, target: Target) -> None:
        self._socket.connect((str(target.address), target.port))  # datagrams: done at once

    async def say(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def hear(self) -> bytes:
        return await self._loop.sock_recv(self._socket, _CHUNK)

    def close(self) -> None:
        self._socket.close()


class _Stream(_Socket):
    """TCP, ended by a reset unless the server has closed first.

    Who closes first keeps the ports busy for a minute; a thousand checks a second would use up all.
    """

    async def connect(self, target: Target) -> None:
        """Connect, without the look-up of names that the loop's own way begins with."""
        code = self._socket.connect_ex((str(target.address), target.port))
        if code == errno.EINPROGRESS:
            done = self._loop.create_future()
            number = self._socket.fileno()  # the loop would describe a socket in words, each time
            self._loop.add_writer(number, _resolve, done)
            try:
                await done
            finally:
                self._loop.remove_writer(number)
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    async def hear(self) -> bytes:
        data = await super().hear()
        self._ended = self._ended or not data
        return data

    def close(self) -> None:
        if not self._ended:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        super().close()


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


class _Raw4(_Socket):
    """ICMP on a raw socket, which hands over IPv4's header as well."""

    async def hear(self) -> bytes:
        packet = await super().hear()
        return packet[(packet[0] & 0xF) * 4 :] if packet else packet


async def open_connection(target: Target, transport: Transport, mark: int) -> Connection:
    """Return a connection to a target.

    Args:
        target: address and port.
        transport: TCP, UDP or ICMP.
        mark: of the socket, for the classifier that chooses the server; 0: none.

    Raises:
        OSError: what the kernel says.
    """
    made = _make(target, transport)
    try:
        if mark:
            made._socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)  # noqa: SLF001 - this module's own
        await made.connect(target)
    except BaseException:
        made.close()
        raise
    return made


def _make(target: Target, transport: Transport) -> _Socket:
    version = target.address.version
    family = _FAMILIES[version]
    if transport is Transport.ICMP:
        return _echo(version)
    kind = socket.SOCK_STREAM if transport is Transport.TCP else socket.SOCK_DGRAM
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    return _Stream(made) if transport is Transport.TCP else _Socket(made)


def _echo(version: int) -> _Socket:
    """Return a socket for pings: the kernel's own kind where it is allowed, else a raw one."""
    flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    try:
        made = socket.socket(_FAMILIES[version], socket.SOCK_DGRAM | flags, _ICMP[version])
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT}:
            raise
    else:
        return _Socket(made)
    made = socket.socket(_FAMILIES[version], socket.SOCK_RAW | flags, _ICMP[version])
    if version == 6:
        return _Socket(made)
    only_replies = struct.pack("I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF)
    made.setsockopt(_SOL_RAW, _ICMP_FILTER, only_replies)
    return _Raw4(made)
