"""Packet sockets: frames as they are on the wire, sent and heard (packet(7)).

A socket hears what arrives, never what this machine sends. The kernel's own tables are neither
read nor changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from shunt.errors import HostError, NetworkError
from shunt.model.addresses import Mac
from shunt.network.frames import Malformed, parse

if TYPE_CHECKING:
    from types import TracebackType

    from shunt.network.filters import Filter
    from shunt.network.frames import Frame

_EVERY_PROTOCOL = 0x0003
_SOL_PACKET = 263
_ADD_MEMBERSHIP, _STATISTICS, _AUXDATA, _IGNORE_OUTGOING = 1, 6, 8, 23
_MULTICAST, _PROMISCUOUS, _UNICAST = 0, 1, 3
_SO_ATTACH_FILTER, _SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 26, 35, 33
_GROUP = 0x01  # in the first octet of a MAC: many receivers
_MEMBERSHIP = struct.Struct("iHH8s")
_AUXILIARY = struct.Struct("IIIHHHH")  # struct tpacket_auxdata
_CHECKSUM_NOT_READY, _TAG_VALID, _TAG_PROTOCOL_VALID = 0x08, 0x10, 0x40
_TIMESPEC = struct.Struct("ll")
_LONGEST = 65536 + 64
_PERMITTED = "a packet socket needs the capability CAP_NET_RAW"


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame and when the kernel got it (seconds since the epoch)."""

    data: bytes
    when: float
    checksum_ready: bool = True

    def parsed(self) -> Frame | Malformed:
        """Return what the frame says."""
        return parse(self.data, checksum_ready=self.checksum_ready)


class PacketSocket:
    """Frames of one interface, from the moment of its making until `close`.

    `keep` selects in the kernel what is heard; `also` are further MACs that the interface's
    receiver shall take, its own or a group's; `promiscuous` asks for every frame. The interface
    returns to what it was when the socket is closed, also when the process is killed.

    Raises:
        HostError: no CAP_NET_RAW, or no such interface.
        NetworkError: the kernel refused otherwise.
    """

    def __init__(
        self,
        interface: str,
        *,
        keep: Filter | None = None,
        also: tuple[Mac, ...] = (),
        promiscuous: bool = False,
        buffer: int = 4 << 20,
    ) -> None:
        self.interface = interface
        self._dropped = 0
        try:
            # Bound to no protocol yet: nothing is queued before the filter is in place.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError as error:
            raise HostError(
                _PERMITTED, hint="Run it as root, or with `setcap cap_net_raw+ep`."
            ) from error
        except OSError as error:
            raise _failed(interface, error) from error
        try:
            self._configure(keep, also, promiscuous=promiscuous, buffer=buffer)
        except OSError as error:
            self._socket.close()
            if error.errno == errno.ENODEV:
                names = ", ".join(name for _, name in socket.if_nameindex())
                raise HostError(
                    f"there is no interface {interface!r} here", hint=f"There are: {names}."
                ) from error
            raise _failed(interface, error) from error
        except BaseException:
            self._socket.close()
            raise

    def _configure(
        self, keep: Filter | None, also: tuple[Mac, ...], *, promiscuous: bool, buffer: int
    ) -> None:
        sock = self._socket
        sock.settimeout(0)
        with contextlib.suppress(PermissionError):  # CAP_NET_ADMIN; the limit serves without
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(_SOL_PACKET, _AUXDATA, 1)
        sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        if keep is not None:
            program = array("B", keep.packed())
            where, _ = program.buffer_info()
            sock.setsockopt(
                socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(keep), where)
            )
        sock.bind((self.interface, _EVERY_PROTOCOL))
        self.mac = Mac(sock.getsockname()[4][:6])
        self.index = socket.if_nametoindex(self.interface)
        if promiscuous:
            self._join(_PROMISCUOUS, b"")
        for mac in also:
            group = mac.octets[0] & _GROUP
            self._join(_MULTICAST if group else _UNICAST, mac.octets)

    def _join(self, kind: int, address: bytes) -> None:
        request = _MEMBERSHIP.pack(self.index, kind, len(address), address)
        self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)

    def send(self, frame: bytes) -> None:
        """Send a frame as it is.

        Raises:
            NetworkError: the interface is down or gone, or its queue is full.
        """
        try:
            self._socket.send(frame)
        except OSError as error:
            message = f"sending on {self.interface}: {error.strerror}"
            raise NetworkError(message, errno=error.errno or 0) from error

    def receive_now(self) -> Heard | None:
        """Return the next frame, None if there is none yet.

        Raises:
            NetworkError: the interface is down or gone.
        """
        try:
            data, notes, _, _ = self._socket.recvmsg(_LONGEST, 256)
        except BlockingIOError:
            return None
        except OSError as error:
            message = f"receiving on {self.interface}: {error.strerror}"
            raise NetworkError(message, errno=error.errno or 0) from error
        return _heard(data, notes)

    async def receive(self) -> Heard:
        """Return the next frame; wait for it."""
        while (heard := self.receive_now()) is None:
            await self._readable()
        return heard

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(self._socket, wake)
        try:
            await ready
        finally:
            loop.remove_reader(self._socket)

    def dropped(self) -> int:
        """Return how many frames the kernel has had no room for since the socket was made."""
        statistics = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)  # reading resets them
        self._dropped += struct.unpack("II", statistics)[1]
        return self._dropped

    def fileno(self) -> int:
        """Return the descriptor, readable when a frame has arrived."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give everything back; may be called again."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _failed(interface: str, error: OSError) -> NetworkError:
    return NetworkError(
        f"packet socket on {interface}: {error.strerror or error}", errno=error.errno or 0
    )


def _heard(data: bytes, notes: list[tuple[int, int, bytes]]) -> Heard:
    """Return the frame with the tag that the kernel took off, and what the kernel noted."""
    when, ready = 0.0, True
    for level, kind, note in notes:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack_from(note)
            when = seconds + nanoseconds / 1e9
        elif level == _SOL_PACKET and kind == _AUXDATA:
            status, _, _, _, _, tag, protocol = _AUXILIARY.unpack_from(note)
            ready = not status & _CHECKSUM_NOT_READY
            if status & _TAG_VALID:
                known = protocol if status & _TAG_PROTOCOL_VALID else 0x8100
                data = data[:12] + struct.pack("!HH", known, tag) + data[12:]
    return Heard(data, when, ready)
