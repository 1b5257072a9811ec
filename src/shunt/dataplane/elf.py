"""Sections and symbols of a compiled BPF object (ELF64, System V ABI chapters 4 and 5); pure."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.errors import LayoutError

if TYPE_CHECKING:
    from collections.abc import Mapping

_EM_BPF = 247
_HEADER = 64
_SECTION = "IIQQQQIIQQ"
_SYMBOL = "IBBHQQ"
_SHT_SYMTAB = 2
_SHT_NOBITS = 8
_NATIVE = {"little": (1, "<"), "big": (2, ">")}


@dataclass(frozen=True, slots=True)
class Elf:
    """What Shunt needs of an object file.

    `sections` maps a section's name to its bytes; `symbols` maps (section, symbol) to the symbol's
    byte offset inside that section.
    """

    sections: Mapping[str, bytes]
    symbols: Mapping[tuple[str, str], int]


def parse_elf(data: bytes) -> Elf:
    """Return the sections and symbols of an ELF64 BPF object of this machine's byte order.

    Raises:
        LayoutError: it is no such object, or it is cut short.
    """
    number, order = _NATIVE[sys.byteorder]
    if data[:5] != b"\x7fELF\x02" or len(data) < _HEADER:
        raise LayoutError("not an ELF64 object", hint="Build the data plane again: `make setup`.")
    if data[5] != number:
        raise LayoutError(
            f"the object is not {sys.byteorder}-endian, as this machine is",
            hint="Install the package made for this machine.",
        )
    try:
        return _parse(data, order)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise LayoutError(f"the object file is damaged: {error}") from error


def _parse(data: bytes, order: str) -> Elf:
    (machine,) = struct.unpack_from(order + "H", data, 18)
    if machine != _EM_BPF:
        raise LayoutError(f"the object is for ELF machine {machine}, not BPF ({_EM_BPF})")
    (table,) = struct.unpack_from(order + "Q", data, 40)
    size, count, names_index = struct.unpack_from(order + "HHH", data, 58)
    headers = [
        struct.unpack_from(order + _SECTION, data, table + size * index) for index in range(count)
    ]

    def body(index: int) -> bytes:
        _, kind, _, _, offset, length, *_ = headers[index]
        if kind == _SHT_NOBITS:
            return bytes(length) if length <= 1 << 24 else b""
        if offset + length > len(data):
            raise ValueError(f"section {index} ends beyond the file")
        return data[offset : offset + length]

    names = [_text(body(names_index), header[0]) for header in headers]
    sections = {name: body(index) for index, name in enumerate(names) if name}
    symbols: dict[tuple[str, str], int] = {}
    for index, header in enumerate(headers):
        if header[1] != _SHT_SYMTAB:
            continue
        strings = body(header[6])
        entries = body(index)
        for name, _, _, section, value, _ in struct.iter_unpack(order + _SYMBOL, entries):
            if name and 0 < section < count:
                symbols[names[section], _text(strings, name)] = value
    return Elf(sections, symbols)


def _text(strings: bytes, offset: int) -> str:
    """Return the NUL-terminated text at `offset`; ValueError if it does not end."""
    return strings[offset : strings.index(0, offset)].decode(errors="replace")
