"""The functions of libbpf that Shunt calls, by ctypes, and one way to read their errors.

Works with libbpf 0.5 (Ubuntu 22.04) and later: the option structs carry their own size, and
what was renamed on the way to 1.0 is bound under its old name (`_OLD_NAMES`).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import threading
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any

from shunt.dataplane.kernel import ENOTSUPP
from shunt.errors import DataplaneError, HostError, remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

_SONAMES = ("libbpf.so.1", "libbpf.so.0")
_OLDEST = "0.5"
_INSTALL = (
    "On Debian and Ubuntu: apt install libbpf1 (22.04: libbpf0). On Fedora: dnf install libbpf."
)
_STRICT_ALL = 0xFFFFFFFF
_DEBUG = 2  # enum libbpf_print_level: hundreds of lines for each object, of use to libbpf alone


class OpenOptions(ctypes.Structure):
    """struct bpf_object_open_opts, as far as Shunt fills it in."""

    _fields_ = (("sz", c_size_t), ("object_name", c_char_p))


class LinkCreateOptions(ctypes.Structure):
    """struct bpf_link_create_opts, as far as its flags."""

    _fields_ = (("sz", c_size_t), ("flags", c_uint32), ("pad", c_uint32))


class LinkUpdateOptions(ctypes.Structure):
    """struct bpf_link_update_opts."""

    _fields_ = (("sz", c_size_t), ("flags", c_uint32), ("old_prog_fd", c_uint32))


class BatchOptions(ctypes.Structure):
    """struct bpf_map_batch_opts."""

    _fields_ = (("sz", c_size_t), ("elem_flags", c_uint64), ("flags", c_uint64))


class RunOptions(ctypes.Structure):
    """struct bpf_test_run_opts."""

    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


class XdpQuery(ctypes.Structure):
    """struct bpf_xdp_query_opts; without `sz` it is libbpf 0.5's struct xdp_link_info."""

    _fields_ = (
        ("sz", c_size_t),
        ("prog_id", c_uint32),
        ("drv_prog_id", c_uint32),
        ("hw_prog_id", c_uint32),
        ("skb_prog_id", c_uint32),
        ("attach_mode", c_uint8),
    )


class TcHook(ctypes.Structure):
    """struct bpf_tc_hook."""

    _fields_ = (
        ("sz", c_size_t),
        ("ifindex", c_int),
        ("attach_point", c_int),
        ("parent", c_uint32),
    )


class TcOptions(ctypes.Structure):
    """struct bpf_tc_opts."""

    _fields_ = (
        ("sz", c_size_t),
        ("prog_fd", c_int),
        ("flags", c_uint32),
        ("prog_id", c_uint32),
        ("handle", c_uint32),
        ("priority", c_uint32),
    )


_PrintCallback = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)

_U32 = POINTER(c_uint32)
# name -> result, arguments. Pointers to buffers are c_void_p, so that plain addresses will do.
_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "bpf_object__open_file": (c_void_p, (c_char_p, POINTER(OpenOptions))),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_object__close": (None, (c_void_p,)),
    "bpf_object__next_map": (c_void_p, (c_void_p, c_void_p)),
    "bpf_object__find_program_by_name": (c_void_p, (c_void_p, c_char_p)),
    "bpf_program__fd": (c_int, (c_void_p,)),
    "bpf_map__fd": (c_int, (c_void_p,)),
    "bpf_map__name": (c_char_p, (c_void_p,)),
    "bpf_map__reuse_fd": (c_int, (c_void_p, c_int)),
    "bpf_map__set_max_entries": (c_int, (c_void_p, c_uint32)),
    "bpf_map__set_initial_value": (c_int, (c_void_p, c_void_p, c_size_t)),
    "bpf_map_lookup_elem": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_update_elem": (c_int, (c_int, c_void_p, c_void_p, c_uint64)),
    "bpf_map_delete_elem": (c_int, (c_int, c_void_p)),
    "bpf_map_lookup_and_delete_elem": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_get_next_key": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_lookup_batch": (
        c_int,
        (c_int, c_void_p, c_void_p, c_void_p, c_void_p, _U32, POINTER(BatchOptions)),
    ),
    "bpf_map_update_batch": (c_int, (c_int, c_void_p, c_void_p, _U32, POINTER(BatchOptions))),
    "bpf_map_delete_batch": (c_int, (c_int, c_void_p, _U32, POINTER(BatchOptions))),
    "bpf_obj_pin": (c_int, (c_int, c_char_p)),
    "bpf_obj_get": (c_int, (c_char_p,)),
    "bpf_obj_get_info_by_fd": (c_int, (c_int, c_void_p, _U32)),
    "bpf_prog_get_fd_by_id": (c_int, (c_uint32,)),
    "bpf_btf_get_fd_by_id": (c_int, (c_uint32,)),
    "bpf_link_get_fd_by_id": (c_int, (c_uint32,)),
    "bpf_link_get_next_id": (c_int, (c_uint32, _U32)),
    "bpf_link_create": (c_int, (c_int, c_int, c_int, POINTER(LinkCreateOptions))),
    "bpf_link_update": (c_int, (c_int, c_int, POINTER(LinkUpdateOptions))),
    "bpf_link_detach": (c_int, (c_int,)),
    "bpf_xdp_query": (c_int, (c_int, c_int, POINTER(XdpQuery))),
    "bpf_xdp_detach": (c_int, (c_int, c_uint32, c_void_p)),
    "bpf_tc_hook_create": (c_int, (POINTER(TcHook),)),
    "bpf_tc_attach": (c_int, (POINTER(TcHook), POINTER(TcOptions))),
    "bpf_tc_detach": (c_int, (POINTER(TcHook), POINTER(TcOptions))),
    "bpf_tc_query": (c_int, (POINTER(TcHook), POINTER(TcOptions))),
    "bpf_prog_test_run_opts": (c_int, (c_int, POINTER(RunOptions))),
    "bpf_enable_stats": (c_int, (c_int,)),
    "libbpf_num_possible_cpus": (c_int, ()),
    "libbpf_probe_bpf_prog_type": (c_int, (c_int, c_void_p)),
}


def _old_names(library: ctypes.CDLL) -> dict[str, Any]:
    """Return stand-ins for what libbpf 0.x lacks, made of what it has instead."""

    def next_map(handle: int, previous: int | None) -> int | None:
        function = library.bpf_map__next
        function.restype, function.argtypes = c_void_p, (c_void_p, c_void_p)
        found: int | None = function(previous, handle)
        return found

    def xdp_query(ifindex: int, flags: int, query: Any) -> int:
        body = ctypes.addressof(query) + XdpQuery.prog_id.offset
        size = ctypes.sizeof(XdpQuery) - XdpQuery.prog_id.offset
        function = library.bpf_get_link_xdp_info
        function.restype, function.argtypes = c_int, (c_int, c_void_p, c_size_t, c_uint32)
        result: int = function(ifindex, body, size, flags)
        return result

    def xdp_detach(ifindex: int, flags: int, _options: None) -> int:
        function = library.bpf_set_link_xdp_fd
        function.restype, function.argtypes = c_int, (c_int, c_int, c_uint32)
        result: int = function(ifindex, -1, flags)
        return result

    def probe(kind: int, _options: None) -> int:
        function = library.bpf_probe_prog_type
        function.restype, function.argtypes = ctypes.c_bool, (c_int, c_uint32)
        return int(function(kind, 0))

    return {
        "libbpf_probe_bpf_prog_type": probe,
        "bpf_object__next_map": next_map,
        "bpf_xdp_query": xdp_query,
        "bpf_xdp_detach": xdp_detach,
    }


class Libbpf:
    """The loaded library: each function of the table above is an attribute.

    Attributes:
        version: as the library names itself ("1.1"), "0" for those that cannot say.
    """

    def __init__(self) -> None:
        library = _open()
        stand_ins = _old_names(library)
        self.version = _version(library)
        for name, (result, arguments) in _PROTOTYPES.items():
            function: Any = getattr(library, name, None)
            if function is not None:
                function.restype, function.argtypes = result, arguments
            function = function or stand_ins.get(name)
            if function is None:
                raise HostError(
                    f"libbpf {self.version} is too old: it has no {name}",
                    hint=f"Shunt needs libbpf {_OLDEST} or later. {_INSTALL}",
                )
            setattr(self, name, function)
        library.libbpf_set_print(_print)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


@functools.cache
def libbpf() -> Libbpf:
    """Return the library, loaded on first use.

    Raises:
        HostError: it is not installed, or too old.
    """
    return Libbpf()


def _open() -> ctypes.CDLL:
    for name in _SONAMES:
        try:
            library = ctypes.CDLL(name, use_errno=True)
        except OSError:
            continue
        # libbpf 0.x reports errors as 1.0 does only when asked to.
        if hasattr(library, "libbpf_set_strict_mode"):
            library.libbpf_set_strict_mode(_STRICT_ALL)
        return library
    raise HostError(f"libbpf is not installed ({' or '.join(_SONAMES)})", hint=_INSTALL)


def _version(library: ctypes.CDLL) -> str:
    if not hasattr(library, "libbpf_major_version"):
        return "0"
    return f"{library.libbpf_major_version()}.{library.libbpf_minor_version()}"


_captured = threading.local()
_libc = ctypes.CDLL(None)
_libc.vasprintf.argtypes = (c_void_p, c_char_p, c_void_p)
_libc.free.argtypes = (c_void_p,)
_libc.free.restype = None


def _keep(level: int, text: bytes, arguments: int) -> int:
    """Take what libbpf would print; kept for whoever captures in this thread, else dropped."""
    lines = getattr(_captured, "lines", None)
    if lines is not None and level < _DEBUG:
        made = c_char_p()  # of any length: the verifier's whole log comes as one line
        if _libc.vasprintf(ctypes.byref(made), text, arguments) >= 0:
            lines.append((made.value or b"").decode(errors="replace"))
            _libc.free(made)
    return 0


_print = _PrintCallback(_keep)


@contextmanager
def capture() -> Iterator[list[str]]:
    """Collect what libbpf says in this thread meanwhile, the verifier's log included."""
    _captured.lines = lines = list[str]()
    try:
        yield lines
    finally:
        _captured.lines = None


def error_name(code: int) -> str:
    """Return an errno's name and sentence, the kernel's private ones included."""
    if code == ENOTSUPP:
        return "ENOTSUPP: not supported by this kernel"
    return f"{errno.errorcode.get(code, str(code))}: {os.strerror(code)}"


def checked(result: int, doing: str, *, hint: str | None = None) -> int:
    """Return a function's result, or raise for a negative errno.

    Args:
        result: what libbpf returned.
        doing: what was attempted, to follow "cannot".
        hint: what to do about it.

    Raises:
        HostError: the privilege is missing (EPERM).
        DataplaneError: any other error.
    """
    if result >= 0:
        return result
    if result == -errno.EPERM:
        raise HostError(
            f"cannot {doing}: no permission",
            hint="Run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN.",
        )
    raise DataplaneError(
        f"cannot {doing}: {error_name(-result)}", errno=-result, hint=hint or remedy(-result)
    )
