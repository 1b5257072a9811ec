"""Layouts read from objects: against the compiler, and against damage."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shunt.dataplane.btf import Kind, parse_btf
from shunt.dataplane.elf import parse_elf
from shunt.dataplane.layouts import Layouts, difference, dtype_of, padding
from shunt.dataplane.plane import Plane
from shunt.errors import HostError, LayoutError

ORDER = "<" if sys.byteorder == "little" else ">"


@pytest.fixture(scope="session")
def layouts(compiled: Path) -> Layouts:
    return Layouts.read(compiled / "shapes.bpf.o")


def test_struct_has_the_compilers_offsets(layouts: Layouts) -> None:
    record = layouts.dtype("record")
    offsets = {name: field[1] for name, field in (record.fields or {}).items()}
    assert offsets == {
        "port": 0,
        "wide": 2,
        "narrow": 3,
        "address": 4,
        "whole": 8,
        "parts": 8,
        "front": 8,
        "back": 12,
        "signed_one": 16,
        "colour": 20,
        "mac": 24,
        "flags": 30,
    }
    assert record.itemsize == 32
    assert record["mac"].shape == (6,)
    assert record["parts"].shape == (2,)


def test_network_order_is_part_of_the_type(layouts: Layouts) -> None:
    record = np.zeros((), layouts.dtype("record"))
    record["port"], record["address"] = 443, 0xC0000201
    assert record.tobytes()[:2] == b"\x01\xbb"
    assert record.tobytes()[4:8] == bytes([192, 0, 2, 1])


def test_enum_keeps_order_and_values(layouts: Layouts) -> None:
    values = layouts.enum("colour")
    assert list(values.items()) == [("COLOUR_RED", 0), ("COLOUR_GREEN", 7), ("COLOUR_BLUE", 8)]


def test_maps_are_described_without_a_kernel(layouts: Layouts) -> None:
    table = layouts.maps["table"]
    assert (table.kind, table.max_entries, table.flags) == (1, 4096, 0)
    assert table.key == layouts.dtype("key")
    assert table.value == layouts.dtype("wide")
    assert layouts.maps["pairs"].flags == 1 << 10
    assert layouts.maps["ring"].key is None


def test_constants_and_texts(layouts: Layouts) -> None:
    record = layouts.initial(".rodata")
    assert record["answer"] == 41
    assert record["secret"].tolist() == [1, 2]
    assert record["limits"].tolist() == (3, 4)
    assert layouts.holder("answer") == ".rodata"
    assert layouts.words("words") == ("first", "second")


@pytest.mark.parametrize(
    ("ask", "missing"),
    [
        (lambda known: known.dtype("nothing"), "nothing"),
        (lambda known: known.enum("record"), "record"),
        (lambda known: known.holder("poem"), "poem"),
        (lambda known: known.words(".nowhere"), ".nowhere"),
    ],
)
def test_what_is_unknown_is_named(layouts: Layouts, ask: Any, missing: str) -> None:
    with pytest.raises(LayoutError, match=missing) as raised:
        ask(layouts)
    assert raised.value.hint


def test_an_object_older_than_its_source_is_said_to_be_so_with_what_to_do(
    layouts: Layouts,
) -> None:
    plane = cast("Plane", SimpleNamespace(layouts=layouts))
    with pytest.raises(LayoutError, match="struct record has no field 'newer'") as raised:
        Plane.record(plane, "record", newer=1)
    assert "make setup" in str(raised.value.hint)


def test_an_absent_file_is_the_hosts_fault(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"nowhere\.bpf\.o cannot be read: No such file"):
        Layouts.read(tmp_path / "nowhere.bpf.o")


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="for ELF machine"):
        parse_elf(Path(sys.executable).read_bytes())
    (tmp_path / "text").write_text("#!/bin/sh\n" * 9)
    with pytest.raises(LayoutError, match="text: not an ELF64 object"):
        Layouts.read(tmp_path / "text")


@pytest.mark.parametrize("offset", [1 << 63, 1 << 40, 65])
def test_a_section_table_beyond_the_file_is_damage(compiled: Path, offset: int) -> None:
    whole = bytearray((compiled / "shapes.bpf.o").read_bytes())
    struct.pack_into(ORDER + "Q", whole, 40, offset)
    with pytest.raises(LayoutError, match=r"is damaged|BPF|type information"):
        Layouts.parse(bytes(whole))


def _struct(*fields: tuple[str, str, int], size: int) -> np.dtype[Any]:
    names, formats, offsets = zip(*fields, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


BASE = _struct(("a", "u4", 0), ("b", "u2", 4), size=8)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (BASE, None),
        (_struct(("a", "u4", 0), ("b", "u2", 6), size=8), "x: field b is at byte 4 here, 6"),
        (_struct(("a", "u4", 0), ("c", "u2", 4), size=8), "x: field b is not in the kernel's"),
        (_struct(("a", "u4", 0), ("b", ">u2", 4), size=8), "x: field b is uint16 here, >u2"),
        (_struct(("a", "u4", 0), ("b", "u2", 4), ("c", "u2", 6), size=8), "has a field c"),
        (_struct(("a", "u4", 0), ("b", "u2", 4), size=12), "x has 8 bytes here, 12"),
        (_struct(("a", "(1,)u4", 0), ("b", "u2", 4), size=8), "x: field a has shape () here, (1,)"),
        (np.dtype("u8"), "x is "),
    ],
)
def test_the_first_difference_is_said(found: np.dtype[Any], said: str | None) -> None:
    problem = difference(BASE, found, "x")
    assert (problem is None) if said is None else (problem is not None and said in problem)


def test_padding_is_what_no_field_covers() -> None:
    assert padding(BASE) == (6, 7)
    assert padding(np.dtype([("a", BASE, (2,)), ("b", "u1")])) == (6, 7, 14, 15)
    assert padding(np.dtype("u4")) == ()
    union = _struct(("whole", "u8", 0), ("half", "u4", 0), size=8)
    assert padding(union) == ()


def _btf(types: bytes, texts: bytes) -> bytes:
    sizes = (0, len(types), len(types), len(texts))
    return struct.pack(ORDER + "HBBIIIII", 0xEB9F, 1, 0, 24, *sizes) + types + texts


def _type(
    name: int, kind: Kind, size: int, *tail: int, count: int = 0, flag: bool = False
) -> bytes:
    info = kind << 24 | count | flag << 31
    return struct.pack(f"{ORDER}{3 + len(tail)}I", name, info, size, *tail)


def test_enum64_and_signed_values() -> None:
    low = _type(1, Kind.ENUM, 4, 3, 0xFFFFFFFF, count=1, flag=True)
    high = _type(1, Kind.ENUM64, 8, 3, 5, 1, count=1)
    btf = parse_btf(_btf(low + high, b"\0e\0v\0"))
    assert btf[1].values == (("v", -1),)
    assert btf[2].values == (("v", (1 << 32) + 5),)
    assert dtype_of(btf, 1) == np.dtype("i4")
    assert dtype_of(btf, 2) == np.dtype("u8")


def test_bit_fields_are_refused_by_name() -> None:
    number = _type(0, Kind.INT, 4, 32)
    bits = _type(1, Kind.STRUCT, 4, 3, 1, 3 << 24, count=1, flag=True)
    btf = parse_btf(_btf(number + bits, b"\0s\0flag\0"))
    with pytest.raises(LayoutError, match="struct s: field flag is a bit-field"):
        dtype_of(btf, 2)


def test_an_array_beyond_all_memory_is_refused() -> None:
    number = _type(0, Kind.INT, 8, 64)
    btf = parse_btf(_btf(number + _type(0, Kind.ARRAY, 0, 1, 1, 0xFFFFFFFF), b"\0"))
    with pytest.raises(LayoutError, match="no layout in numpy"):
        dtype_of(btf, 2)


def test_types_in_a_circle_end() -> None:
    btf = parse_btf(_btf(_type(0, Kind.CONST, 2) + _type(0, Kind.TYPEDEF, 1), b"\0"))
    for number in (1, 2):
        with pytest.raises(LayoutError):
            dtype_of(btf, number)


FUZZ = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(data=st.data())
def test_damaged_objects_raise_only_layout_errors(compiled: Path, data: st.DataObject) -> None:
    whole = bytearray((compiled / "shapes.bpf.o").read_bytes())
    del whole[data.draw(st.integers(0, len(whole)), label="length") :]
    for _ in range(data.draw(st.integers(0, 8), label="changes") if whole else 0):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        Layouts.parse(bytes(whole))
    except LayoutError as error:
        assert error.message  # noqa: PT017 - either outcome is right, any other error is not


@FUZZ
@given(data=st.data())
def test_damaged_types_raise_only_layout_errors(compiled: Path, data: st.DataObject) -> None:
    elf = parse_elf((compiled / "shapes.bpf.o").read_bytes())
    whole = bytearray(elf.sections[".BTF"])
    for _ in range(data.draw(st.integers(1, 12), label="changes")):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        btf = parse_btf(bytes(whole))
    except LayoutError:
        return
    for number in range(len(btf.types)):
        try:
            dtype_of(btf, number)
        except LayoutError as error:
            assert error.message  # noqa: PT017 - as above
