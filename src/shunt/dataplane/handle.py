"""A kernel object held by a file descriptor, closed once and for certain."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Handle:
    """Owns a descriptor: closes it on `close`, at the end of a `with`, or when nobody holds it.

    Closing gives up this process's hold; what is pinned, or attached by a pinned link, lives on.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._closer = weakref.finalize(self, os.close, fd)

    @property
    def fd(self) -> int:
        """The descriptor; ValueError after `close`."""
        if not self._closer.alive:
            raise ValueError(f"{type(self).__name__} is closed")
        return self._fd

    def fileno(self) -> int:
        """The descriptor, for `select` and its kin."""
        return self.fd

    def close(self) -> None:
        """Close the descriptor; a second time does nothing."""
        self._closer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
