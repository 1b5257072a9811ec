"""A TCP/IP stack of its own, whose frames somebody else carries.

The kernel's stack in a nameless network namespace, behind a TUN device: it has its own addresses,
routes and sockets, and no neighbour table at all, since the carrier decides to which MAC each
packet goes. No link, route or address appears in the machine's own namespace, and all of it goes
with the process, however that ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Self

from shunt.errors import HostError
from shunt.network.netlink import Netlink, Request, attribute

if TYPE_CHECKING:
    from types import TracebackType

    from shunt.model.addresses import Address

_DEVICE = Path("/dev/net/tun")
_TUNSETIFF = 0x400454CA
_TUN, _NO_PACKET_INFORMATION = 0x0001, 0x1000
_IFREQ = struct.Struct("16sH22x")
_NAME = "shunt"
_NEW_LINK, _NEW_ADDRESS, _NEW_ROUTE = 16, 20, 24
_CREATE = 0x400
_IFINFO, _IFADDR, _RTMSG = struct.Struct("=BxHiII"), struct.Struct("=BBBBI"), struct.Struct("=8BI")
_UP, _NO_DAD = 0x1, 0x02
_IFLA_MTU, _IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS, _RTA_OIF = 4, 1, 2, 8, 4
_MAIN, _STATIC, _UNICAST = 254, 4, 1
_LONGEST = 65536


class PseudoHost:
    """The stack. `read` and `write` carry its IP packets; `socket` gives a socket in it.

    Raises:
        HostError: no CAP_SYS_ADMIN and CAP_NET_ADMIN, or no TUN devices here.
    """

    def __init__(self, mtu: int = 1500) -> None:
        # Namespaces are a thread's own: one thread lives inside and makes the sockets.
        self._inside = ThreadPoolExecutor(1, thread_name_prefix="pseudo-host")
        try:
            self._tun, self._index = self._inside.submit(_build, mtu).result()
        except BaseException:
            self._inside.shutdown()
            raise

    def add(self, address: Address) -> None:
        """Give the stack an address, and a way to every other one of that IP version."""
        self._inside.submit(_add, self._index, address).result()

    def socket(self, source: Address, port: int) -> socket.socket:
        """Return a TCP socket that does not block, bound to `source` and `port`."""
        return self._inside.submit(_socket, source, port).result()

    def read(self) -> bytes | None:
        """Return the next packet that the stack sends, None if there is none yet."""
        try:
            return os.read(self._tun, _LONGEST)
        except BlockingIOError:
            return None

    def write(self, packet: bytes) -> None:
        """Give the stack a packet; one that it does not want is lost, as on any wire."""
        try:
            os.write(self._tun, packet)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOBUFS, errno.EAGAIN):
                raise

    def fileno(self) -> int:
        """Return the descriptor, readable when the stack has sent something."""
        return self._tun

    def close(self) -> None:
        """Take the stack away; sockets in it die with it. May be called again."""
        if self._tun >= 0:
            os.close(self._tun)
            self._tun = -1
        self._inside.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _build(mtu: int) -> tuple[int, int]:
    try:
        _leave_namespace()
        tun = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(
            f"a TCP stack apart from this machine's cannot be made: {error.strerror}",
            hint=f"It needs CAP_SYS_ADMIN, CAP_NET_ADMIN and {_DEVICE} (module tun).",
        ) from error
    try:
        request = _IFREQ.pack(_NAME.encode(), _TUN | _NO_PACKET_INFORMATION)
        fcntl.ioctl(tun, _TUNSETIFF, request)
        index = socket.if_nametoindex(_NAME)
        up = _IFINFO.pack(0, 0, index, _UP, _UP)
        with Netlink() as netlink:
            netlink.ask(Request(_NEW_LINK, up + attribute(_IFLA_MTU, struct.pack("=I", mtu))))
    except BaseException:
        os.close(tun)
        raise
    return tun, index


def _leave_namespace() -> None:
    """Put the calling thread into a new, nameless network namespace."""
    if sys.version_info >= (3, 12):
        os.unshare(os.CLONE_NEWNET)
    else:
        from pyroute2 import netns

        libc = netns._get_libc()  # noqa: SLF001 - the one way to unshare(2) before 3.12
        if libc.unshare(netns.CLONE_NEWNET) != 0:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def _add(index: int, address: Address) -> None:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    whole = address.max_prefixlen
    body = _IFADDR.pack(family, whole, 0, 0, index)
    for kind in (_IFA_LOCAL, _IFA_ADDRESS):
        body += attribute(kind, address.packed)
    body += attribute(_IFA_FLAGS, struct.pack("=I", _NO_DAD))
    route = _RTMSG.pack(family, 0, 0, 0, _MAIN, _STATIC, 0, _UNICAST, 0)
    with Netlink() as netlink:
        netlink.ask(Request(_NEW_ADDRESS, body, _CREATE))
        oif = attribute(_RTA_OIF, struct.pack("=I", index))
        netlink.ask(Request(_NEW_ROUTE, route + oif, _CREATE))


def _socket(source: Address, port: int) -> socket.socket:
    family = socket.AF_INET if isinstance(source, IPv4Address) else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.bind((str(source), port))
        # The third segment of the handshake rides on the first data: one frame less.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
    except BaseException:
        made.close()
        raise
    return made
