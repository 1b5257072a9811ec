"""The gateways in this host's routing tables (rtnetlink(7), linux/rtnetlink.h)."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

from shunt.network.netlink import Netlink, attributes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address

_NEW_ROUTE, _GET_ROUTES = 24, 26
_RTMSG = struct.Struct("=8BI")
_NEXT_HOP = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, hops, index
_GATEWAY, _MULTIPATH, _VIA = 5, 9, 18


def gateways() -> frozenset[Address]:
    """Return the next hop of every route of this namespace, of all tables.

    Raises:
        NetworkError: the kernel would not tell.
    """
    with Netlink() as netlink:
        told = netlink.dump(_GET_ROUTES, _RTMSG.pack(*[0] * 9))
    return frozenset(
        address
        for message in told
        if message.kind == _NEW_ROUTE
        for address in _gateways(message.body[_RTMSG.size :])
    )


def _gateways(data: bytes) -> Iterator[Address]:
    found = attributes(data)
    if _GATEWAY in found:
        yield ip_address(found[_GATEWAY])
    if _VIA in found:  # struct rtvia: a gateway of the other IP version (RFC 5549)
        yield ip_address(found[_VIA][2:])
    hops = found.get(_MULTIPATH, b"")
    while len(hops) >= _NEXT_HOP.size:
        size = max(_NEXT_HOP.unpack_from(hops)[0], _NEXT_HOP.size)
        yield from _gateways(hops[_NEXT_HOP.size : size])
        hops = hops[(size + 3) & ~3 :]
