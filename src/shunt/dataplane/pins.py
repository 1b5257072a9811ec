"""A directory of the bpf filesystem: what is pinned there outlives the process."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from shunt.dataplane.attach import Link
from shunt.dataplane.libbpf import checked, error_name, libbpf
from shunt.dataplane.maps import Map
from shunt.dataplane.program import Program
from shunt.errors import HostError

if TYPE_CHECKING:
    from shunt.dataplane.handle import Handle
    from shunt.dataplane.layouts import MapSpec

BPFFS = Path("/sys/fs/bpf")
_MAGIC = 0xCAFE4A11
_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_NOT_IN_FILES = re.compile("[.%~]")
_libc = ctypes.CDLL(None, use_errno=True)


def is_bpffs(path: Path) -> bool:
    """Say whether a path, or the nearest of its parents that exists, is on a bpf filesystem."""
    while not path.exists():
        path = path.parent
    room = ctypes.create_string_buffer(256)
    if _libc.statfs(os.fsencode(path), room):
        return False
    # struct statfs begins with f_type; a long on every 64-bit machine that Linux's XDP serves.
    return ctypes.c_long.from_buffer(room).value & 0xFFFFFFFF == _MAGIC


def mount_bpffs(target: Path = BPFFS) -> None:
    """Mount a bpf filesystem, private to root, unless one is there.

    Raises:
        HostError: it cannot be mounted.
    """
    if target.is_dir() and is_bpffs(target):
        return
    flags = _NOSUID | _NODEV | _NOEXEC
    if _libc.mount(b"bpf", os.fsencode(target), b"bpf", flags, b"mode=0700"):
        raise HostError(
            f"no bpf filesystem at {target}, and none can be mounted: "
            f"{error_name(ctypes.get_errno())}",
            hint=f"As root: mount -t bpf bpf {target}",
        )


def unmount_bpffs(target: Path) -> None:
    """Unmount what `mount_bpffs` mounted; what is still pinned there goes.

    Raises:
        HostError: it cannot be unmounted.
    """
    if _libc.umount2(os.fsencode(target), 0):
        raise HostError(f"{target} cannot be unmounted: {error_name(ctypes.get_errno())}")


class PinDirectory:
    """Names for maps, programs and links that outlive the process.

    A name may be anything without a slash. The bpf filesystem keeps files with a dot for itself,
    so a dot is written `%2e` there. A name is given in two steps, by way of a file that ends in
    `~`; where a process was killed between them, that file is as good as the other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, path: Path, *, mount_point: Path = BPFFS) -> PinDirectory:
        """Return the directory, made with its parents, the bpf filesystem mounted if need be.

        Raises:
            HostError: there is no bpf filesystem at `mount_point` and none can be mounted, or
                `path` lies outside of it, or others than root may change what is in it.
        """
        if not is_bpffs(path):
            if not path.is_relative_to(mount_point):
                raise HostError(
                    f"{path} is not on a bpf filesystem", hint=f"Choose a path below {mount_point}."
                )
            mount_bpffs(mount_point)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HostError(f"{path} cannot be made: {error.strerror}") from error
        state = path.lstat()
        if state.st_uid not in {0, os.geteuid()} or state.st_mode & 0o022:
            raise HostError(
                f"{path} is not root's alone: its owner is user {state.st_uid}, its mode"
                f" {state.st_mode & 0o7777:o}",
                hint="see what is in there; rmdir it and start again",
            )
        return cls(path)

    def names(self) -> frozenset[str]:
        """Return the names in use; none if the directory does not exist.

        Raises:
            HostError: it may not be read.
        """
        try:
            return frozenset(_name(entry) for entry in self.path.iterdir())
        except FileNotFoundError:
            return frozenset()
        except PermissionError as error:
            raise HostError(f"{self.path}: {error.strerror}", hint="run as root") from error

    def pin(self, name: str, handle: Handle) -> None:
        """Give a map, program or link a name, in place of whatever had it, without a gap.

        Raises:
            DataplaneError: the kernel refused.
        """
        target, fresh = self._files(name)
        doing = f"pin {target}"
        self._finish(name)
        checked(libbpf().bpf_obj_pin(handle.fd, os.fsencode(fresh)), doing)
        try:
            fresh.rename(target)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            checked(-(error.errno or errno.EIO), doing)

    def rename(self, name: str, becomes: str) -> None:
        """Give what has one name another one, in place of whatever had that, without a gap.

        Raises:
            DataplaneError: nothing has the name (ENOENT), or the kernel refused.
        """
        self._finish(name)
        self._finish(becomes)
        source, target = self._files(name)[0], self._files(becomes)[0]
        try:
            source.rename(target)
        except OSError as error:
            checked(-(error.errno or errno.EIO), f"rename {source} to {target}")

    def tidy(self) -> None:
        """Finish or drop what a process that was killed had begun to name."""
        for name in self.names():
            self._finish(name)

    def open_map(self, name: str, spec: MapSpec | None = None) -> Map:
        """Open a pinned map.

        Raises:
            DataplaneError: nothing is pinned by that name (ENOENT).
            LayoutError: its layout is not the object's.
        """
        return Map(self._open(name), spec)

    def open_program(self, name: str) -> Program:
        """Open a pinned program; DataplaneError (ENOENT) if there is none."""
        return Program(self._open(name))

    def open_link(self, name: str) -> Link:
        """Open a pinned link; DataplaneError (ENOENT) if there is none."""
        return Link(self._open(name))

    def unpin(self, name: str) -> bool:
        """Remove a name; False if there is none. The object goes when nothing else holds it."""
        there = [file for file in self._files(name) if file.exists()]
        for file in there:
            file.unlink()
        return bool(there)

    def remove(self) -> None:
        """Remove every name and the directory; a second time does nothing.

        The kernel lets go of the objects a moment later: who wants a program off an interface
        now detaches its link first.
        """
        for name in self.names():
            self.unpin(name)
        if self.path.exists():
            self.path.rmdir()

    def _open(self, name: str) -> int:
        target, fresh = self._files(name)
        result: int = libbpf().bpf_obj_get(os.fsencode(target))
        if result == -errno.ENOENT:
            result = libbpf().bpf_obj_get(os.fsencode(fresh))
        return checked(result, f"open {target}")

    def _files(self, name: str) -> tuple[Path, Path]:
        """Return the file that has a name, and the one by way of which it is given."""
        written = _NOT_IN_FILES.sub(lambda found: f"%{ord(found[0]):02x}", name)
        return self.path / written, self.path / f"{written}~"

    def _finish(self, name: str) -> None:
        target, fresh = self._files(name)
        if fresh.exists():
            if target.exists():
                fresh.unlink()
            else:
                fresh.rename(target)


def _name(file: Path) -> str:
    return unquote(file.name.removesuffix("~"))
