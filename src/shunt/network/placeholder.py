"""Neighbour entries that let this host send to a cluster address that nobody on the segment claims.

The kernel sends nothing to an address of the segment before it knows a MAC for it, and nobody
answers for a cluster address but the dispatcher's own program, which hears only what comes in. So
the checks need an entry; which MAC it has does not matter, for the probe's classifier writes
another one. It is no permanent entry (nor one without ARP, nor one learned elsewhere: the kernel
replaces neither by an announcement, or never forgets it): it is confirmed as long as the daemon
lives, and put back when somebody clears the table. An end in order removes it; after any other end
it is stale within a minute (RFC 4861 section 7.3.2): the kernel verifies it at its next use, and an
announcement by the address's next owner replaces it.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.errors import NetworkError
from shunt.network.addresses import GROUPS as ADDRESS_GROUPS
from shunt.network.addresses import held_by_host
from shunt.network.neighbours import (
    DELNEIGH,
    DESTINATION,
    HEADER,
    LINK_ADDRESS,
    NEWNEIGH,
    State,
    entry_of,
)
from shunt.network.netlink import Listener, Netlink, Request, attribute
from shunt.network.routes import RouteKind, route_to

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.model.addresses import Address, Mac
    from shunt.network.netlink import Message

GROUP = 3  # RTNLGRP_NEIGH
CONFIRM = 4.0  # seconds between confirmations: below the kernel's delay before it doubts (5 s)
_REPLACE, _CREATE = 0x100, 0x400
_WITHOUT_MAC = {State.NONE, State.INCOMPLETE, State.FAILED}
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
        NetworkError: there is no route, or this host itself holds the address: a check would ask
            the host, and take its answer for the server's.
    """
    route = route_to(address)
    if route.kind is RouteKind.LOCAL:
        held = held_by_host(address)
        removal = f"; remove it: {held.removal}" if held else ""
        raise NetworkError(f"this host itself holds {address}{removal}")
    return route.index, route.on_link


def confirm(placeholders: Iterable[Placeholder]) -> dict[Placeholder, NetworkError]:
    """Make the entries, or confirm those that are there; return those that the kernel refused.

    Raises:
        NetworkError: there is no talking to the kernel.
    """
    return _told(NEWNEIGH, placeholders, _CREATE | _REPLACE)


def forget(placeholders: Iterable[Placeholder]) -> dict[Placeholder, NetworkError]:
    """Remove the entries; return those that the kernel keeps. Those that are gone are fine.

    Raises:
        NetworkError: there is no talking to the kernel.
    """
    refused = _told(DELNEIGH, placeholders, 0)
    return {each: error for each, error in refused.items() if error.errno not in _GONE}


def lost(news: Iterable[Message], placeholders: Iterable[Placeholder]) -> frozenset[Placeholder]:
    """Return the entries that have no MAC any more, by the kernel's announcements; pure.

    `ip neigh flush` takes them away, and so does an interface that goes down.

    Raises:
        NetworkError: an announcement is malformed.
    """
    known = {(each.index, each.address): each for each in placeholders}
    entries = (entry for entry in map(entry_of, news) if entry is not None)
    gone = (known.get((e.hop.link, e.hop.address)) for e in entries if e.state in _WITHOUT_MAC)
    return frozenset(each for each in gone if each is not None)


def announcements() -> Listener:
    """Return a listener to what becomes of the kernel's entries and of the host's addresses.

    For `lost`, and for `shunt.network.addresses.told`.

    Raises:
        NetworkError: the kernel refused.
    """
    return Listener([GROUP, *ADDRESS_GROUPS])


def _told(
    kind: int, placeholders: Iterable[Placeholder], flags: int
) -> dict[Placeholder, NetworkError]:
    placeholders = tuple(placeholders)
    refused: dict[Placeholder, NetworkError] = {}
    if not placeholders:
        return refused
    with Netlink() as netlink:
        for each in placeholders:
            try:
                netlink.ask(_request(kind, each, flags))
            except NetworkError as error:
                refused[each] = error
    return refused


def _request(kind: int, each: Placeholder, flags: int) -> Request:
    family = socket.AF_INET if each.address.version == 4 else socket.AF_INET6
    body = HEADER.pack(family, each.index, State.REACHABLE.number, 0, 0)
    body += attribute(DESTINATION, each.address.packed)
    body += attribute(LINK_ADDRESS, each.mac.octets)
    return Request(kind, body, flags)
