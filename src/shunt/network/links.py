"""The host's interfaces as the kernel lists them (rtnetlink(7), linux/if_link.h)."""

from __future__ import annotations

import difflib
import errno
import struct
from dataclasses import dataclass
from enum import StrEnum

from shunt.errors import HostError, NetworkError
from shunt.model.addresses import Mac
from shunt.network.netlink import (
    Message,
    Netlink,
    Request,
    attribute,
    attributes,
    number,
    text,
)

_NEWLINK, _GETLINK = 16, 18
_HEADER = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_UP, _LOOPBACK, _LOWER_UP = 0x1, 0x8, 0x10000

_ADDRESS, _NAME, _MTU, _PEER, _MASTER, _LINKINFO, _PEER_NAMESPACE, _XDP = 1, 3, 4, 5, 10, 18, 37, 43
_TARGET_NAMESPACE = 46
_HIDDEN = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENODEV)  # not ours, or gone by now
_KIND = 1
_XDP_ATTACHED, _XDP_PROGRAM = 2, 4
_XDP_PROGRAMS = (5, 6, 7)  # ids of the native, generic and offloaded programs


class XdpMode(StrEnum):
    """Where a frame meets an interface's XDP program; `MULTI` is more than one place."""

    NATIVE = "native"
    GENERIC = "generic"
    OFFLOADED = "offloaded"
    MULTI = "multi"


_MODES = {1: XdpMode.NATIVE, 2: XdpMode.GENERIC, 3: XdpMode.OFFLOADED, 4: XdpMode.MULTI}


@dataclass(frozen=True, slots=True)
class Xdp:
    """The XDP programs that an interface carries, by the kernel's program ids."""

    programs: tuple[int, ...]
    mode: XdpMode


@dataclass(frozen=True, slots=True)
class Link:
    """An interface.

    `up` is what the administrator wishes, `running` what the cable says. `kind` names a virtual
    interface (veth, bridge, vlan, ...), None is hardware. `peer` is the index of the interface
    behind this one (a veth's other end, a VLAN's parent), in `peer_namespace` (a namespace's id
    as seen from here) if that is another one. `master` is the bridge's or bond's index.
    """

    index: int
    name: str
    mac: Mac | None
    up: bool
    running: bool
    mtu: int
    kind: str | None = None
    peer: int | None = None
    peer_namespace: int | None = None
    master: int | None = None
    xdp: Xdp | None = None
    loopback: bool = False


def links() -> tuple[Link, ...]:
    """Return every interface of this network namespace, by index.

    Raises:
        NetworkError: the kernel did not tell.
    """
    with Netlink() as netlink:
        told = netlink.dump(_GETLINK, _HEADER.pack(0, 0, 0, 0, 0))
    return tuple(_link(message) for message in told if message.kind == _NEWLINK)


def find(name: str) -> Link:
    """Return the interface of that name.

    Raises:
        HostError: there is none; the hint names those that are near.
        NetworkError: the kernel did not tell.
    """
    found = {link.name: link for link in links()}
    if name in found:
        return found[name]
    near = difflib.get_close_matches(name, found, n=3, cutoff=0.5) or sorted(found)
    raise HostError(f"there is no interface {name} here", hint=f"there is {', '.join(near)}")


def peer_of(link: Link) -> Link | None:
    """Return the interface behind this one (a veth's other end), also in another namespace.

    Returns:
        None: there is none, or this process may not look there.

    Raises:
        NetworkError: the kernel did not tell.
    """
    if link.peer is None:
        return None
    request = _HEADER.pack(0, 0, link.peer, 0, 0)
    if link.peer_namespace is not None:
        request += attribute(_TARGET_NAMESPACE, struct.pack("=i", link.peer_namespace))
    try:
        with Netlink() as netlink:
            told = netlink.ask(Request(_GETLINK, request))
    except NetworkError as error:
        if error.errno in _HIDDEN:
            return None
        raise
    return next((_link(message) for message in told if message.kind == _NEWLINK), None)


def _link(message: Message) -> Link:
    _, _, index, flags, _ = _HEADER.unpack_from(message.body)
    found = attributes(message.body[_HEADER.size :])
    kind = attributes(found[_LINKINFO]).get(_KIND) if _LINKINFO in found else None
    mac = found.get(_ADDRESS, b"")
    return Link(
        index=index,
        name=text(found[_NAME]),
        mac=Mac(mac) if len(mac) == 6 else None,
        up=bool(flags & _UP),
        running=bool(flags & _LOWER_UP),
        mtu=number(found[_MTU]),
        kind=text(kind) if kind is not None else None,
        peer=_optional(found, _PEER),
        peer_namespace=_optional(found, _PEER_NAMESPACE),
        master=_optional(found, _MASTER),
        xdp=_xdp(attributes(found.get(_XDP, b""))),
        loopback=bool(flags & _LOOPBACK),
    )


def _optional(found: dict[int, bytes], kind: int) -> int | None:
    return number(found[kind]) if kind in found else None


def _xdp(found: dict[int, bytes]) -> Xdp | None:
    mode = _MODES.get(number(found.get(_XDP_ATTACHED, b"\0")))
    if mode is None:
        return None
    programs = {number(found[kind]) for kind in (_XDP_PROGRAM, *_XDP_PROGRAMS) if kind in found}
    return Xdp(tuple(sorted(programs)), mode)
