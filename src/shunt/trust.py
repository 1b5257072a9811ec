"""Whether a file is only root's to change: what Shunt runs or obeys as root must be.

A script that another user may write is that user's way to root; so is one in a folder where that
user may put another file in its place. So every folder on the way counts, and every link; and of
each its owner, its mode and its access control list.
"""

from __future__ import annotations

import errno
import functools
import grp
import os
import pwd
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

import shunt

_MOST_LINKS = 40  # as Linux

# A POSIX access control list as the kernel keeps it: linux/posix_acl_xattr.h, linux/posix_acl.h.
_ACL = "system.posix_acl_access"
_ACL_HEADER = struct.Struct("<I")
_ACL_ENTRY = struct.Struct("<HHI")  # tag, rights, number of the user or group
_ACL_VERSION = 2
_ACL_USER, _ACL_OWNING_GROUP, _ACL_GROUP, _ACL_MASK = 0x02, 0x04, 0x08, 0x10
_ACL_WRITE = 2
_WITHOUT_ACL = {errno.ENODATA, errno.ENOTSUP}  # of this file; of its whole file system


@dataclass(frozen=True, slots=True)
class Trusted:
    """Users and groups who can do all that this process can, anyway."""

    users: frozenset[int]
    groups: frozenset[int]


@functools.cache
def trusted() -> Trusted:
    """Return root, this process' user, and whoever may write Shunt itself."""
    own = Path(shunt.__file__).stat()
    groups = {0} | ({own.st_gid} if own.st_mode & stat.S_IWGRP else set())
    if os.geteuid():  # a user's own group, where that is the custom
        groups.add(os.getegid())
    return Trusted(frozenset({0, os.geteuid(), own.st_uid}), frozenset(groups))


def fault(path: Path, who: Trusted | None = None) -> str | None:
    """Return why others may change what is at `path`; None if only those trusted may.

    What is not there is as safe as the folder that it would be in. A folder with the sticky bit,
    like /tmp, may be written by all: nobody can replace what another has put there, but anybody
    can put there what is not there yet.

    Args:
        path: a file or folder, there or not.
        who: whom to trust; `trusted()` if None.
    """
    who = who or trusted()
    at, ahead, links = Path("/"), list(reversed(Path(path).absolute().parts[1:])), 0
    here = at
    try:
        if why := _fault_of(at, at.lstat(), who, is_last=not ahead):
            return why
        while ahead:
            part = ahead.pop()
            if part == "..":
                at = at.parent
                continue
            here = at / part
            state = here.lstat()
            if why := _fault_of(here, state, who, is_last=not ahead):
                return why
            if not stat.S_ISLNK(state.st_mode):
                at = here
                continue
            links += 1
            if links > _MOST_LINKS:
                return f"{path} leads through too many links"
            target = here.readlink()
            parts = target.parts
            if target.is_absolute():
                at, parts = Path("/"), parts[1:]
            ahead += reversed(parts)
    except FileNotFoundError:
        return _fault_of_absent(here, at, who)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return None


def _fault_of(path: Path, state: os.stat_result, who: Trusted, *, is_last: bool) -> str | None:
    if state.st_uid not in who.users:
        return f"{path} belongs to {_user(state.st_uid)}"
    if stat.S_ISLNK(state.st_mode):
        return None  # its mode means nothing
    if stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_ISVTX and not is_last:
        return None
    if state.st_mode & stat.S_IWOTH:
        return f"anybody may write {path}"
    if not state.st_mode & stat.S_IWGRP:
        return None  # of a list, that is the mask, which bounds what its entries give
    return _fault_of_groups(path, state.st_gid, who)


def _fault_of_absent(path: Path, folder: Path, who: Trusted) -> str | None:
    """Return why others could make what is not there in a folder, which may have the sticky bit."""
    try:
        why = _fault_of(folder, folder.lstat(), who, is_last=True)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return f"{path} is not there, and {why}" if why else None


def _fault_of_groups(path: Path, owning_group: int, who: Trusted) -> str | None:
    """Return who else may write, where the mode lets the group, or a list's mask lets some."""
    try:
        content = os.getxattr(path, _ACL, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _WITHOUT_ACL:
            raise
        content = b""
    entries = acl_entries(content) if content else [(_ACL_OWNING_GROUP, _ACL_WRITE, owning_group)]
    if entries is None:
        return f"the access control list of {path} is not understood"
    for tag, rights, number in entries:
        if not rights & _ACL_WRITE:
            continue
        if tag == _ACL_USER and number not in who.users:
            return f"{_user(number)} may write {path} (its access control list)"
        if tag == _ACL_GROUP and number not in who.groups:
            return f"the group {_group(number)} may write {path} (its access control list)"
        if tag == _ACL_OWNING_GROUP and owning_group not in who.groups:
            return f"the group {_group(owning_group)} may write {path}"
    return None


def acl_entries(content: bytes) -> list[tuple[int, int, int]] | None:
    """Return an access control list's entries: tag, rights that the mask leaves, number.

    Args:
        content: the extended attribute `system.posix_acl_access`.

    Returns:
        The entries in the order of the list; None if it has another form.
    """
    rest = content[_ACL_HEADER.size :]
    if len(content) < _ACL_HEADER.size or len(rest) % _ACL_ENTRY.size:
        return None
    if _ACL_HEADER.unpack_from(content) != (_ACL_VERSION,):
        return None
    entries = list(_ACL_ENTRY.iter_unpack(rest))
    mask = next((rights for tag, rights, _ in entries if tag == _ACL_MASK), 7)
    masked = {_ACL_USER, _ACL_OWNING_GROUP, _ACL_GROUP}
    return [
        (tag, rights & mask if tag in masked else rights, number) for tag, rights, number in entries
    ]


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"the user {number}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
