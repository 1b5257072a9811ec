"""Runs a program on made frames without sending them (BPF_PROG_TEST_RUN).

The kernel takes XDP frames from 14 bytes (an Ethernet header) up to what one page holds, or several
for programs of section `xdp.frags`.
"""

from __future__ import annotations

import ctypes
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shunt.dataplane.kernel import ProgramType, TcVerdict, Verdict
from shunt.dataplane.libbpf import RunOptions, checked, libbpf
from shunt.errors import DataplaneError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from shunt.dataplane.program import Program

SHORTEST = 14
"""Bytes of the shortest frame that the kernel takes."""
_ROOM = 256
_XDP_MD = 6 * 4
_SKB_MARK = 8
_SKB = 12


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one frame.

    Attributes:
        verdict: an XDP action or a tc action; a plain number if the program returned another.
        frame: the frame as the program left it.
        duration_ns: mean time of one run, by the kernel's clock.
    """

    verdict: Verdict | TcVerdict | int
    frame: bytes
    duration_ns: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of n frames.

    Attributes:
        verdicts: (n,) numbers; `Verdict(number)` names them.
        frames: (n, width) bytes as the program left them, zero beyond each one's length.
        lengths: (n,) bytes.
    """

    verdicts: NDArray[np.uint32]
    frames: NDArray[np.uint8]
    lengths: NDArray[np.uint32]


def run(
    program: Program,
    frame: bytes,
    *,
    repeat: int = 1,
    ifindex: int = 0,
    mark: int = 0,
    first_buffer: int | None = None,
) -> Result:
    """Run a program on one frame.

    Args:
        program: of type XDP or SCHED_CLS.
        frame: from the Ethernet header on.
        repeat: runs; the frame is not restored in between, so each sees what the last one wrote.
        ifindex: XDP only: the interface that it came in by, of the calling thread's namespace; 0
            leaves the kernel's choice, which is loopback.
        mark: tc only: the packet's mark.
        first_buffer: XDP only, with `ifindex`: how much of the frame is in its first buffer.

    Raises:
        DataplaneError: the kernel does not take the frame (EINVAL), or the interface is absent.
    """
    kind = program.info().kind
    frames = np.frombuffer(frame, np.uint8)[np.newaxis, :]
    room = np.zeros((1, len(frame) + _ROOM), np.uint8)
    size = len(frame) if first_buffer is None else first_buffer
    options, _keep = _options(kind, ifindex, mark, size)
    options.repeat = repeat
    options.data_in, options.data_size_in = frames.ctypes.data, len(frame)
    options.data_out, options.data_size_out = room.ctypes.data, room.shape[1]
    _check(libbpf().bpf_prog_test_run_opts(program.fd, options), program.name, len(frame))
    return Result(
        verdict=_verdict(kind, options.retval),
        frame=room[0, : options.data_size_out].tobytes(),
        duration_ns=options.duration,
    )


def run_batch(
    program: Program, frames: NDArray[np.uint8], lengths: ArrayLike, *, ifindex: int = 0
) -> Batch:
    """Run an XDP program once on each of many frames, with buffers made once.

    Args:
        program: of type XDP.
        frames: (n, width) bytes.
        lengths: (n,) how many bytes of each row are the frame.
        ifindex: as for `run`.

    Raises:
        DataplaneError: as for `run`; the message says which frame.
    """
    frames = np.ascontiguousarray(frames, np.uint8)
    count, width = frames.shape
    sizes = np.asarray(lengths, np.uint32)
    room = np.zeros((count, width + _ROOM), np.uint8)
    verdicts, out_sizes = np.zeros(count, np.uint32), np.zeros(count, np.uint32)
    options, context = _options(ProgramType.XDP, ifindex, 0, 0)
    options.repeat = 1
    call, fd, reference = libbpf().bpf_prog_test_run_opts, program.fd, ctypes.byref(options)
    source, target, target_width = frames.ctypes.data, room.ctypes.data, room.shape[1]
    for index, size in enumerate(sizes.tolist()):
        options.data_in, options.data_size_in = source + index * width, size
        options.data_out, options.data_size_out = target + index * target_width, target_width
        if ifindex:
            context[1] = size
        result = call(fd, reference)
        if result:
            _check(result, f"{program.name} on frame {index}", size)
        verdicts[index] = options.retval
        out_sizes[index] = options.data_size_out
    return Batch(verdicts, room, out_sizes)


def _options(
    kind: int, ifindex: int, mark: int, size: int
) -> tuple[RunOptions, NDArray[np.uint32]]:
    """Return options with the program's context, and the context, which must live as long."""
    options = RunOptions(sz=ctypes.sizeof(RunOptions))
    if kind == ProgramType.XDP and ifindex:
        # struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
        context = np.array([0, size, 0, ifindex, 0, 0], np.uint32)
    elif kind == ProgramType.SCHED_CLS and mark:
        # struct __sk_buff: len, pkt_type, mark, ...
        context = np.array([0, 0, mark], np.uint32)
    else:
        return options, np.zeros(2, np.uint32)
    options.ctx_in, options.ctx_size_in = context.ctypes.data, context.nbytes
    return options, context


def _check(result: int, name: str, size: int) -> None:
    hint = None
    if result == -errno.EINVAL and size < SHORTEST:
        hint = f"The kernel runs programs on frames of {SHORTEST} bytes or more; this has {size}."
    checked(result, f"run program {name}", hint=hint)


def _verdict(kind: int, number: int) -> Verdict | TcVerdict | int:
    names = {ProgramType.XDP: Verdict, ProgramType.SCHED_CLS: TcVerdict}.get(ProgramType(kind))
    if names is None:
        raise DataplaneError(f"programs of kind {kind} are not run on frames")
    if names is TcVerdict and number >> 31:
        number -= 1 << 32
    try:
        return names(number)
    except ValueError:
        return number
