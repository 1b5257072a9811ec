"""Loading: constants, sizes, reuse, and the verifier's word."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shunt.dataplane.kernel import Verdict
from shunt.dataplane.object import Object
from shunt.dataplane.testrun import run
from shunt.errors import DataplaneError, LayoutError, LoadError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.bpf
FRAME = bytes(64)


def test_python_reads_what_the_program_wrote(shapes: Object) -> None:
    with shapes.program("shapes") as program, shapes.map("records") as records:
        run(program, FRAME)
        record = records.get(0)
    assert record["port"] == 443
    assert record["wide"] == 0xAB
    assert record["address"] == 0xC0000201
    assert record["whole"] == 0x4444333322221111
    assert record["back"] == 0x44443333
    assert record["parts"]["high"].tolist() == [0x2222, 0x4444]
    assert record["signed_one"] == -5
    assert record["colour"] == shapes.layouts.enum("colour")["COLOUR_GREEN"]
    assert record["mac"].tolist() == [2, 0, 0, 0, 0, 9]
    assert record["flags"] == 4


@pytest.mark.parametrize(
    "secret", [[10, 20], (10).to_bytes(8, "little") + (20).to_bytes(8, "little")]
)
def test_constants_reach_the_program(compiled: Path, secret: Any) -> None:
    constants = {"answer": 7, "secret": secret, "limits": (1, 99)}
    with Object.open(compiled / "shapes.bpf.o", constants=constants) as opened:
        opened.load()
        with opened.program("shapes") as program, opened.map("recent") as recent:
            run(program, FRAME)
            assert recent.get((7, 0)) == 30
        with opened.map("records") as records:
            assert records.get(0)["flags"] == 99


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        ({"nothing": 1}, "no constant 'nothing'"),
        ({"secret": b"short"}, "secret takes 16 bytes, not 5"),
        ({"answer": "many"}, "answer cannot be 'many'"),
        ({"answer": 1 << 32}, "answer cannot be"),
    ],
)
def test_wrong_constants_are_named(compiled: Path, constants: dict[str, Any], said: str) -> None:
    with pytest.raises(LayoutError, match=said):
        Object.open(compiled / "shapes.bpf.o", constants=constants)


def test_sizes(compiled: Path) -> None:
    with Object.open(compiled / "shapes.bpf.o", sizes={"pairs": 1000}) as opened:
        opened.load()
        with opened.map("pairs") as pairs:
            assert pairs.max_entries == 1000
            assert pairs.view().shape == (1000,)
    with pytest.raises(LayoutError, match="no map 'pears'"):
        Object.open(compiled / "shapes.bpf.o", sizes={"pears": 1})
    with pytest.raises(DataplaneError, match="pairs cannot have 0 entries"):
        Object.open(compiled / "shapes.bpf.o", sizes={"pairs": 0})


def test_a_reused_map_keeps_its_content(shapes: Object, compiled: Path) -> None:
    with shapes.map("records") as records:
        run_once = shapes.program("shapes")
        run(run_once, FRAME)
        with Object.open(compiled / "shapes.bpf.o", reuse={"records": records}) as second:
            second.load()
            with second.map("records") as same:
                assert same.get(0)["port"] == 443
                same.put(1, records.get(0))
        assert records.get(1)["address"] == 0xC0000201


def test_a_map_of_another_layout_is_not_reused(shapes: Object, compiled: Path) -> None:
    with (
        shapes.map("records") as records,
        pytest.raises(
            LayoutError, match="map records: its value: field narrow is at byte 2 here, 3"
        ),
    ):
        Object.open(compiled / "moved.bpf.o", reuse={"records": records})


def test_a_reused_maps_size_is_not_quietly_another(shapes: Object, compiled: Path) -> None:
    with (
        shapes.map("records") as records,
        pytest.raises(LayoutError, match="shall have 5 entries, and has 4"),
    ):
        Object.open(compiled / "shapes.bpf.o", reuse={"records": records}, sizes={"records": 5})


def test_a_key_with_holes_is_refused(compiled: Path) -> None:
    with Object.open(compiled / "padded.bpf.o") as opened:
        opened.load()
        with pytest.raises(LayoutError, match=r"map holes: .* at \(5, 6, 7\)"):
            opened.map("holes")


def test_the_verifiers_last_line_is_in_the_message(compiled: Path) -> None:
    with (
        Object.open(compiled / "refused.bpf.o") as opened,
        pytest.raises(LoadError) as raised,
    ):
        opened.load()
    assert "careless: R1 offset is outside of the packet" in raised.value.message
    assert "data[40]" in raised.value.message
    assert "invalid access to packet" in raised.value.log
    assert raised.value.errno != 0


def test_what_is_not_in_the_object_is_named(shapes: Object) -> None:
    with pytest.raises(LayoutError, match="no program 'nobody'"):
        shapes.program("nobody")
    with pytest.raises(LayoutError, match="no map 'nothing'"):
        shapes.map("nothing")


def test_handles_outlive_the_object_and_close_once(compiled: Path) -> None:
    with Object.open(compiled / "shapes.bpf.o") as opened:
        program = opened.load().program("dropper")
    assert run(program, FRAME).verdict is Verdict.DROP
    fd = program.fd
    assert not os.get_inheritable(fd)
    program.close()
    program.close()
    with pytest.raises(ValueError, match="Program is closed"):
        _ = program.fd
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_data_sections_are_maps_too(shapes: Object) -> None:
    with shapes.map(".rodata") as rodata:
        value = np.frombuffer(rodata.get(0).tobytes(), shapes.layouts.section(".rodata"))
    assert value["answer"][0] == 41
