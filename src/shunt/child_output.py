"""What a child process prints: all of it is read, so that it never waits; the first of it is kept.

A pipe of our own, not the event loop's: that one is waited for together with the process, and
whoever a command leaves in the background may hold it open for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Self

_PIECE = 1 << 16  # bytes: what a pipe holds


class ChildOutput:
    """A pipe to give to a child as its output; it ends with the `with`, whoever holds it open.

    Attributes:
        kept: bytes.
        end: the file descriptor to write to.
    """

    def __init__(self, longest: int) -> None:
        """Make the pipe.

        Args:
            longest: bytes to keep.

        Raises:
            OSError: no descriptors are left.
        """
        self.kept = bytearray()
        self._longest = longest
        self._reading, self.end = os.pipe()
        os.set_blocking(self._reading, False)

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._reading, self.read)
        return self

    def __exit__(self, *_: object) -> None:
        self.read()
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)
        os.close(self.end)

    def read(self) -> None:
        """Take what is there."""
        with contextlib.suppress(BlockingIOError):
            piece = os.read(self._reading, _PIECE)
            self.kept += piece[: self._longest - len(self.kept)]

    def words(self) -> str:
        """Return what was kept as text."""
        return self.kept.decode(errors="replace").strip()
