"""Multicast groups that an interface is in although no process has joined them.

Switches that snoop MLD, and network cards that filter, deliver a group's frames only where somebody
has joined it. A neighbour solicitation goes to the solicited-node group of its target (RFC 4291
section 2.7.1), so for an address that the kernel does not hold, somebody must join. A socket's
membership ends with its process; one by an address with IFA_F_MCAUTOJOIN (linux/if_addr.h) stays:
the kernel programs the card and answers MLD queries, and holds nothing but the group.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from socket import AF_INET6
from typing import TYPE_CHECKING

from shunt.errors import NetworkError
from shunt.network.frames.neighbour import solicited_node
from shunt.network.netlink import Netlink, Request, attribute, attributes, number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.model.addresses import Address

_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_HEADER = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ADDRESS, _LOCAL, _FLAGS = 1, 2, 8
_NODAD, _NOPREFIXROUTE, _MCAUTOJOIN = 0x02, 0x200, 0x400
_CREATE, _EXCLUSIVE = 0x400, 0x200
_WHOLE = 128
_SOLICITED_NODES = IPv6Network("ff02::1:ff00:0/104")

# Present already; or a membership whose address the kernel dropped when the interface went down,
# while it kept the membership itself.
_JOINED = {errno.EEXIST, errno.EADDRINUSE}
_GONE = {errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENXIO}


@dataclass(frozen=True, slots=True, order=True)
class Membership:
    """An interface, by its index, in a group."""

    index: int
    group: IPv6Address


def memberships_for(
    interfaces: Iterable[int], addresses: Iterable[Address]
) -> frozenset[Membership]:
    """Return what interfaces must be in to hear solicitations for these addresses; pure."""
    groups = {solicited_node(each) for each in addresses if isinstance(each, IPv6Address)}
    return frozenset(Membership(index, group) for index in interfaces for group in groups)


def memberships() -> frozenset[Membership]:
    """Return the solicited-node groups that interfaces of this namespace are in by an address.

    Raises:
        NetworkError: the kernel did not tell.
    """
    with Netlink() as netlink:
        told = netlink.dump(_GETADDR, _HEADER.pack(AF_INET6, 0, 0, 0, 0))
    found = set()
    for message in told:
        if message.kind != _NEWADDR:
            continue
        *_, index = _HEADER.unpack_from(message.body)
        fields = attributes(message.body[_HEADER.size :])
        group = IPv6Address(fields[_LOCAL] if _LOCAL in fields else fields[_ADDRESS])
        if group in _SOLICITED_NODES and number(fields.get(_FLAGS, b"")) & _MCAUTOJOIN:
            found.add(Membership(index, group))
    return frozenset(found)


def join(membership: Membership) -> None:
    """Put an interface into a group, until `leave`; being there already is fine.

    Raises:
        NetworkError: the kernel refused.
    """
    flags = _NODAD | _NOPREFIXROUTE | _MCAUTOJOIN
    body = _body(membership) + attribute(_FLAGS, struct.pack("=I", flags))
    with Netlink() as netlink:
        try:
            netlink.ask(Request(_NEWADDR, body, _CREATE | _EXCLUSIVE))
        except NetworkError as error:
            if error.errno not in _JOINED:
                raise NetworkError(
                    f"cannot join {membership.group}: {error.message}",
                    errno=error.errno,
                    hint=_hint(error.errno),
                ) from error


def leave(membership: Membership) -> None:
    """Take an interface out of a group; not being there is fine.

    Raises:
        NetworkError: the kernel refused.
    """
    with Netlink() as netlink:
        try:
            netlink.ask(Request(_DELADDR, _body(membership)))
        except NetworkError as error:
            if error.errno not in _GONE:
                raise


def _body(membership: Membership) -> bytes:
    header = _HEADER.pack(AF_INET6, _WHOLE, 0, 0, membership.index)
    return header + attribute(_ADDRESS, membership.group.packed)


def _hint(code: int) -> str | None:
    if code in {errno.ENOMEM, errno.ENOBUFS}:
        return "raise net.core.optmem_max: each group takes 56 bytes of it"
    if code in {errno.EACCES, errno.EOPNOTSUPP, errno.EAFNOSUPPORT}:
        return "switch IPv6 on for the interface: net.ipv6.conf.<interface>.disable_ipv6=0"
    return None
