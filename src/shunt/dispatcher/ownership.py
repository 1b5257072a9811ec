"""Who owns the files of a dispatcher: the holder of its lock. And how its last owner leaves."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from shunt.dataplane.pins import BPFFS, is_bpffs, unmount_bpffs
from shunt.dispatcher import files, overrides
from shunt.dispatcher.groups import Groups
from shunt.errors import ControlError, ParseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from shunt.dispatcher.places import Places

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def locked(places: Places) -> Iterator[None]:
    """Hold the lock that makes this the only daemon here.

    Raises:
        ControlError: another one runs.
        HostError: the directory cannot be made, or is not safe; nothing can be written to it.
    """
    while (descriptor := _lock(places)) is None:
        pass
    try:
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise files.failed(places.lock, error) from error
        yield
    finally:
        os.close(descriptor)


def _lock(places: Places) -> int | None:
    """Return the locked file's descriptor; None if its last owner removed the file meanwhile."""
    try:
        files.make_folder(places.run)
        descriptor = os.open(places.lock, _OPEN, 0o600)
    except FileNotFoundError:  # the directory went between the two
        return None
    except OSError as error:
        raise files.failed(places.run, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), places.lock.stat()):
            return descriptor
    except FileNotFoundError:
        pass
    except OSError as error:
        owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise ControlError(
            f"a dispatcher runs here already (process {owner})",
            hint="shunt reload takes a changed file; shunt down ends it",
        ) from error
    os.close(descriptor)
    return None


def remove_places(places: Places) -> None:
    """Leave the groups, and remove what a dispatcher leaves in the file system.

    Run-time changes stay, and so does whatever is not a dispatcher's. For the owner of the lock,
    whose file goes last: the next owner makes a new one.

    Raises:
        HostError, NetworkError: something would not go.
    """
    Groups(places.groups).give_up()
    if places.bpffs != BPFFS:
        if places.bpffs.is_mount() and is_bpffs(places.bpffs):
            unmount_bpffs(places.bpffs)
        with contextlib.suppress(OSError):  # not empty, or not there: not ours
            places.bpffs.rmdir()
    try:
        is_changed = bool(overrides.read(places.overrides).entries)
    except ParseError:  # the next start says what is wrong with it
        is_changed = True
    if not is_changed:
        _remove((places.overrides,), places.state)
    _remove(
        (places.socket, places.root_socket, places.health, places.groups, places.lock), places.run
    )


def _remove(paths: Iterable[Path], folder: Path) -> None:
    """Remove files, drafts that a cut off writing left of them, and their folder if it is empty."""
    for file in paths:
        for each in (file, files.draft_of(file), file.with_suffix(".new")):
            each.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
