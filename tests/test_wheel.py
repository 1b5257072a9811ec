"""The wheel has what a machine without a compiler needs."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from subprocess import run

ROOT = Path(__file__).parents[1]


def test_the_wheel_carries_the_compiled_data_plane_and_the_command(tmp_path: Path) -> None:
    run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("shunt-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "shunt = shunt.cli.main:main" in archive.read(points).decode()
        for program in ("shunt", "probe", "lab_pass"):
            packed = archive.read(f"shunt/dataplane/{program}.bpf.o")
            assert packed[:4] == b"\x7fELF"
            assert packed == (ROOT / f"src/shunt/dataplane/{program}.bpf.o").read_bytes()
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        told = archive.read(metadata).decode()
    # Python is under the one licence, the compiled programs under either of the others.
    assert "License-Expression: Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)" in told
    for text in ("LICENSE", "LICENSES/GPL-2.0-only.txt", "LICENSES/BSD-2-Clause.txt"):
        assert any(name.endswith(f".dist-info/licenses/{text}") for name in names)
