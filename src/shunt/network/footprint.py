"""What a program may have left in the kernel's tables: neighbours and routes that concern it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from shunt.model.addresses import Mac
from shunt.network.netlink import Netlink, attributes

if TYPE_CHECKING:
    from collections.abc import Collection

    from shunt.model.addresses import Address

_GET_NEIGHBOURS, _GET_ROUTES = 30, 26
_NDMSG, _RTMSG = struct.Struct("=BxxxiHBB"), struct.Struct("=8BI")
_NDA_DST, _NDA_LLADDR, _RTA_DST = 1, 2, 1


@dataclass(frozen=True, slots=True)
class Trace:
    """An entry of a table: `table` is "neighbour" or "route".

    `mac` is where a neighbour is, None if the kernel has asked in vain; a route has a `prefix`.
    """

    table: str
    address: Address
    mac: Mac | None = None
    prefix: int | None = None

    def __str__(self) -> str:
        if self.prefix is not None:
            return f"{self.table}: {self.address}/{self.prefix}"
        return f"{self.table}: {self.address} at {self.mac or 'nobody'}"

    def __lt__(self, other: Trace) -> bool:
        return str(self) < str(other)


def footprint(addresses: Collection[Address], mac: Mac) -> frozenset[Trace]:
    """Return every neighbour and route entry of this namespace for the addresses or the MAC.

    Raises:
        NetworkError: the kernel would not tell.
    """
    found: set[Trace] = set()
    with Netlink() as netlink:
        for message in netlink.dump(_GET_NEIGHBOURS, _NDMSG.pack(0, 0, 0, 0, 0)):
            table = attributes(message.body[_NDMSG.size :])
            packed, link = table.get(_NDA_DST, b""), table.get(_NDA_LLADDR, b"")
            if len(packed) not in (4, 16):
                continue
            address = ip_address(packed)
            if address in addresses or link == mac.octets:
                found.add(Trace("neighbour", address, Mac(link) if len(link) == 6 else None))
        for message in netlink.dump(_GET_ROUTES, _RTMSG.pack(*[0] * 9)):
            packed = attributes(message.body[_RTMSG.size :]).get(_RTA_DST, b"")
            if len(packed) in (4, 16) and ip_address(packed) in addresses:
                found.add(Trace("route", ip_address(packed), prefix=message.body[1]))
    return frozenset(found)
