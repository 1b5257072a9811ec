"""Records that programs send by a ring buffer, delivered to asyncio in batches."""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.dataplane.kernel import MapType
from shunt.dataplane.libbpf import SampleCallback, checked, libbpf
from shunt.errors import DataplaneError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from shunt.dataplane.layouts import AnyDtype
    from shunt.dataplane.maps import Map


class Events:
    """Reads one ring buffer.

    A program wakes the reader when the buffer was empty; everything that has come by then, and
    meanwhile, is one batch.
    """

    def __init__(self, ring: Map, dtype: AnyDtype | None = None) -> None:
        """Open the reader's side.

        Args:
            ring: a map of kind RINGBUF; it may be closed afterwards.
            dtype: of the records; None gives them as `bytes` of any length.

        Raises:
            DataplaneError: it is no ring buffer, or the kernel refused.
        """
        if ring.kind != MapType.RINGBUF:
            raise DataplaneError(f"map {ring.name} is no ring buffer")
        self._name = ring.name
        self._dtype = dtype
        self._records: list[bytes] = []
        records = self._records  # the callback holds no reference to self, so that it can end

        def take(_context: int | None, data: int, size: int) -> int:
            records.append(ctypes.string_at(data, size))
            return 0

        self._callback = SampleCallback(take)
        self._handle = libbpf().ring_buffer__new(ring.fd, self._callback, None, None)
        if not self._handle:
            raise DataplaneError(f"cannot read ring buffer {ring.name}", errno=ctypes.get_errno())
        self._closer = weakref.finalize(self, libbpf().ring_buffer__free, self._handle)
        self._loop: asyncio.AbstractEventLoop | None = None

    def fileno(self) -> int:
        """A descriptor that becomes readable when records wait."""
        if not self._closer.alive:
            raise ValueError(f"the reader of {self._name} is closed")
        descriptor: int = libbpf().ring_buffer__epoll_fd(self._handle)
        return descriptor

    def drain(self) -> list[bytes]:
        """Return the records that wait, in order of their coming; does not block."""
        self.fileno()
        self._records.clear()
        checked(libbpf().ring_buffer__consume(self._handle), f"read ring buffer {self._name}")
        return list(self._records)

    def drain_array(self) -> NDArray[Any]:
        """Return the records that wait as one array (n,).

        Raises:
            DataplaneError: a record has not the size of the dtype.
        """
        if self._dtype is None:
            raise DataplaneError(f"ring buffer {self._name} was opened without a dtype")
        records = self.drain()
        wrong = {len(record) for record in records} - {self._dtype.itemsize}
        if wrong:
            raise DataplaneError(
                f"ring buffer {self._name} holds records of {sorted(wrong)} bytes, "
                f"not {self._dtype.itemsize}"
            )
        return np.frombuffer(b"".join(records), self._dtype)

    def watch(
        self, loop: asyncio.AbstractEventLoop, handler: Callable[[NDArray[Any]], None]
    ) -> None:
        """Call `handler` in the loop with each batch, until `close`."""
        self._loop = loop
        loop.add_reader(self.fileno(), lambda: handler(self.drain_array()))

    def close(self) -> None:
        """Stop watching and let go; a second time does nothing."""
        if self._closer.alive and self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self.fileno())
        self._loop = None
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
