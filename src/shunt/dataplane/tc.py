"""Attaching a classifier program to packets that leave (or enter) an interface by tc.

By a tcx link where the kernel has it (6.6), else by a filter on the clsact queueing discipline.
Acts in the network namespace of the calling thread.
"""

from __future__ import annotations

import ctypes
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.dataplane.attach import Link
from shunt.dataplane.kernel import AttachType
from shunt.dataplane.libbpf import LinkCreateOptions, TcHook, TcOptions, checked, libbpf

if TYPE_CHECKING:
    from shunt.dataplane.program import Program

_POINT = {AttachType.TCX_INGRESS: 1, AttachType.TCX_EGRESS: 2}
_REPLACE = 1
# Our place among an interface's filters: fixed, so that a restarted daemon finds it again.
_PRIORITY = 0x5348
_HANDLE = 1
_NO_TCX = (-errno.EINVAL, -errno.EOPNOTSUPP)


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
        options = TcOptions(sz=ctypes.sizeof(TcOptions), handle=_HANDLE, priority=_PRIORITY)
        result = libbpf().bpf_tc_detach(_hook(self.ifindex, self.point), options)
        if result not in (-errno.ENOENT, -errno.ENODEV, -errno.EINVAL):
            checked(result, f"take the classifier off interface {self.ifindex}")


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
