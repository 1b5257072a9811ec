"""The addresses that this host holds itself (rtnetlink(7), linux/if_addr.h)."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from shunt.errors import NetworkError
from shunt.network.netlink import Message, Netlink, attributes, interface_name, number
from shunt.network.routes import RouteKind, matching_route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shunt.model.addresses import Address

_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
GROUPS = (5, 9)  # RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR
_HEADER = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ADDRESS, _LOCAL, _FLAGS = 1, 2, 8
_USUAL_TABLES = {254, 255}  # main and local: one until a rule divides them, and then told as main
_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL}
_DAD_FAILED, _DEPRECATED, _TENTATIVE = 0x08, 0x20, 0x40


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """An address of an interface of this host."""

    address: Address
    prefix: int
    index: int
    interface: str
    tentative: bool = False
    duplicate: bool = False
    deprecated: bool = False

    @property
    def removal(self) -> str:
        """Return the command that removes it."""
        return f"ip address del {self.address}/{self.prefix} dev {self.interface}"


@dataclass(frozen=True, slots=True)
class Held:
    """How this host holds an address: on which interface, and the command that ends it."""

    address: Address
    interface: str
    removal: str


def addresses() -> tuple[LocalAddress, ...]:
    """Return every address of this network namespace, in the kernel's order.

    Groups that are joined by an address (`shunt.network.groups`) are none.

    Raises:
        NetworkError: the kernel did not tell.
    """
    with Netlink() as netlink:
        told = netlink.dump(_GETADDR, _HEADER.pack(0, 0, 0, 0, 0))
    found = (_local_or_gone(message) for message in told if message.kind == _NEWADDR)
    return tuple(local for local in found if local and not local.address.is_multicast)


def told(news: Iterable[Message]) -> frozenset[Address]:
    """Return the addresses that the kernel's announcements say came or went; pure.

    Raises:
        NetworkError: an announcement is malformed.
    """
    bodies = (message.body for message in news if message.kind in {_NEWADDR, _DELADDR})
    return frozenset(_address(attributes(body[_HEADER.size :])) for body in bodies)


def held_by_host(address: Address) -> Held | None:
    """Return how this host itself takes packets for `address`; None if it does not.

    Besides addresses of interfaces, a `local` route makes a host take a whole prefix (AnyIP).

    Raises:
        NetworkError: the kernel did not tell.
    """
    for local in addresses():
        if local.address == address:
            return Held(address, local.interface, local.removal)
    try:
        route = matching_route(address)
    except NetworkError as error:
        if error.errno not in _NO_ROUTE:
            raise
        return None
    if route.kind is not RouteKind.LOCAL:
        return None
    table = "" if route.table in _USUAL_TABLES else f" table {route.table}"
    removal = f"ip route del local {route.destination} dev {route.interface}{table}"
    return Held(address, route.interface, removal)


def _address(found: Mapping[int, bytes]) -> Address:
    return ip_address(found[_LOCAL] if _LOCAL in found else found[_ADDRESS])


def _local_or_gone(message: Message) -> LocalAddress | None:
    """Return an address; None if its interface went away since the kernel listed it."""
    try:
        return _local(message)
    except NetworkError as error:
        if error.errno in {errno.ENXIO, errno.ENODEV}:
            return None
        raise


def _local(message: Message) -> LocalAddress:
    _, prefix, flags, _, index = _HEADER.unpack_from(message.body)
    found = attributes(message.body[_HEADER.size :])
    flags = number(found[_FLAGS]) if _FLAGS in found else flags
    return LocalAddress(
        address=_address(found),
        prefix=prefix,
        index=index,
        interface=interface_name(index),
        tentative=bool(flags & _TENTATIVE),
        duplicate=bool(flags & _DAD_FAILED),
        deprecated=bool(flags & _DEPRECATED),
    )
