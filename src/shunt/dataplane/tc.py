"""Attaching a classifier program to packets that leave (or enter) an interface by tc.

By a tcx link where the kernel has it (6.6), else by a filter on the clsact queueing discipline.
Acts in the network namespace of the calling thread.
"""

from __future__ import annotations

import ctypes
import errno
from dataclasses import dataclass

from shunt.dataplane.attach import Link
from shunt.dataplane.holders import holders
from shunt.dataplane.kernel import AttachType
from shunt.dataplane.libbpf import LinkCreateOptions, TcHook, TcOptions, checked, libbpf
from shunt.dataplane.program import Program

_POINT = {AttachType.TCX_INGRESS: 1, AttachType.TCX_EGRESS: 2}
_REPLACE = 1
# Our place among an interface's filters: fixed, so that a restarted daemon finds it again.
_PRIORITY = 0x5348
_HANDLE = 1
_NO_TCX = (-errno.EINVAL, -errno.EOPNOTSUPP)
_NOT_THERE = (-errno.ENOENT, -errno.ENODEV, -errno.EINVAL)


@dataclass(frozen=True, slots=True)
class TcAttachment:
    """An attached classifier; `link` is None where it is a filter, which outlives the process."""

    ifindex: int
    point: AttachType
    link: Link | None

    def update(self, program: Program) -> None:
        """Put another program in place, atomically."""
        if self.link:
            self.link.update(program)
        else:
            _filter(self.ifindex, self.point, program)

    def detach(self) -> None:
        """Take the program off; one that is gone already, or its interface, is fine."""
        if self.link:
            if self.link.info().ifindex:
                self.link.detach()
            self.link.close()
            return
        _take_off(self.ifindex, self.point)


def take_off_orphan(ifindex: int, name: str, *, point: AttachType = AttachType.TCX_EGRESS) -> bool:
    """Take our filter off if its process ended without doing so; return whether it was there.

    Args:
        ifindex: the interface, in the calling thread's network namespace.
        name: of the program; another one's filter stays, and so does one that a process holds.
        point: packets that leave, or that enter.

    Raises:
        DataplaneError: the kernel refused.
    """
    options = _place()
    result = libbpf().bpf_tc_query(_hook(ifindex, point), options)
    if result in _NOT_THERE:
        return False
    checked(result, f"look for a classifier on interface {ifindex}")
    with Program.by_id(options.prog_id) as program:
        is_ours = program.info().name == name
    if not is_ours or holders(options.prog_id):
        return False
    _take_off(ifindex, point)
    return True


def _take_off(ifindex: int, point: AttachType) -> None:
    result = libbpf().bpf_tc_detach(_hook(ifindex, point), _place())
    if result not in _NOT_THERE:
        checked(result, f"take the classifier off interface {ifindex}")


def _place() -> TcOptions:
    return TcOptions(sz=ctypes.sizeof(TcOptions), handle=_HANDLE, priority=_PRIORITY)


def attach_tc(
    ifindex: int,
    program: Program,
    *,
    point: AttachType = AttachType.TCX_EGRESS,
    tcx: bool = True,
) -> TcAttachment:
    """Attach a classifier program.

    Args:
        ifindex: the interface, in the calling thread's network namespace.
        program: of type SCHED_CLS.
        point: packets that leave, or that enter.
        tcx: False makes a filter even where the kernel has tcx.

    Raises:
        DataplaneError: the kernel refused, or the interface is absent (ENODEV).
    """
    if tcx:
        options = LinkCreateOptions(sz=ctypes.sizeof(LinkCreateOptions))
        result = libbpf().bpf_link_create(program.fd, ifindex, point, options)
        if result not in _NO_TCX:
            checked(result, f"attach classifier {program.name} to interface {ifindex}")
            return TcAttachment(ifindex, point, Link(result))
    result = libbpf().bpf_tc_hook_create(_hook(ifindex, point))
    if result != -errno.EEXIST:
        checked(result, f"prepare interface {ifindex} for classifiers")
    _filter(ifindex, point, program)
    return TcAttachment(ifindex, point, None)


def _filter(ifindex: int, point: AttachType, program: Program) -> None:
    """Add our filter, or replace its program."""
    options = TcOptions(
        sz=ctypes.sizeof(TcOptions),
        prog_fd=program.fd,
        flags=_REPLACE,
        handle=_HANDLE,
        priority=_PRIORITY,
    )
    result = libbpf().bpf_tc_attach(_hook(ifindex, point), options)
    checked(result, f"attach classifier {program.name} to interface {ifindex}")


def _hook(ifindex: int, point: AttachType) -> TcHook:
    return TcHook(sz=ctypes.sizeof(TcHook), ifindex=ifindex, attach_point=_POINT[point])
