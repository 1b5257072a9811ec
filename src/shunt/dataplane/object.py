"""A compiled object's way into the kernel: open, size, set constants, reuse maps, load."""

from __future__ import annotations

import errno
import fcntl
import weakref
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from shunt.dataplane.info import map_info
from shunt.dataplane.kernel import OLDEST
from shunt.dataplane.layouts import Layouts
from shunt.dataplane.libbpf import capture, checked, error_name, libbpf
from shunt.dataplane.maps import Map
from shunt.dataplane.program import Program
from shunt.dataplane.verifier import verifier_reason
from shunt.errors import DataplaneError, HostError, LayoutError, LoadError, remedy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_PERMISSION = (errno.EPERM, errno.EACCES)


class Object:
    """One object file; `load` puts it into the kernel.

    Programs and maps that it has handed out live on after `close`.

    Attributes:
        path: the file.
        layouts: its structs, enumerations and maps.
    """

    def __init__(self, path: Path, layouts: Layouts, handle: int) -> None:
        self.path = path
        self.layouts = layouts
        self._handle = handle
        self._loaded = False
        self._closer = weakref.finalize(self, libbpf().bpf_object__close, handle)
        self._maps = self._find_maps()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        sizes: Mapping[str, int] | None = None,
        constants: Mapping[str, Any] | None = None,
        reuse: Mapping[str, Map] | None = None,
    ) -> Self:
        """Read an object file and say what shall differ from it. Nothing enters the kernel yet.

        Args:
            path: the compiled object.
            sizes: entries by map, instead of those declared.
            constants: values of `const volatile` variables: numbers, sequences, records, or bytes
                of the variable's exact size.
            reuse: maps that exist already, by the object's name for them; their content is kept.

        Raises:
            HostError: the file or libbpf is absent.
            LayoutError: a map or constant is unknown, or a map to reuse does not fit.
        """
        layouts = Layouts.read(path)
        with capture() as log:
            handle = libbpf().bpf_object__open_file(str(path).encode(), None)
        if not handle:
            raise LayoutError(f"{path}: libbpf cannot read it: {verifier_reason(''.join(log))}")
        opened = cls(path, layouts, handle)
        try:
            for name, size in (sizes or {}).items():
                opened._resize(name, size)
            opened._set_constants(constants or {})
            for name, existing in (reuse or {}).items():
                opened._reuse(name, existing, (sizes or {}).get(name))
        except BaseException:
            opened.close()
            raise
        return opened

    def load(self) -> Self:
        """Make the maps and pass the programs by the verifier.

        Raises:
            LoadError: the verifier refused; its last line in the message, all of it in `log`.
            HostError: no permission.
            DataplaneError: anything else, such as no memory.
        """
        with capture() as lines:
            result = libbpf().bpf_object__load(self._handle)
        if result >= 0:
            self._loaded = True
            return self
        log = "".join(lines)
        reason = verifier_reason(log) or error_name(-result)
        if -result in _PERMISSION and "BEGIN PROG LOAD LOG" not in log:
            raise HostError(
                f"{self.path.name} may not be loaded: {reason}",
                hint="Run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN.",
            )
        raise LoadError(
            f"the kernel refused {self.path.name}: {reason}",
            log=log,
            errno=-result,
            hint=remedy(-result)
            or f"Shunt is meant for Linux {OLDEST[0]}.{OLDEST[1]} and later; "
            "report this with `uname -r`.",
        )

    def program(self, name: str) -> Program:
        """Return a program of the loaded object.

        Raises:
            LayoutError: the object has no program of that name.
        """
        found = libbpf().bpf_object__find_program_by_name(self._handle, name.encode())
        if not found:
            raise LayoutError(f"{self.path.name} has no program {name!r}")
        return Program(_own(libbpf().bpf_program__fd(found), f"use program {name}"))

    def map(self, name: str) -> Map:
        """Return a map of the loaded object.

        Raises:
            LayoutError: the object has no map of that name.
        """
        fd = libbpf().bpf_map__fd(self._map(name))
        return Map(_own(fd, f"use map {name}"), self.layouts.maps.get(name))

    def close(self) -> None:
        """Let go of the object; a second time does nothing."""
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

    def _find_maps(self) -> dict[str, int]:
        """Return libbpf's maps by the object's names; data sections by the section's."""
        maps: dict[str, int] = {}
        found = None
        while found := libbpf().bpf_object__next_map(self._handle, found):
            name: str = libbpf().bpf_map__name(found).decode()
            # libbpf calls a data section's map "<start of the file's name>.rodata".
            maps[name[name.index(".") :] if "." in name else name] = found
        return maps

    def _map(self, name: str) -> int:
        if name not in self._maps:
            raise LayoutError(f"{self.path.name} has no map {name!r}")
        return self._maps[name]

    def _resize(self, name: str, size: int) -> None:
        if size < 1:
            raise DataplaneError(f"map {name} cannot have {size} entries")
        result = libbpf().bpf_map__set_max_entries(self._map(name), size)
        checked(result, f"give map {name} {size} entries")

    def _set_constants(self, constants: Mapping[str, Any]) -> None:
        sections: dict[str, Any] = {}
        for name, value in constants.items():
            section = self.layouts.holder(name)
            record = sections.setdefault(section, self.layouts.initial(section))
            _assign(record, name, value)
        for section, record in sections.items():
            result = libbpf().bpf_map__set_initial_value(
                self._map(section), record.ctypes.data, record.nbytes
            )
            checked(result, f"set the constants {', '.join(constants)}")

    def _reuse(self, name: str, existing: Map, size: int | None) -> None:
        spec = self.layouts.maps.get(name)
        if spec is None:
            raise LayoutError(f"{self.path.name} has no map {name!r}")
        Map(_own(existing.fd, f"reuse map {name}"), spec).close()  # compares the layouts
        found = map_info(existing.fd)
        if found.flags & ~_KERNEL_SET != spec.flags:
            raise LayoutError(
                f"map {name} has flags {spec.flags} here, {found.flags} in the kernel"
            )
        if size is not None and size != found.max_entries:
            raise LayoutError(
                f"map {name} shall have {size} entries, and has {found.max_entries} in the kernel",
                hint="A size cannot change while the map is in use; `shunt down`, then `shunt up`.",
            )
        checked(libbpf().bpf_map__reuse_fd(self._map(name), existing.fd), f"reuse map {name}")


# Flags that the kernel adds by itself: BPF_F_RDONLY_PROG (a device map is read-only to programs).
_KERNEL_SET = 1 << 7


def _own(fd: int, doing: str) -> int:
    """Return a copy of libbpf's descriptor that outlives the object."""
    checked(fd, doing)
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def _assign(record: Any, name: str, value: Any) -> None:
    """Set one variable in the initial values of a data section."""
    dtype = record.dtype[name]
    if isinstance(value, bytes):
        if len(value) != dtype.itemsize:
            raise LayoutError(f"constant {name} takes {dtype.itemsize} bytes, not {len(value)}")
        value = (
            np.frombuffer(value, dtype)[0]
            if dtype.subdtype is None
            else np.frombuffer(value, dtype.base).reshape(dtype.shape)
        )
    try:
        record[name] = value
    except (ValueError, TypeError, OverflowError) as error:
        raise LayoutError(f"constant {name} cannot be {value!r}: {error}") from error
