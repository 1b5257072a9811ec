"""The kernel's choice of route to one address (`ip route get`; rtnetlink(7))."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING

from shunt.errors import NetworkError
from shunt.network.netlink import Netlink, Request, attribute, attributes, interface_name, number

if TYPE_CHECKING:
    from shunt.model.addresses import Address

_NEWROUTE, _GETROUTE = 24, 26
_HEADER = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, dst and src length, tos, table, ...
_LOOKUP_TABLE = 0x1000  # tell the table that decided: IPv4 says "main" without, IPv6 always tells
_FIB_MATCH = 0x2000  # answer with the route that matched instead of the resolved way

_DESTINATION, _INTERFACE, _GATEWAY, _SOURCE, _TABLE, _VIA = 1, 4, 5, 7, 15, 18


class RouteKind(StrEnum):
    """What becomes of packets on a route."""

    UNICAST = "unicast"
    LOCAL = "local"
    OTHER = "other"


_KINDS = {1: RouteKind.UNICAST, 2: RouteKind.LOCAL}


@dataclass(frozen=True, slots=True)
class Route:
    """The way to an address: out of which interface, over which gateway, from which own address.

    `destination` is the prefix that matched where `matching_route` was asked, else the address.
    """

    destination: IPv4Network | IPv6Network
    kind: RouteKind
    index: int
    interface: str
    gateway: Address | None
    source: Address | None
    table: int  # of the routing tables; 254 is "main", 255 "local"

    @property
    def on_link(self) -> bool:
        """Return whether the address is on the interface's own segment."""
        return self.kind is RouteKind.UNICAST and self.gateway is None


def route_to(address: Address) -> Route:
    """Return the way that a packet of this host to `address` takes.

    Raises:
        NetworkError: there is none, or a rule forbids it.
    """
    return _ask(address, 0)


def matching_route(address: Address) -> Route:
    """Return the entry of the tables that decides about `address`, with its prefix.

    Raises:
        NetworkError: there is none, or a rule forbids it.
    """
    return _ask(address, _FIB_MATCH)


def _ask(address: Address, flags: int) -> Route:
    if isinstance(address, IPv4Address):
        family, flags = socket.AF_INET, flags | _LOOKUP_TABLE
    else:
        family = socket.AF_INET6
    body = _HEADER.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, flags)
    with Netlink() as netlink:
        request = Request(_GETROUTE, body + attribute(_DESTINATION, address.packed))
        try:
            answer = netlink.ask(request)
        except NetworkError as error:
            raise NetworkError(
                f"no route to {address}: {os.strerror(error.errno).lower()}",
                errno=error.errno,
                hint=f"see `ip route get {address}`",
            ) from error
    for message in answer:
        if message.kind == _NEWROUTE:
            return _route(message.body)
    raise NetworkError(f"no route to {address}: the kernel gave none")


def _route(body: bytes) -> Route:
    family, length, _, _, table, _, _, kind, _ = _HEADER.unpack_from(body)
    found = attributes(body[_HEADER.size :])
    any_address = bytes(4 if family == socket.AF_INET else 16)
    destination = ip_address(found.get(_DESTINATION, any_address))
    index = number(found[_INTERFACE]) if _INTERFACE in found else 0
    return Route(
        destination=ip_network((destination, length), strict=False),
        kind=_KINDS.get(kind, RouteKind.OTHER),
        index=index,
        interface=interface_name(index) if index else "",
        gateway=_gateway(found),
        source=ip_address(found[_SOURCE]) if _SOURCE in found else None,
        table=number(found[_TABLE]) if _TABLE in found else table,
    )


def _gateway(found: dict[int, bytes]) -> Address | None:
    if _GATEWAY in found:
        return ip_address(found[_GATEWAY])
    if _VIA in found:  # struct rtvia: the gateway of another family (RFC 5549)
        return ip_address(found[_VIA][2:])
    return None
