"""Reads the instructions of a compiled object: helpers, subprograms, their frames and calls; pure.

What the verifier of an older kernel would measure is measured without one. Instructions: RFC 9669;
relocations as libbpf resolves them (R_BPF_64_32: a symbol, or a section and an offset in it).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.dataplane.elf import parse_elf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FRAME_ROUNDING = 32
"""What 6.1 rounds a frame's size up to, in check_max_stack_depth(); newer kernels take 16."""

_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QII")
_IS_FUNCTION = 2

_FRAME_POINTER = 10
_LOAD_IMMEDIATE, _LOAD, _STORE_IMMEDIATE, _STORE, _ALU32, _ALU64 = 0, 1, 2, 3, 4, 7
_WIDE, _CALL, _MOVE, _ADD, _LONG_JUMP = 0x18, 0x85, 0xBF, 0x07, 0x06
_SIGN_EXTENDING_LOAD, _BYTE_SWAP, _DIVIDE, _MODULO = 0x80, 0xD0, 0x30, 0x90
_HELPER, _SUBPROGRAM, _KFUNC = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Function:
    """One program or subprogram: what it calls, and how it uses the stack.

    Attributes:
        instructions: how many; a 64-bit immediate counts as two, as for the kernel.
        frame: bytes of stack below the frame pointer, before rounding.
        helpers: numbers of the kernel's helpers that it calls.
        calls: names of the subprograms that it calls.
        newer: how many instructions are not of version 3 of the instruction set (Linux 5.1), and
            calls of kernel functions that are no helpers.
    """

    name: str
    instructions: int
    frame: int
    helpers: frozenset[int]
    calls: frozenset[str]
    newer: int


@dataclass(frozen=True, slots=True)
class _Instruction:
    at: int
    code: int
    destination: int
    source: int
    offset: int
    immediate: int


def functions(data: bytes) -> dict[str, Function]:
    """Return all functions of a little-endian BPF object by name.

    Raises:
        LayoutError: it is not such an object.
        KeyError: a call leads to no function of the object.
    """
    elf = parse_elf(data)
    names = ["", *elf.sections]
    symbols = [*_SYMBOL.iter_unpack(elf.sections[".symtab"])]
    strings = elf.sections[".strtab"]
    starts: dict[tuple[str, int], str] = {}
    sizes: dict[tuple[str, int], int] = {}
    for name, info, _, section, value, size in symbols:
        if info & 15 == _IS_FUNCTION:
            place = names[section], value
            starts[place] = strings[name : strings.index(0, name)].decode()
            sizes[place] = size
    targets: dict[tuple[str, int], tuple[str, int]] = {}
    for section in {section for section, _ in starts}:
        for at, _, number in _RELOCATION.iter_unpack(elf.sections.get(f".rel{section}", b"")):
            _, _, _, holder, value, _ = symbols[number]
            targets[section, at] = names[holder] if holder < len(names) else "", value
    found = {}
    for place, name in starts.items():
        section, start = place
        code = [*_decoded(elf.sections[section], start, sizes[place])]
        found[name] = Function(
            name,
            sizes[place] // 8,
            _frame(code),
            frozenset(each.immediate for each in code if _is_call(each, _HELPER)),
            frozenset(
                starts[_target(section, each, targets)]
                for each in code
                if _is_call(each, _SUBPROGRAM)
            ),
            sum(map(_is_newer, code)),
        )
    return found


def rounded(frame: int) -> int:
    """Return what a frame takes: even an empty one counts as a whole step."""
    return -(-max(frame, 1) // FRAME_ROUNDING) * FRAME_ROUNDING


def reached(known: Mapping[str, Function], name: str) -> set[str]:
    """Return the functions that a program consists of, itself among them."""
    return {name}.union(*(reached(known, called) for called in known[name].calls))


def deepest(known: Mapping[str, Function], name: str) -> tuple[int, tuple[str, ...]]:
    """Return the bytes of stack of the deepest chain of calls from `name`, and the chain."""
    below = max((deepest(known, called) for called in known[name].calls), default=(0, ()))
    return rounded(known[name].frame) + below[0], (name, *below[1])


def _decoded(section: bytes, start: int, size: int) -> Iterator[_Instruction]:
    wide = False
    for at in range(start, start + size, 8):
        if wide:
            wide = False
            continue
        code, registers, offset, immediate = struct.unpack_from("<BBhi", section, at)
        wide = code == _WIDE
        yield _Instruction(at, code, registers & 15, registers >> 4, offset, immediate)


def _is_call(each: _Instruction, kind: int) -> bool:
    return each.code == _CALL and each.source == kind


def _target(
    section: str, each: _Instruction, targets: Mapping[tuple[str, int], tuple[str, int]]
) -> tuple[str, int]:
    """Return where a call leads; without a relocation the distance stands in the instruction."""
    if (section, each.at) not in targets:
        return section, each.at + 8 + each.immediate * 8
    holder, value = targets[section, each.at]
    return holder, value + (each.immediate + 1) * 8


def _frame(code: Iterable[_Instruction]) -> int:
    """Return how far below the frame pointer anything lies that is read, written or pointed at."""
    lowest = 0
    below = {_FRAME_POINTER: 0}  # registers that point into the frame, and where
    for each in code:
        kind = each.code & 7
        address = {_LOAD: each.source}.get(kind, each.destination)
        if kind in (_LOAD, _STORE_IMMEDIATE, _STORE) and address in below:
            lowest = min(lowest, below[address] + each.offset)
        if each.code == _MOVE and each.source in below:
            below[each.destination] = below[each.source]
        elif each.code == _ADD and each.destination in below:
            below[each.destination] += each.immediate
            lowest = min(lowest, below[each.destination])
        elif kind in (_LOAD, _LOAD_IMMEDIATE, _ALU32, _ALU64):
            below.pop(each.destination, None)
    return -lowest


def _is_newer(each: _Instruction) -> bool:
    """Say whether an instruction came with version 4 of the set (Linux 6.6), or is a kfunc call."""
    kind, operation, with_register = each.code & 7, each.code & 0xF0, each.code & 8
    return (
        (each.code == _CALL and each.source == _KFUNC)
        or each.code == _LONG_JUMP
        or (kind == _LOAD and each.code & 0xE0 == _SIGN_EXTENDING_LOAD)
        or (kind == _ALU64 and operation == _BYTE_SWAP)
        or (
            kind in (_ALU32, _ALU64)
            and each.offset != 0
            and operation in (_DIVIDE, _MODULO, *((_MOVE & 0xF0,) if with_register else ()))
        )
    )
