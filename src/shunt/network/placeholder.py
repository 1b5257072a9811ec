"""Neighbour entries that let this host send to a cluster address that nobody on the segment claims.

The kernel sends nothing to an address of the segment before it knows a MAC for it, and nobody
answers for a cluster address but the dispatcher's own program, which hears only what comes in. So
the checks need an entry; which MAC it has does not matter, for the probe's classifier writes
another one. It is no permanent entry: it is confirmed as long as the daemon lives. An end in order
removes it; after any other end it is stale within a minute (RFC 4861 section 7.3.2): the kernel
verifies it at its next use, and an announcement by the address's next owner replaces it.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.errors import NetworkError
from shunt.network.neighbours import (
    DELNEIGH,
    DESTINATION,
    HEADER,
    LINK_ADDRESS,
    NEWNEIGH,
    State,
)
from shunt.network.netlink import Netlink, Request, attribute
from shunt.network.routes import route_to

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.model.addresses import Address, Mac

CONFIRM = 4.0  # seconds between confirmations: below the kernel's delay before it doubts (5 s)
_REPLACE, _CREATE = 0x100, 0x400
_GONE = {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class Placeholder:
    """An address of the segment behind an interface, and the MAC to claim for it."""

    address: Address
    index: int
    mac: Mac


def way_out(address: Address) -> tuple[int, bool]:
    """Return the interface that this host sends to `address` by, and whether it is its segment.

    Raises:
        NetworkError: there is no route.
    """
    route = route_to(address)
    return route.index, route.on_link


def confirm(placeholders: Iterable[Placeholder]) -> None:
    """Make the entries, or confirm those that are there.

    Raises:
        NetworkError: the kernel refused.
    """
    with Netlink() as netlink:
        for each in placeholders:
            netlink.ask(_request(NEWNEIGH, each, _CREATE | _REPLACE))


def forget(placeholders: Iterable[Placeholder]) -> None:
    """Remove the entries; those that are gone already are fine.

    Raises:
        NetworkError: the kernel refused.
    """
    with Netlink() as netlink:
        for each in placeholders:
            try:
                netlink.ask(_request(DELNEIGH, each, 0))
            except NetworkError as error:
                if error.errno not in _GONE:
                    raise


def _request(kind: int, each: Placeholder, flags: int) -> Request:
    family = socket.AF_INET if each.address.version == 4 else socket.AF_INET6
    body = HEADER.pack(family, each.index, State.REACHABLE.number, 0, 0)
    body += attribute(DESTINATION, each.address.packed)
    body += attribute(LINK_ADDRESS, each.mac.octets)
    return Request(kind, body, flags)
