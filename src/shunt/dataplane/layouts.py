"""From a compiled object's own types to numpy dtypes: `bpf/abi.h` stays the one definition; pure.

Fields declared `__be16`, `__be32` and `__be64` become big-endian, so Python reads and writes ports
and addresses as plain numbers. Unions become fields that share bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.dataplane.btf import Btf, Kind, parse_btf
from shunt.dataplane.elf import Elf, parse_elf
from shunt.errors import HostError, LayoutError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

AnyDtype = np.dtype[Any]

_NETWORK_ORDER = {"__be16": ">u2", "__be32": ">u4", "__be64": ">u8"}
_MAX_DEPTH = 16
_DATA = (".rodata", ".data", ".bss")
REBUILD = (
    "The object was not built from this release's sources: build it again (`make setup`), or"
    " install the wheel again."
)


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map as the object declares it; `key` and `value` are None where it gives sizes only."""

    name: str
    kind: int
    key: AnyDtype | None
    value: AnyDtype | None
    max_entries: int
    flags: int


class Layouts:
    """The structs, enumerations, maps and constants that one object declares.

    Attributes:
        maps: every map of the object by name.
    """

    def __init__(self, btf: Btf, elf: Elf) -> None:
        self._btf = btf
        self._elf = elf
        self.maps: Mapping[str, MapSpec] = _maps(btf)
        self._dtypes: dict[str, AnyDtype] = {}

    @classmethod
    def parse(cls, data: bytes) -> Layouts:
        """Read the layouts out of a compiled object.

        Raises:
            LayoutError: it is no BPF object, or has no type information.
        """
        elf = parse_elf(data)
        if ".BTF" not in elf.sections:
            raise LayoutError("the object has no type information", hint="Compile it with -g.")
        return cls(parse_btf(elf.sections[".BTF"]), elf)

    @classmethod
    def read(cls, path: Path) -> Layouts:
        """Like `parse`, from a file.

        Raises:
            HostError: the file cannot be read.
            LayoutError: as for `parse`; the message names the file.
        """
        try:
            return cls.parse(path.read_bytes())
        except OSError as error:
            raise HostError(
                f"the data plane's object {path} cannot be read: {error.strerror}",
                hint="Build it: `make setup`.",
            ) from error
        except LayoutError as error:
            raise LayoutError(f"{path}: {error.message}", hint=error.hint) from error

    def dtype(self, name: str) -> AnyDtype:
        """Return the dtype of a struct, union or typedef, with the compiler's offsets and size."""
        if name not in self._dtypes:
            found = self._btf.find(name, Kind.STRUCT, Kind.UNION, Kind.TYPEDEF)
            if found is None:
                raise LayoutError(f"the object has no struct {name!r}", hint=REBUILD)
            self._dtypes[name] = dtype_of(self._btf, found)
        return self._dtypes[name]

    def enum(self, name: str) -> dict[str, int]:
        """Return an enumeration's names and values in the order of the source."""
        found = self._btf.find(name, Kind.ENUM, Kind.ENUM64)
        if found is None:
            raise LayoutError(f"the object has no enum {name!r}", hint=REBUILD)
        return dict(self._btf[found].values)

    def section(self, name: str) -> AnyDtype:
        """Return the dtype of a data section (".rodata", ".data", ".bss"): a field a variable.

        Offsets come from the symbol table: the compiler leaves those in the type information at 0.
        """
        fields: dict[str, tuple[AnyDtype, int]] = {}
        for section in self._btf.of_kind(Kind.DATASEC):
            if section.name != name:
                continue
            for member in section.members:
                variable = self._btf[member.type_id]
                at = self._elf.symbols.get((name, variable.name))
                if at is not None:
                    fields[variable.name] = (dtype_of(self._btf, variable.target), at)
        size = len(self._elf.sections.get(name, b""))
        return _struct_dtype(name, fields, size)

    def initial(self, name: str) -> np.ndarray[Any, AnyDtype]:
        """Return a fresh, writable record of a data section with the object's initial values."""
        dtype = self.section(name)
        return np.frombuffer(bytearray(self._elf.sections.get(name, b"")), dtype).reshape(())

    def words(self, section: str) -> tuple[str, ...]:
        """Return the strings of a section, each ended by NUL in the object.

        Raises:
            LayoutError: the object has no such section.
        """
        if section not in self._elf.sections:
            raise LayoutError(f"the object has no section {section!r}", hint=REBUILD)
        return tuple(self._elf.sections[section].decode().rstrip("\0").split("\0"))

    def holder(self, constant: str) -> str:
        """Return the data section that holds a variable.

        Raises:
            LayoutError: no section does.
        """
        for section in _DATA:
            if (section, constant) in self._elf.symbols:
                return section
        raise LayoutError(f"the object has no constant {constant!r}", hint=REBUILD)


def dtype_of(btf: Btf, type_id: int) -> AnyDtype:
    """Return the dtype of one type.

    Raises:
        LayoutError: it holds a bit-field, has no size, or goes too deep.
    """
    return _dtype(btf, type_id, 0)


def section_of(btf: Btf, type_id: int) -> AnyDtype:
    """Return the dtype of a data section as the kernel has it, with the offsets of its variables.

    Raises:
        LayoutError: a variable has no layout.
    """
    section = btf[type_id]
    fields = {
        btf[each.type_id].name: (dtype_of(btf, btf[each.type_id].target), each.bit_offset // 8)
        for each in section.members
    }
    return _struct_dtype(section.name, fields, section.size)


def _dtype(btf: Btf, type_id: int, depth: int) -> AnyDtype:
    if depth > _MAX_DEPTH:
        raise LayoutError(f"type {type_id} of the object is nested too deep")
    type_id = btf.bare(type_id)
    found = btf[type_id]
    match found.kind:
        case Kind.TYPEDEF:
            order = _NETWORK_ORDER.get(found.name)
            return np.dtype(order) if order else _dtype(btf, found.target, depth + 1)
        case Kind.INT | Kind.ENUM | Kind.ENUM64 if found.size in (1, 2, 4, 8):
            return np.dtype(f"{'i' if found.signed else 'u'}{found.size}")
        case Kind.FLOAT if found.size in (4, 8):
            return np.dtype(f"f{found.size}")
        case Kind.PTR:
            return np.dtype("u8")
        case Kind.ARRAY:
            return _array_dtype(_dtype(btf, found.target, depth + 1), found.count)
        case Kind.STRUCT | Kind.UNION:
            return _struct_dtype(found.name, _fields(btf, type_id, depth), found.size)
    raise LayoutError(f"{found.kind.name.lower()} {found.name!r} has no layout in numpy")


def _fields(btf: Btf, type_id: int, depth: int) -> dict[str, tuple[AnyDtype, int]]:
    """Return name -> (dtype, byte offset); members without a name give theirs to their parent."""
    if depth > _MAX_DEPTH:
        raise LayoutError(f"type {type_id} of the object is nested too deep")
    fields: dict[str, tuple[AnyDtype, int]] = {}
    for member in btf[type_id].members:
        if member.bits or member.bit_offset % 8:
            raise LayoutError(
                f"struct {btf[type_id].name}: field {member.name} is a bit-field",
                hint="Shared structs hold whole bytes only.",
            )
        at = member.bit_offset // 8
        if member.name:
            fields[member.name] = (_dtype(btf, member.type_id, depth + 1), at)
            continue
        inner = btf.bare(member.type_id)
        for name, (dtype, offset) in _fields(btf, inner, depth + 1).items():
            fields[name] = (dtype, at + offset)
    return fields


def _array_dtype(element: AnyDtype, count: int) -> AnyDtype:
    try:
        return np.dtype((element, (count,)))
    except (ValueError, TypeError, OverflowError) as error:
        raise LayoutError(f"an array of {count} has no layout in numpy: {error}") from error


def _struct_dtype(name: str, fields: Mapping[str, tuple[AnyDtype, int]], size: int) -> AnyDtype:
    try:
        return np.dtype(
            {
                "names": list(fields),
                "formats": [dtype for dtype, _ in fields.values()],
                "offsets": [at for _, at in fields.values()],
                "itemsize": size,
            }
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise LayoutError(f"struct {name} has no layout in numpy: {error}") from error


def _maps(btf: Btf) -> dict[str, MapSpec]:
    """Return the maps declared in the `.maps` section (libbpf's BTF-defined maps)."""
    specs = {}
    for section in btf.of_kind(Kind.DATASEC):
        if section.name != ".maps":
            continue
        for member in section.members:
            variable = btf[member.type_id]
            specs[variable.name] = _map_spec(btf, variable.name, variable.target)
    return specs


def _map_spec(btf: Btf, name: str, type_id: int) -> MapSpec:
    fields = {member.name: member.type_id for member in btf[btf.bare(type_id)].members}

    def number(field: str) -> int:
        # `__uint(name, N)` declares `int (*name)[N]`.
        if field not in fields:
            return 0
        pointer = btf[btf.bare(fields[field])]
        return btf[btf.bare(pointer.target)].count

    def pointed(field: str) -> AnyDtype | None:
        # `__type(name, T)` declares `T *name`; `__uint(name_size, N)` gives bytes without a shape.
        if field in fields:
            return dtype_of(btf, btf[btf.bare(fields[field])].target)
        return plain(number(f"{field}_size"))

    return MapSpec(
        name=name,
        kind=number("type"),
        key=pointed("key"),
        value=pointed("value"),
        max_entries=number("max_entries"),
        flags=number("map_flags"),
    )


def plain(size: int) -> AnyDtype | None:
    """Return the dtype of a key or value of which only the size is known; None for no bytes."""
    return np.dtype(f"u{size}" if size in (1, 2, 4, 8) else f"V{size}") if size else None


def difference(expected: AnyDtype, found: AnyDtype, where: str) -> str | None:
    """Say the first difference of two layouts in names, offsets, sizes and kinds; None if equal.

    Args:
        expected: what this release's object declares.
        found: what the kernel holds.
        where: what the two describe, as the sentence's beginning.
    """
    return next(_differences(expected, found, where), None)


def _differences(expected: AnyDtype, found: AnyDtype, where: str) -> Iterator[str]:
    if expected.shape != found.shape:
        yield f"{where} has shape {expected.shape} here, {found.shape} in the kernel"
    expected, found = expected.base, found.base
    if expected.fields is None or found.fields is None:
        if expected != found:
            yield f"{where} is {expected} here, {found} in the kernel"
        return
    for name, (inner, at, *_) in expected.fields.items():
        if name not in found.fields:
            yield f"{where}: field {name} is not in the kernel's"
            continue
        other, other_at = found.fields[name][:2]
        if at != other_at:
            yield f"{where}: field {name} is at byte {at} here, {other_at} in the kernel"
        yield from _differences(inner, other, f"{where}: field {name}")
    for name in found.fields:
        if name not in expected.fields:
            yield f"{where}: the kernel's has a field {name} that is not known here"
    if expected.itemsize != found.itemsize:
        yield f"{where} has {expected.itemsize} bytes here, {found.itemsize} in the kernel"


def padding(dtype: AnyDtype) -> tuple[int, ...]:
    """Return the byte offsets that no field covers.

    Hash tables compare keys byte by byte, so a key with such bytes is one that can be missed.
    """
    return tuple(int(at) for at in np.flatnonzero(~_covered(dtype)))


def _covered(dtype: AnyDtype) -> np.ndarray[Any, np.dtype[np.bool_]]:
    covered = np.zeros(dtype.itemsize, np.bool_)
    if dtype.fields is None:
        base, copies = dtype.base, int(np.prod(dtype.shape))
        covered[:] = True if base.fields is None else np.tile(_covered(base), copies)
        return covered
    for inner, at, *_ in dtype.fields.values():
        covered[at : at + inner.itemsize] |= _covered(inner)
    return covered
