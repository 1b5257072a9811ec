"""Who owns a laboratory: the process that holds the lock on its lock file, as long as it lives."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

from shunt.lab import reaper


def take(ident: str) -> int | None:
    """Return the laboratory's lock, taken, or None if someone holds it."""
    path = reaper.lock_path(ident)
    while True:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # the last laboratory left just now, and its directory with it
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if os.fstat(lock).st_nlink:
            return lock
        os.close(lock)  # removed between our opening and locking it


def is_taken(ident: str) -> bool:
    """Return whether a living process holds the laboratory's lock."""
    try:
        lock = os.open(reaper.lock_path(ident), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def watch(ident: str) -> None:
    """Start the process that outlives us; it is handed to init at once, so it leaves no zombie."""
    command = [sys.executable, "-I", "-S", reaper.__file__, ident]
    starter = "import os,sys\nif os.fork()==0: os.setsid(); os.execv(sys.argv[1], sys.argv[1:])"
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", starter, *command],
        check=True,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
