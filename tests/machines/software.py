"""A disk with Shunt on it, as a user installs it: the wheel and what it needs, under one folder.

Machines have no network; what pip would fetch there it fetches here, for Debian's Python.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.machines.images import CACHE, locked

if TYPE_CHECKING:
    from tests.machines.machine import Machine

ROOT = Path(__file__).parents[2]
HOME = "/opt/shunt"
_LOCK = ROOT / "setup" / "runtime.txt"
_TEST_LOCK = ROOT / "setup" / "dev.txt"
_TEST_TOOLS = {
    "hypothesis",
    "iniconfig",
    "packaging",
    "pluggy",
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "scapy",
    "sortedcontainers",
}
_PYTHON = "3.11"  # Debian 12's
_COMMAND = f"""\
#!/usr/bin/python3
import sys
sys.path.insert(0, "{HOME}/packages")
from shunt.cli.main import main
sys.exit(main())
"""


def disk(folder: Path, *, tests: bool = False) -> Path:
    """Make the disk in a folder of the caller's; return its file.

    Args:
        folder: an empty one.
        tests: put this checkout there, too, and what the tests of the data plane need.
    """
    with locked():
        packages = _packages(tests=tests)
    content = folder / "software"
    content.mkdir()
    target = content / "packages"
    subprocess.run(["cp", "-a", "--reflink=auto", f"{packages}/.", str(target)], check=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("shunt-*.whl")
    _install(target, "--no-deps", str(wheel))
    command = content / "bin" / "shunt"
    command.parent.mkdir()
    command.write_text(_COMMAND)
    command.chmod(0o755)
    shutil.copy(ROOT / "setup" / "shunt.service", content)
    if tests:
        for name in ("src", "bpf", "tests"):
            shutil.copytree(ROOT / name, content / "checkout" / name)
        for name in ("hatch_build.py", "pyproject.toml"):
            shutil.copy(ROOT / name, content / "checkout")
    made = folder / "software.img"
    make = ["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", str(content), str(made), "500M"]
    subprocess.run(make, check=True, capture_output=True)
    shutil.rmtree(content)
    return made


def install(machine: Machine) -> None:
    """Put the disk, the machine's second one, in its place: the command, and systemd's unit."""
    machine.ssh(
        f"mkdir -p {HOME} && mount -o ro /dev/vdb {HOME}"
        f" && ln -sf {HOME}/bin/shunt /usr/local/bin/shunt"
        f" && cp {HOME}/shunt.service /etc/systemd/system/ && systemctl daemon-reload"
    )


def _packages(*, tests: bool) -> Path:
    """Return the folder of what Shunt needs, fetched anew if the lock has changed."""
    lock = _LOCK.read_text()
    if tests:
        lock += "".join(_pinned(_TEST_LOCK.read_text(), _TEST_TOOLS))
    kind = "packages-and-tools" if tests else "packages"
    folder = CACHE / f"{kind}-{hashlib.sha256(f'{_PYTHON} {lock}'.encode()).hexdigest()[:12]}"
    if not folder.exists():
        for stale in CACHE.glob(f"{kind}-????????????"):
            shutil.rmtree(stale)
        fresh = folder.with_suffix(".new")
        wanted = folder.with_suffix(".txt")
        wanted.write_text(lock)
        _install(fresh, "--no-deps", "--require-hashes", "-r", str(wanted))
        fresh.rename(folder)
    return folder


def _pinned(lock: str, names: set[str]) -> list[str]:
    """Return the entries of a lock that have these names."""
    entries = re.findall(r"^\S.*(?:\n .*)*\n", lock, re.MULTILINE)
    return [entry for entry in entries if re.split("[=; ]", entry)[0] in names]


def _install(target: Path, *what: str) -> None:
    """Let pip install for the machine's Python, whichever runs here."""
    options = ["-q", "--disable-pip-version-check", "--target", str(target), "--upgrade"]
    meant = ["--python-version", _PYTHON, "--only-binary=:all:", "--implementation", "cp"]
    kinds = [f"--platform=manylinux_2_{minor}_x86_64" for minor in range(17, 37)]
    command = [sys.executable, "-m", "pip", "install", *options, *meant, *kinds, *what]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"pip cannot install for the machine:\n{done.stderr[-2000:]}")
