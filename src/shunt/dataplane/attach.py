"""Attaching an XDP program to an interface through a bpf_link: native where the driver can.

Everything here acts in the network namespace of the calling thread and needs no /sys.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from shunt.dataplane.handle import Handle
from shunt.dataplane.holders import holders
from shunt.dataplane.info import LinkInfo, link_info, links
from shunt.dataplane.kernel import AttachType, LinkType
from shunt.dataplane.libbpf import (
    LinkCreateOptions,
    LinkUpdateOptions,
    XdpQuery,
    checked,
    error_name,
    libbpf,
)
from shunt.dataplane.program import Program
from shunt.errors import DataplaneError, HostError

if TYPE_CHECKING:
    from collections.abc import Sequence

_REPLACE = 1 << 2  # BPF_F_REPLACE
_OCCUPIED = (-errno.EBUSY, -errno.EEXIST)
_FINAL = (*_OCCUPIED, -errno.EPERM, -errno.ENODEV)


class Mode(enum.StrEnum):
    """Where the program runs: in the driver, or later and slower in the generic path."""

    NATIVE = "native"
    GENERIC = "generic"


_FLAGS = {Mode.GENERIC: 1 << 1, Mode.NATIVE: 1 << 2}
_ATTACHED_NATIVE, _ATTACHED_GENERIC = 1, 2


class Attached(NamedTuple):
    """What an interface carries; `mode` is None for a program in the card itself, or several."""

    program_id: int
    mode: Mode | None


class Link(Handle):
    """An attachment that lives while a descriptor or a pin holds it."""

    def info(self) -> LinkInfo:
        """Ask the kernel: number, program, interface."""
        return link_info(self.fd)

    def update(self, program: Program, *, expected: Program | None = None) -> None:
        """Put another program in place, atomically: each packet meets the old or the new one.

        Args:
            program: the new one.
            expected: only if this is the one in place.

        Raises:
            DataplaneError: another was in place (EPERM), the link is detached (ENOLINK), or the
                kernel refused.
        """
        options = LinkUpdateOptions(
            sz=ctypes.sizeof(LinkUpdateOptions),
            flags=_REPLACE if expected else 0,
            old_prog_fd=expected.fd if expected else 0,
        )
        result = libbpf().bpf_link_update(self.fd, program.fd, options)
        doing = f"put program {program.name} in place of the running one"
        if expected and result == -errno.EPERM:
            raise DataplaneError(
                f"cannot {doing}: it is not {expected.name} any more", errno=errno.EPERM
            )
        checked(result, doing)

    def detach(self) -> None:
        """Take the program off at once, also where a pin or another process holds the link."""
        checked(libbpf().bpf_link_detach(self.fd), "detach the program")


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attached program.

    Attributes:
        link: holds it; pin it to outlive the process.
        mode: where it runs.
        native_refused: why not in the driver, in the kernel's words; "" if it is, or was not tried.
    """

    link: Link
    mode: Mode
    native_refused: str = ""


def attach(
    ifindex: int, program: Program, mode: Mode | None = None, *, replace: bool = False
) -> Attachment:
    """Attach an XDP program.

    Args:
        ifindex: the interface, in the calling thread's network namespace.
        program: of type XDP.
        mode: None tries native and then generic.
        replace: take off whatever program is there; packets pass unseen in between.

    Raises:
        HostError: the interface is absent or carries another program, which the message names.
        DataplaneError: the kernel refused.
    """
    name = _interface(ifindex)
    if replace:
        take_off(ifindex)
    refused = ""
    for tried in (mode,) if mode else (Mode.NATIVE, Mode.GENERIC):
        result = _create(ifindex, program, AttachType.XDP, _FLAGS[tried])
        if result >= 0:
            return Attachment(Link(result), tried, refused)
        if result in _OCCUPIED and (there := query(ifindex)):
            raise HostError(
                f"{name} already carries {describe(there.program_id)}",
                hint="Remove it by the tool that put it there, or insist with --replace.",
            )
        if result in _FINAL:
            break
        refused = error_name(-result)
    checked(result, f"attach program {program.name} to {name}" + (f" ({mode})" if mode else ""))
    raise AssertionError("not reached: a negative result raises")


def query(ifindex: int) -> Attached | None:
    """Return what XDP program an interface carries, by whomever; None if it carries none.

    Raises:
        DataplaneError: the interface is absent (ENODEV), or netlink failed.
    """
    found = XdpQuery(sz=ctypes.sizeof(XdpQuery))
    checked(libbpf().bpf_xdp_query(ifindex, 0, found), f"ask what {_interface(ifindex)} carries")
    program_id = found.drv_prog_id or found.skb_prog_id or found.hw_prog_id or found.prog_id
    if not program_id:
        return None
    modes = {_ATTACHED_NATIVE: Mode.NATIVE, _ATTACHED_GENERIC: Mode.GENERIC}
    return Attached(program_id, modes.get(found.attach_mode))


def take_off(ifindex: int) -> None:
    """Remove whatever XDP program an interface carries, linked or not; none there is fine.

    Raises:
        HostError: it cannot be removed from here.
    """
    there = query(ifindex)
    if there is None:
        return
    if _detach_links(ifindex, there.program_id):
        return
    result = libbpf().bpf_xdp_detach(ifindex, _FLAGS[there.mode] if there.mode else 0, None)
    checked(result, f"take {describe(there.program_id)} off {_interface(ifindex)}")


def _detach_links(ifindex: int, program_id: int) -> bool:
    """Detach the link that holds a program on an interface; False if none does."""
    found = []
    for fd in links():
        info = link_info(fd)
        if (info.kind, info.ifindex, info.program_id) == (LinkType.XDP, ifindex, program_id):
            found.append(info.id)
    if len(found) > 1:
        # Interfaces of two namespaces share the number: which one is ours cannot be told.
        raise HostError(
            f"{describe(program_id)} is attached to interface {ifindex} of several namespaces",
            hint="Remove it by the tool that put it there.",
        )
    if found:
        with Link(checked(libbpf().bpf_link_get_fd_by_id(found[0]), "open a link")) as link:
            link.detach()
    return bool(found)


def describe(program_id: int) -> str:
    """Name a program and its owner in words: name, number, user, processes that hold it."""
    try:
        with Program.by_id(program_id) as program:
            info = program.info()
    except (DataplaneError, HostError):
        return f"XDP program {program_id}"
    held: Sequence[str] = holders(program_id)
    owner = f", held by {', '.join(held)}" if held else ""
    return (
        f"XDP program {info.name or 'without a name'} (id {info.id}, tag {info.tag}, "
        f"loaded by user {info.created_by_uid}{owner})"
    )


def _create(ifindex: int, program: Program, kind: AttachType, flags: int) -> int:
    options = LinkCreateOptions(sz=ctypes.sizeof(LinkCreateOptions), flags=flags)
    result: int = libbpf().bpf_link_create(program.fd, ifindex, kind, options)
    return result


def _interface(ifindex: int) -> str:
    try:
        return socket.if_indextoname(ifindex)
    except OSError as error:
        raise HostError(
            f"there is no interface {ifindex}", hint="`ip link` lists those that there are."
        ) from error
