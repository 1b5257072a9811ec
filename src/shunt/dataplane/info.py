"""What the kernel says about a map, a program or a link (BPF_OBJ_GET_INFO_BY_FD)."""

from __future__ import annotations

import ctypes
import os
from ctypes import c_char, c_uint8, c_uint32, c_uint64
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from shunt.dataplane.btf import Btf, Kind, parse_btf
from shunt.dataplane.kernel import LinkType
from shunt.dataplane.layouts import AnyDtype, dtype_of, section_of
from shunt.dataplane.libbpf import checked, libbpf

if TYPE_CHECKING:
    from collections.abc import Iterator


class _MapInfo(ctypes.Structure):
    _fields_ = (
        ("type", c_uint32),
        ("id", c_uint32),
        ("key_size", c_uint32),
        ("value_size", c_uint32),
        ("max_entries", c_uint32),
        ("map_flags", c_uint32),
        ("name", c_char * 16),
        ("ifindex", c_uint32),
        ("btf_vmlinux_value_type_id", c_uint32),
        ("netns_dev", c_uint64),
        ("netns_ino", c_uint64),
        ("btf_id", c_uint32),
        ("btf_key_type_id", c_uint32),
        ("btf_value_type_id", c_uint32),
        ("pad", c_uint32),
    )


class _ProgramInfo(ctypes.Structure):
    _fields_ = (
        ("type", c_uint32),
        ("id", c_uint32),
        ("tag", c_uint8 * 8),
        ("jited_prog_len", c_uint32),
        ("xlated_prog_len", c_uint32),
        ("jited_prog_insns", c_uint64),
        ("xlated_prog_insns", c_uint64),
        ("load_time", c_uint64),
        ("created_by_uid", c_uint32),
        ("nr_map_ids", c_uint32),
        ("map_ids", c_uint64),
        ("name", c_char * 16),
        ("ifindex", c_uint32),
        ("gpl_compatible", c_uint32),
        ("netns_dev", c_uint64),
        ("netns_ino", c_uint64),
        ("nr_jited_ksyms", c_uint32),
        ("nr_jited_func_lens", c_uint32),
        ("jited_ksyms", c_uint64),
        ("jited_func_lens", c_uint64),
        ("btf_id", c_uint32),
        ("func_info_rec_size", c_uint32),
        ("func_info", c_uint64),
        ("nr_func_info", c_uint32),
        ("nr_line_info", c_uint32),
        ("line_info", c_uint64),
        ("jited_line_info", c_uint64),
        ("nr_jited_line_info", c_uint32),
        ("line_info_rec_size", c_uint32),
        ("jited_line_info_rec_size", c_uint32),
        ("nr_prog_tags", c_uint32),
        ("prog_tags", c_uint64),
        ("run_time_ns", c_uint64),
        ("run_cnt", c_uint64),
        ("recursion_misses", c_uint64),
        ("verified_insns", c_uint32),
        ("pad", c_uint32),
    )


class _LinkInfo(ctypes.Structure):
    # `target` begins the union: for XDP and tcx links, the interface.
    _fields_ = (
        ("type", c_uint32),
        ("id", c_uint32),
        ("prog_id", c_uint32),
        ("pad", c_uint32),
        ("target", c_uint32),
        ("attach_type", c_uint32),
        ("rest", c_uint8 * 32),
    )


class _BtfInfo(ctypes.Structure):
    _fields_ = (("btf", c_uint64), ("btf_size", c_uint32), ("id", c_uint32))


@dataclass(frozen=True, slots=True)
class MapInfo:
    """A map in the kernel; `key` and `value` are None where it has no type information."""

    kind: int
    id: int
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    key: AnyDtype | None
    value: AnyDtype | None


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """A program in the kernel.

    Attributes:
        tag: the kernel's digest of the instructions, hexadecimal.
        load_time: nanoseconds since boot.
        run_time_ns: time spent in it, while statistics were on.
        run_count: runs, while statistics were on.
        verified: instructions that the verifier walked; 0 where the kernel does not say.
    """

    kind: int
    id: int
    name: str
    tag: str
    created_by_uid: int
    load_time: int
    jited_bytes: int
    run_time_ns: int
    run_count: int
    verified: int


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """A link in the kernel; `ifindex` is 0 once its interface is gone."""

    kind: int
    id: int
    program_id: int
    ifindex: int


def _fill(fd: int, info: ctypes.Structure, what: str) -> None:
    size = c_uint32(ctypes.sizeof(info))
    checked(
        libbpf().bpf_obj_get_info_by_fd(fd, ctypes.addressof(info), ctypes.byref(size)),
        f"ask the kernel about {what}",
    )


def map_info(fd: int) -> MapInfo:
    """Describe a map, with the dtypes that the kernel itself knows for key and value."""
    info = _MapInfo()
    _fill(fd, info, "a map")
    btf = _kernel_btf(info.btf_id) if info.btf_id else None

    def dtype(type_id: int) -> AnyDtype | None:
        if btf is None or not type_id:
            return None
        if btf[type_id].kind is Kind.DATASEC:
            return section_of(btf, type_id)
        return dtype_of(btf, type_id)

    return MapInfo(
        kind=info.type,
        id=info.id,
        name=info.name.decode(),
        key_size=info.key_size,
        value_size=info.value_size,
        max_entries=info.max_entries,
        flags=info.map_flags,
        key=dtype(info.btf_key_type_id),
        value=dtype(info.btf_value_type_id),
    )


def map_enums(fd: int) -> dict[str, dict[str, int]]:
    """Return the enumerations of the object that made a map, as the kernel keeps them; maybe none.

    Raises:
        LayoutError: the kernel's types are of a kind that is not known here.
    """
    info = _MapInfo()
    _fill(fd, info, "a map")
    if not info.btf_id:
        return {}
    btf = _kernel_btf(info.btf_id)
    return {
        found.name: dict(found.values)
        for kind in (Kind.ENUM, Kind.ENUM64)
        for found in btf.of_kind(kind)
        if found.name
    }


@lru_cache(maxsize=4)  # the maps of one object share their types; the kernel counts numbers on
def _kernel_btf(btf_id: int) -> Btf:
    """Read the types that the kernel keeps under one number."""
    fd = checked(libbpf().bpf_btf_get_fd_by_id(btf_id), "read the types of a map")
    try:
        info = _BtfInfo()
        _fill(fd, info, "a map's types")
        blob = ctypes.create_string_buffer(info.btf_size)
        again = _BtfInfo(btf=ctypes.addressof(blob), btf_size=info.btf_size)
        _fill(fd, again, "a map's types")
        return parse_btf(blob.raw)
    finally:
        os.close(fd)


def program_info(fd: int) -> ProgramInfo:
    """Describe a program."""
    info = _ProgramInfo()
    _fill(fd, info, "a program")
    return ProgramInfo(
        kind=info.type,
        id=info.id,
        name=info.name.decode(),
        tag=bytes(info.tag).hex(),
        created_by_uid=info.created_by_uid,
        load_time=info.load_time,
        jited_bytes=info.jited_prog_len,
        run_time_ns=info.run_time_ns,
        run_count=info.run_cnt,
        verified=info.verified_insns,
    )


def link_info(fd: int) -> LinkInfo:
    """Describe a link."""
    info = _LinkInfo()
    _fill(fd, info, "a link")
    on_interface = info.type in (LinkType.XDP, LinkType.TCX)
    return LinkInfo(info.type, info.id, info.prog_id, info.target if on_interface else 0)


def links() -> Iterator[int]:
    """Yield a descriptor for each link in the kernel, closed when the next one is asked for."""
    number = c_uint32(0)
    while libbpf().bpf_link_get_next_id(number.value, ctypes.byref(number)) == 0:
        fd = libbpf().bpf_link_get_fd_by_id(number.value)
        if fd < 0:
            continue  # gone meanwhile
        try:
            yield fd
        finally:
            os.close(fd)
