"""A process that sends SYNs of ever new clients to a pinned data plane, and notes where they go.

A process, not a thread: Python lets one thread run at a time, and not in the middle of a decision.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shunt.dataplane.pins import PinDirectory
from shunt.dataplane.plane import Plane
from shunt.dataplane.testrun import run_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CLIENT = slice(26, 30)  # of the frame: the client's address
AT_ONCE = 50
MOST = 1 << 24
_DEADLINE = 60.0
_ROOT = Path(__file__).parents[2]


def of_clients(frame: bytes, first: int, count: int) -> NDArray[np.uint8]:
    """Return the frame from so many clients with consecutive addresses, (count, bytes)."""
    frames = np.tile(np.frombuffer(frame, np.uint8), (count, 1))
    numbers = np.arange(first, first + count, dtype=">u4")
    frames[:, CLIENT] = numbers.view(np.uint8).reshape(count, 4)
    return frames


class Flood:
    """What the process has done so far: a file with the MAC that each client's SYN went to."""

    def __init__(self, process: subprocess.Popen[bytes], macs: Path) -> None:
        self._process, self._macs = process, macs

    @classmethod
    @contextlib.contextmanager
    def begun(cls, pins: Path, frame: bytes, first: int, macs: Path) -> Iterator[Flood]:
        """Let it run until the end of the block; clients are numbered from `first`."""
        macs.touch()
        command = [sys.executable, "-m", "tests.bpf.flood", str(pins), frame.hex(), str(first)]
        with subprocess.Popen([*command, str(macs)], cwd=_ROOT, stdin=subprocess.PIPE) as process:
            try:
                yield cls(process, macs)
            finally:
                process.kill()

    def count(self) -> int:
        assert self._process.poll() is None
        return self._macs.stat().st_size // 6

    def wait_for(self, count: int) -> int:
        """Wait until so many SYNs were sent; return how many."""
        deadline = time.monotonic() + _DEADLINE
        while (sent := self.count()) < count:
            assert time.monotonic() < deadline, f"{sent} of {count} SYNs were sent"
            time.sleep(0.001)
        return sent

    def macs(self, begin: int, end: int) -> NDArray[np.uint8]:
        """Return where those SYNs went, (n, 6)."""
        return np.fromfile(self._macs, np.uint8, 6 * (end - begin), offset=6 * begin).reshape(-1, 6)


def main(pins: str, frame: str, first: str, macs: str) -> None:
    """Send until there are no more clients, or somebody ends it."""
    program = Plane.inspect(PinDirectory(Path(pins))).program
    with Path(macs).open("ab", buffering=0) as file:
        for number in range(int(first), int(first) + MOST, AT_ONCE):
            frames = of_clients(bytes.fromhex(frame), number, AT_ONCE)
            batch = run_batch(program, frames, np.full(AT_ONCE, frames.shape[1]))
            file.write(batch.frames[:, :6].tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
