"""The compiled objects do not depend on where they were built."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from hatch_build import ROOT, compile_objects

from shunt.dataplane.elf import parse_elf

if TYPE_CHECKING:
    from pathlib import Path


def built(folder: Path) -> dict[str, bytes]:
    """Copy the sources there, and return what becomes of them."""
    shutil.copytree(ROOT / "bpf", folder / "bpf")
    (folder / "src" / "shunt" / "dataplane").mkdir(parents=True)
    return {path.name: path.read_bytes() for path in compile_objects(folder)}


def test_two_folders_make_the_same_bytes(tmp_path: Path) -> None:
    here, there = built(tmp_path / "here"), built(tmp_path / "some" / "where" / "else")
    assert here.keys() == {"shunt.bpf.o", "probe.bpf.o", "lab_pass.bpf.o"}
    assert here == there
    for name, data in here.items():
        assert str(tmp_path).encode() not in data, name
        assert not [each for each in parse_elf(data).sections if ".debug" in each], name
        assert ".BTF" in parse_elf(data).sections, name
