"""Typed maps: keys and values are numpy scalars, records and arrays of the object's own layouts.

Batches follow the kernel's Documentation/bpf (BPF_MAP_*_BATCH); where a map's kind or the kernel
has none, the same method walks entry by entry.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.dataplane.handle import Handle
from shunt.dataplane.info import map_info
from shunt.dataplane.kernel import ENOTSUPP, F_MMAPABLE, HASHED, PER_CPU, MapType, UpdateFlag
from shunt.dataplane.layouts import AnyDtype, MapSpec, difference, padding, plain
from shunt.dataplane.libbpf import BatchOptions, checked, libbpf
from shunt.errors import DataplaneError, LayoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

_CHUNK = 8192
_NO_BATCH = (-errno.EOPNOTSUPP, -ENOTSUPP, -errno.EINVAL)


class Map(Handle):
    """A map in the kernel.

    Attributes:
        name: as the object declares it.
        kind: the kernel's BPF_MAP_TYPE.
        key: dtype of one key, shape ().
        value: dtype of one value, shape ().
        cpus: how many values stand behind one key: the possible CPUs in a per-CPU map, else 1.
        max_entries: its size.
        mappable: `view` shows the kernel's memory itself.
    """

    def __init__(self, fd: int, spec: MapSpec | None = None) -> None:
        """Take over `fd` and compare the kernel's layouts with the object's.

        Args:
            fd: the map's descriptor, owned from now on, and closed if this raises.
            spec: what the object declares; without it the kernel's own types are used.

        Raises:
            LayoutError: kind, sizes or fields differ; the message names map, struct and field.
        """
        super().__init__(fd)
        self._mapped: mmap.mmap | None = None
        try:
            self._describe(spec)
        except BaseException:
            self.close()
            raise

    def _describe(self, spec: MapSpec | None) -> None:
        info = map_info(self.fd)
        self.name = spec.name if spec else info.name
        self.kind = info.kind
        self.max_entries = info.max_entries
        self.mappable = bool(info.flags & F_MMAPABLE)
        if spec and spec.kind != info.kind:
            raise LayoutError(
                f"map {self.name} is of kind {spec.kind} here, {info.kind} in the kernel"
            )
        our_key, our_value = (spec.key, spec.value) if spec else (None, None)
        self.key = _agreed(f"map {self.name}: its key", our_key, info.key, info.key_size)
        self.value = _agreed(f"map {self.name}: its value", our_value, info.value, info.value_size)
        if self.kind in HASHED and (holes := padding(self.key)):
            raise LayoutError(
                f"map {self.name}: its key has bytes without a name at {holes}",
                hint="Name them in abi.h: hash tables compare every byte.",
            )
        per_cpu = self.kind in PER_CPU
        self.cpus = possible_cpus() if per_cpu else 1
        # The kernel spaces per-CPU values, and the elements of arrays, by multiples of 8 bytes.
        self._stride = -(-self.value.itemsize // 8) * 8 if per_cpu else self.value.itemsize

    # One entry at a time.

    def get(self, key: ArrayLike) -> Any:
        """Return a key's value: a scalar or record, in a per-CPU map (cpus,); None if absent."""
        raw, values = self._values(1)
        key = self._key(key)
        result = libbpf().bpf_map_lookup_elem(self.fd, key.ctypes.data, raw.ctypes.data)
        if result == -errno.ENOENT:
            return None
        checked(result, f"read map {self.name}")
        return values[0] if self.kind in PER_CPU else values[0, 0]

    def put(self, key: ArrayLike, value: ArrayLike, flag: UpdateFlag = UpdateFlag.ANY) -> None:
        """Write one entry; in a per-CPU map a value of shape () goes to every CPU.

        Raises:
            DataplaneError: EEXIST or ENOENT for a flag not met, E2BIG for a full map or an index
                beyond an array, and whatever else the kernel answers.
        """
        raw, values = self._values(1)
        values[0] = value
        key = self._key(key)
        result = libbpf().bpf_map_update_elem(self.fd, key.ctypes.data, raw.ctypes.data, flag)
        checked(result, f"write map {self.name}")

    def delete(self, key: ArrayLike) -> bool:
        """Remove one entry; False if it was not there."""
        result = libbpf().bpf_map_delete_elem(self.fd, self._key(key).ctypes.data)
        if result == -errno.ENOENT:
            return False
        checked(result, f"remove an entry of map {self.name}")
        return True

    def keys(self) -> Iterator[Any]:
        """Yield the keys one by one; slow, works with every kind, misses nothing that stays."""
        here, following = np.zeros(1, self.key), np.zeros(1, self.key)
        at: int | None = None
        while libbpf().bpf_map_get_next_key(self.fd, at, following.ctypes.data) == 0:
            yield following[0].copy() if self.key.fields else following[0]
            here[0] = following[0]
            at = here.ctypes.data

    # Many entries at once.

    def items(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return all keys (n,) and values (n,), in a per-CPU map (n, cpus).

        Entries that come or go meanwhile may be missed; one that moves may come twice.
        """
        parts = list(self.items_batch())
        if not parts:
            return np.zeros(0, self.key), self._shaped(self._values(0)[1])
        keys, values = zip(*parts, strict=True)
        return np.concatenate(keys), np.concatenate(values)

    def items_batch(self, size: int = _CHUNK) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield keys and values as `items` does, about `size` at a time, each pair of arrays fresh.

        Raises:
            DataplaneError: the kernel refused.
        """
        token = np.zeros(max(8, self.key.itemsize), np.uint8)
        at: int | None = None
        while True:
            keys = np.zeros(size, self.key)
            raw, values = self._values(size)
            count = ctypes.c_uint32(size)
            result = libbpf().bpf_map_lookup_batch(
                self.fd, at, token.ctypes.data, keys.ctypes.data, raw.ctypes.data, count, None
            )
            if result == -errno.ENOSPC:  # one bucket holds more than `size`
                size *= 2
                continue
            if result in _NO_BATCH and at is None:
                yield from self._items_singly()
                return
            if result != -errno.ENOENT:
                checked(result, f"read map {self.name}")
            if count.value:
                yield keys[: count.value], self._shaped(values[: count.value])
            if result:  # ENOENT: that was the last one
                return
            at = token.ctypes.data

    def span(self, start: int, stop: int) -> NDArray[Any]:
        """Return an array's elements from `start` up to `stop`, as the values of `items`.

        Raises:
            DataplaneError: the kernel refused.
        """
        keys = np.zeros(stop - start, np.uint32)
        raw, values = self._values(stop - start)
        if not len(keys):
            return self._shaped(values)
        before, after = np.array([start - 1], np.int64).astype(np.uint32), np.zeros(1, np.uint32)
        count = ctypes.c_uint32(len(keys))
        result = libbpf().bpf_map_lookup_batch(
            self.fd, before.ctypes.data if start else None, after.ctypes.data,
            keys.ctypes.data, raw.ctypes.data, count, None,
        )  # fmt: skip
        if result in _NO_BATCH:
            return self.lookup_batch(np.arange(start, stop, dtype=np.uint32))[0]
        checked(result, f"read map {self.name}")
        return self._shaped(values)

    def _items_singly(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        keys = np.array(list(self.keys()), self.key)
        values, found = self.lookup_batch(keys)
        if found.any():
            yield keys[found], values[found]

    def lookup_batch(self, keys: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Look up given keys (n,): values as in `items`, zero where absent, and which were found.

        The kernel has no such batch; this is a loop without allocations.
        """
        return self._each(libbpf().bpf_map_lookup_elem, keys)

    def take_batch(self, keys: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Remove given keys (n,) and return what `lookup_batch` does, each as it was at its end."""
        return self._each(libbpf().bpf_map_lookup_and_delete_elem, keys)

    def _each(
        self, lookup: Callable[[int, int, int], int], keys: ArrayLike
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        array = np.ascontiguousarray(keys, self.key)
        raw, values = self._values(len(array))
        found = np.zeros(len(array), np.bool_)
        fd = self.fd
        key_at, key_size = array.ctypes.data, self.key.itemsize
        value_at, value_size = raw.ctypes.data, raw.shape[1]
        for index in range(len(array)):
            result = lookup(fd, key_at + index * key_size, value_at + index * value_size)
            found[index] = result == 0
            if result not in (0, -errno.ENOENT):
                checked(result, f"read map {self.name}")
        return self._shaped(values), found

    def update_batch(
        self, keys: ArrayLike, values: ArrayLike, flag: UpdateFlag = UpdateFlag.ANY
    ) -> None:
        """Write keys (n,) and values: (n,), in a per-CPU map (n, cpus) or (n,) for every CPU.

        Raises:
            DataplaneError: the kernel stopped; the message says after how many.
        """
        array = np.ascontiguousarray(keys, self.key)
        raw, room = self._values(len(array))
        given = np.asarray(values, self.value)
        room[:] = given if given.ndim > 1 else given[..., np.newaxis]
        if not len(array):
            return
        count = ctypes.c_uint32(len(array))
        options = BatchOptions(sz=ctypes.sizeof(BatchOptions), elem_flags=flag)
        result = libbpf().bpf_map_update_batch(
            self.fd, array.ctypes.data, raw.ctypes.data, count, options
        )
        if result in _NO_BATCH:
            for key, value in zip(array, self._shaped(room), strict=True):
                self.put(key, value, flag)
            return
        checked(
            result, f"write map {self.name} ({count.value} of {len(array)} entries were written)"
        )

    def delete_batch(self, keys: ArrayLike) -> int:
        """Remove keys (n,); return how many of them were there."""
        array = np.ascontiguousarray(keys, self.key)
        done, removed = 0, 0
        while done < len(array):
            count = ctypes.c_uint32(len(array) - done)
            at = array.ctypes.data + done * self.key.itemsize
            result = libbpf().bpf_map_delete_batch(self.fd, at, count, None)
            if result in _NO_BATCH:
                return removed + sum(self.delete(key) for key in array[done:])
            if result != -errno.ENOENT:
                checked(result, f"remove an entry of map {self.name}")
            removed += count.value
            done += count.value + 1  # the one at `count` was gone already, or there is none
        return removed

    # The kernel's memory itself.

    def view(self) -> NDArray[Any]:
        """Return a writable array (max_entries,) over the memory of a mappable array map.

        It stays valid after `close`. For values that packets read meanwhile use `store`.

        Raises:
            DataplaneError: the map was not declared with BPF_F_MMAPABLE.
        """
        stride = -(-self.value.itemsize // 8) * 8
        return np.ndarray((self.max_entries,), self.value, buffer=self._memory(), strides=(stride,))

    def words(self) -> NDArray[np.uint64]:
        """Return the same memory as words (max_entries, words of an element), one store each."""
        shape = (self.max_entries, -(-self.value.itemsize // 8))
        return np.ndarray(shape, np.uint64, buffer=self._memory())

    def store(self, indices: ArrayLike, values: ArrayLike) -> None:
        """Write elements of a mappable array so that no packet sees half a word.

        Each 8-byte word is one aligned store; an element's first word is written last, after all
        the rest of it, so a first word that says "ready" publishes the rest.
        """
        at = np.atleast_1d(np.asarray(indices, np.intp))
        words = self.words()
        packed = np.zeros((len(at), words.shape[1] * 8), np.uint8)
        np.ndarray((len(at),), self.value, buffer=packed, strides=(packed.shape[1],))[:] = values
        as_words = packed.view(np.uint64)
        for column in reversed(range(words.shape[1])):
            words[at, column] = as_words[:, column]

    def _memory(self) -> mmap.mmap:
        if self._mapped is not None:
            return self._mapped
        if not (self.mappable and self.kind == MapType.ARRAY):
            raise DataplaneError(f"map {self.name} cannot be mapped into memory")
        size = self.max_entries * (-(-self.value.itemsize // 8) * 8)
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        try:
            self._mapped = mmap.mmap(
                self.fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
            )
        except OSError as error:
            raise DataplaneError(
                f"cannot map {self.name} into memory: {error.strerror}", errno=error.errno or 0
            ) from error
        return self._mapped

    def memory(self) -> int:
        """Return the bytes that the kernel keeps for the map, by its own account."""
        lines = Path(f"/proc/self/fdinfo/{self.fd}").read_text().splitlines()
        fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        return int(fields["memlock"])

    # Buffers.

    def _key(self, key: ArrayLike) -> NDArray[Any]:
        array = np.zeros(1, self.key)
        array[0] = key
        return array

    def _values(self, count: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """Return room for values as the kernel lays them out: as bytes, and as values (n, cpus)."""
        width = self._stride * self.cpus
        raw = np.zeros((count, width), np.uint8)
        values = np.ndarray(
            (count, self.cpus), self.value, buffer=raw, strides=(width, self._stride)
        )
        return raw, values

    def _shaped(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.kind in PER_CPU else values[:, 0]


def possible_cpus() -> int:
    """Return how many CPUs the kernel is prepared for, present or not.

    Raises:
        DataplaneError: it does not say.
    """
    return checked(libbpf().libbpf_num_possible_cpus(), "count CPUs")


def _agreed(where: str, ours: AnyDtype | None, kernels: AnyDtype | None, size: int) -> AnyDtype:
    """Return the dtype of a map's key or value, once object and kernel agree about it."""
    found = ours or kernels or plain(size) or np.dtype("V0")
    problem = difference(ours, kernels, where) if ours and kernels else None
    if problem is None and found.itemsize != size:
        problem = f"{where} has {found.itemsize} bytes here, {size} in the kernel"
    if problem:
        raise LayoutError(problem, hint=_ANOTHER_RELEASE)
    return found


_ANOTHER_RELEASE = (
    "The map was made by another release of Shunt: `shunt down`, then `shunt up` with this one."
)
