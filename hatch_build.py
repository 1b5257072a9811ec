"""Compiles the data plane: `python hatch_build.py`, and as hatchling's build hook for wheels.

The object depends on byte order only, so one wheel serves every architecture of one byte order.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
FLAGS = ("-O2", "-g", "-target", "bpf", "-mcpu=v3", "-std=gnu11", "-Wall", "-Wextra", "-Werror")


def system_headers() -> tuple[str, ...]:
    """Return the include flags for <asm/types.h>, which Debian keeps per architecture."""
    multiarch = Path("/usr/include") / f"{platform.machine()}-linux-gnu"
    return ("-idirafter", str(multiarch)) if multiarch.is_dir() else ()


def compile_objects(root: Path = ROOT) -> list[Path]:
    """Compile every bpf/*.bpf.c of a checkout that is newer than its object; return the objects.

    They are the same, byte for byte, whichever folder the checkout is in.

    Raises:
        SystemExit: clang is absent or refuses the source; its own words are on stderr.
    """
    tools = [shutil.which(tool) or _absent(tool) for tool in ("clang", "llvm-strip")]
    sources = root / "bpf"
    headers = max(path.stat().st_mtime for path in (*sources.rglob("*.h"), Path(__file__)))
    objects = []
    for source in sorted(sources.glob("*.bpf.c")):
        name = source.name.replace(".bpf.c", ".bpf.o")
        target = root / "src" / "shunt" / "dataplane" / name
        objects.append(target)
        if target.exists() and target.stat().st_mtime > max(headers, source.stat().st_mtime):
            continue
        fresh = target.with_suffix(".new")
        try:
            _compile(source, fresh, *tools)
            fresh.replace(target)
        except subprocess.CalledProcessError as error:
            target.unlink(missing_ok=True)
            sys.exit(f"shunt: {Path(error.cmd[0]).name} refused {source.relative_to(root)}")
        finally:
            fresh.unlink(missing_ok=True)
    return objects


def _compile(source: Path, target: Path, clang: str, strip: str) -> None:
    """Compile one program, without the builder's folder in it, and of its types only BTF."""
    root = source.parents[1]
    where = (*system_headers(), f"-I{source.parent}", f"-ffile-prefix-map={root}=.")
    command = [clang, *FLAGS, *where, "-c", str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    subprocess.run([strip, "--strip-debug", str(target)], check=True)


def _absent(tool: str) -> NoReturn:
    sys.exit(f"shunt: {tool} is needed to build the data plane; `make setup` installs it")


class DataplaneHook(BuildHookInterface[Any]):
    """Puts the compiled objects into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Compile before hatchling collects the files."""
        compile_objects()


if __name__ == "__main__":
    for path in compile_objects():
        print(path.relative_to(ROOT))
