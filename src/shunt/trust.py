"""Whether a file is only root's to change: what Shunt runs or obeys as root must be.

A script that another user may write is that user's way to root; so is one in a folder where that
user may put another file in its place. So every folder on the way counts, and every link.
"""

from __future__ import annotations

import functools
import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

import shunt

_MOST_LINKS = 40  # as Linux


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
    like /tmp, may be written by all: nobody can replace what another has put there.

    Args:
        path: a file or folder, there or not.
        who: whom to trust; `trusted()` if None.
    """
    who = who or trusted()
    at, ahead, links = Path("/"), list(reversed(Path(path).absolute().parts[1:])), 0
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
        return None
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
    if state.st_mode & stat.S_IWGRP and state.st_gid not in who.groups:
        return f"the group {_group(state.st_gid)} may write {path}"
    return None


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
