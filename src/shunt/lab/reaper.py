"""Removes a laboratory: its processes, namespaces, mounts and files.

Also a program of its own, which waits for the death of a laboratory's owner and then removes what
is left. It runs without site packages, to stay small, and therefore imports nothing of Shunt.

The owner holds an exclusive lock on the laboratory's lock file as long as it lives; the kernel
releases it at any kind of death. Whoever then gets the lock may remove the laboratory, unless it is
marked as kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

BASE = Path("/run/shunt-lab")
NAMESPACES = Path("/run/netns")
KEPT = "kept"  # a file in the laboratory's directory: it outlives its owner
_DEADLINE = 10.0


def lock_path(ident: str) -> Path:
    """Return the lock file of the laboratory."""
    return BASE / f"{ident}.lock"


def idents() -> list[str]:
    """Return the name of every laboratory that has a lock file, whether someone holds it or not."""
    return sorted(path.stem for path in BASE.glob("*.lock"))


def namespaces_of(ident: str) -> list[Path]:
    """Return the namespaces of the laboratory; an ident has no hyphen, so none is another's."""
    return sorted(NAMESPACES.glob(f"shunt-{ident}-*"))


def remove(ident: str) -> None:
    """Remove all that the laboratory consists of. What is gone already is no error.

    Raises:
        OSError: something would not go; a second call may go on from there.
    """
    namespaces = namespaces_of(ident)
    _end_processes({_identity(path) for path in namespaces})
    directory = BASE / ident
    for mount in sorted(_mounts_under(directory), reverse=True):
        _command("umount", "-l", mount)
    for path in namespaces:
        _command("ip", "netns", "delete", path.name)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)
    lock_path(ident).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another laboratory stands
        BASE.rmdir()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _end_processes(identities: set[tuple[int, int] | None]) -> None:
    identities.discard(None)
    deadline = time.monotonic() + _DEADLINE
    while identities and time.monotonic() < deadline:
        inhabitants = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit()
            and int(entry.name) != os.getpid()
            and _identity(entry / "ns/net") in identities
        ]
        if not inhabitants:
            return
        for pid in inhabitants:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _mounts_under(directory: Path) -> list[str]:
    table = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in table]
    return [point for point in points if Path(point).is_relative_to(directory)]


def _command(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    target = Path(argv[-1]) if argv[0] == "umount" else NAMESPACES / argv[-1]
    if done.returncode and (target.is_mount() or target.is_file()):
        raise OSError(f"{' '.join(argv)}: {done.stderr.decode(errors='replace').strip()}")


def wait_and_remove(ident: str) -> None:
    """Wait until the owner is gone; then remove the laboratory, unless it is kept or gone too."""
    try:
        lock = os.open(lock_path(ident), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    fcntl.flock(lock, fcntl.LOCK_EX)
    if os.fstat(lock).st_nlink and not (BASE / ident / KEPT).exists():
        remove(ident)


if __name__ == "__main__":
    wait_and_remove(sys.argv[1])
