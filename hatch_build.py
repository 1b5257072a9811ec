"""Compiles the data plane: `python hatch_build.py`, and as hatchling's build hook for wheels.

The object depends on byte order only, so one wheel serves every architecture of one byte order.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "bpf"
TARGET = ROOT / "src" / "shunt" / "dataplane"
FLAGS = ("-O2", "-g", "-target", "bpf", "-mcpu=v3", "-std=gnu11", "-Wall", "-Wextra", "-Werror")


def system_headers() -> tuple[str, ...]:
    """Return the include flags for <asm/types.h>, which Debian keeps per architecture."""
    multiarch = Path("/usr/include") / f"{platform.machine()}-linux-gnu"
    return ("-idirafter", str(multiarch)) if multiarch.is_dir() else ()


def compile_objects() -> list[Path]:
    """Compile every bpf/*.bpf.c that is newer than its object; return the objects.

    Raises:
        SystemExit: clang is absent or refuses the source; its own words are on stderr.
    """
    clang = shutil.which("clang")
    if clang is None:
        sys.exit("shunt: clang is needed to build the data plane; `make setup` installs it")
    headers = max(path.stat().st_mtime for path in (*SOURCES.rglob("*.h"), Path(__file__)))
    objects = []
    for source in sorted(SOURCES.glob("*.bpf.c")):
        target = TARGET / source.name.replace(".bpf.c", ".bpf.o")
        objects.append(target)
        if target.exists() and target.stat().st_mtime > max(headers, source.stat().st_mtime):
            continue
        includes = (*system_headers(), f"-I{SOURCES}")
        command = [clang, *FLAGS, *includes, "-c", str(source), "-o", str(target)]
        if subprocess.run(command, check=False).returncode:
            target.unlink(missing_ok=True)
            sys.exit(f"shunt: clang refused {source.relative_to(ROOT)}")
    return objects


class DataplaneHook(BuildHookInterface[Any]):
    """Puts the compiled objects into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Compile before hatchling collects the files."""
        compile_objects()


if __name__ == "__main__":
    for path in compile_objects():
        print(path.relative_to(ROOT))
