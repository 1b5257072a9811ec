"""The BPF Type Format: bytes in, type records out; pure.

Source: the kernel's Documentation/bpf/btf.rst. Reads both the `.BTF` section of an object and what
the kernel returns for a loaded map.
"""

from __future__ import annotations

import enum
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.errors import LayoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = 0xEB9F
_ORDER = "<" if sys.byteorder == "little" else ">"
_MAX_DEPTH = 32


class Kind(enum.IntEnum):
    """BTF_KIND_*: what a type record is."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_QUALIFIERS = frozenset({Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
# Words of 32 bits after the record's three: once for the record, and once for each of its members.
_TAIL = {Kind.INT: 1, Kind.ARRAY: 3, Kind.VAR: 1, Kind.DECL_TAG: 1}
_EACH = {
    Kind.STRUCT: 3,
    Kind.UNION: 3,
    Kind.ENUM: 2,
    Kind.FUNC_PROTO: 2,
    Kind.DATASEC: 3,
    Kind.ENUM64: 3,
}


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a struct or union; `bits` is the width of a bit-field, else 0."""

    name: str
    type_id: int
    bit_offset: int
    bits: int


@dataclass(frozen=True, slots=True)
class Type:
    """One type record.

    Attributes:
        kind: what it is.
        name: its name, "" if it has none.
        size: bytes, for the kinds that have a size.
        target: type number that it points to, names or qualifies; for an array, of its elements.
        count: elements of an array.
        signed: an integer or enumeration is signed.
        members: fields of a struct or union; for a data section, its variables (at offset 0 in an
            object, at their own in the kernel).
        values: names and values of an enumeration.
    """

    kind: Kind
    name: str = ""
    size: int = 0
    target: int = 0
    count: int = 0
    signed: bool = False
    members: tuple[Member, ...] = ()
    values: tuple[tuple[str, int], ...] = ()


class Btf:
    """The types of one object, by number; number 0 is void."""

    def __init__(self, types: list[Type]) -> None:
        self.types = types

    def __getitem__(self, type_id: int) -> Type:
        if not 0 <= type_id < len(self.types):
            raise LayoutError(f"type {type_id} is not among the object's {len(self.types)} types")
        return self.types[type_id]

    def find(self, name: str, *kinds: Kind) -> int | None:
        """Return the number of the first type of that name and one of those kinds, or None."""
        return next(
            (
                number
                for number, found in enumerate(self.types)
                if found.name == name and found.kind in kinds
            ),
            None,
        )

    def of_kind(self, kind: Kind) -> Iterator[Type]:
        """Yield the types of one kind in the object's order."""
        return (found for found in self.types if found.kind is kind)

    def bare(self, type_id: int) -> int:
        """Follow const, volatile and restrict; typedefs stay, for their names carry meaning."""
        for _ in range(_MAX_DEPTH):
            if self[type_id].kind not in _QUALIFIERS:
                return type_id
            type_id = self[type_id].target
        raise LayoutError("the object's types go in a circle")


def parse_btf(data: bytes) -> Btf:
    """Return the types in a BTF blob of this machine's byte order.

    Raises:
        LayoutError: it is not BTF, or damaged, or of a kind that this release does not know.
    """
    try:
        magic, version, _, header, type_at, type_len, text_at, text_len = struct.unpack_from(
            _ORDER + "HBBIIIII", data
        )
    except struct.error as error:
        raise LayoutError("the type information is cut short") from error
    if magic != _MAGIC or version != 1:
        raise LayoutError("the type information is not BTF version 1")
    records = data[header + type_at : header + type_at + type_len]
    texts = data[header + text_at : header + text_at + text_len]
    if len(records) != type_len or len(texts) != text_len:
        raise LayoutError("the type information is cut short")
    types = [Type(Kind.VOID)]
    offset = 0
    try:
        while offset < len(records):
            found, offset = _record(records, offset, texts)
            types.append(found)
    except (struct.error, ValueError) as error:
        raise LayoutError(f"type {len(types)} of the object is damaged: {error}") from error
    return Btf(types)


def _record(data: bytes, offset: int, texts: bytes) -> tuple[Type, int]:
    """Return the type at `offset` and where the next one begins."""
    name, info, size_or_type = struct.unpack_from(_ORDER + "III", data, offset)
    kind = Kind((info >> 24) & 0x1F)
    count, flag = info & 0xFFFF, bool(info >> 31)
    words = _TAIL.get(kind, 0) + _EACH.get(kind, 0) * count
    tail = struct.unpack_from(f"{_ORDER}{words}I", data, offset + 12)
    text = _text(texts, name)
    match kind:
        case Kind.INT:
            found = Type(kind, text, size=size_or_type, signed=bool(tail[0] >> 24 & 1))
        case Kind.ARRAY:
            found = Type(kind, text, target=tail[0], count=tail[2])
        case Kind.STRUCT | Kind.UNION:
            found = Type(
                kind, text, size=size_or_type, members=_members(tail, texts, wide=not flag)
            )
        case Kind.ENUM | Kind.ENUM64:
            values = _values(kind, tail, texts, signed=flag)
            found = Type(kind, text, size=size_or_type, signed=flag, values=values)
        case Kind.DATASEC:
            variables = tuple(
                Member("", tail[at], 8 * tail[at + 1], 0) for at in range(0, words, 3)
            )
            found = Type(kind, text, size=size_or_type, members=variables)
        case Kind.FLOAT:
            found = Type(kind, text, size=size_or_type)
        case _:
            found = Type(kind, text, target=size_or_type)
    return found, offset + 12 + 4 * words


def _members(tail: tuple[int, ...], texts: bytes, *, wide: bool) -> tuple[Member, ...]:
    """Return a struct's fields; unless `wide`, an offset shares its word with a width."""
    return tuple(
        Member(
            _text(texts, name),
            type_id,
            offset if wide else offset & 0xFFFFFF,
            0 if wide else offset >> 24,
        )
        for name, type_id, offset in zip(tail[::3], tail[1::3], tail[2::3], strict=True)
    )


def _values(
    kind: Kind, tail: tuple[int, ...], texts: bytes, *, signed: bool
) -> tuple[tuple[str, int], ...]:
    step, width = _EACH[kind], 32 if kind is Kind.ENUM else 64
    values = []
    for at in range(0, len(tail), step):
        value = tail[at + 1] | (tail[at + 2] << 32 if step == 3 else 0)
        if signed and value >> (width - 1):
            value -= 1 << width
        values.append((_text(texts, tail[at]), value))
    return tuple(values)


def _text(texts: bytes, offset: int) -> str:
    """Return the NUL-terminated text at `offset`; ValueError if it does not end."""
    return texts[offset : texts.index(0, offset)].decode(errors="replace")
