"""Who may change a file: every folder on the way counts, and every link. Needs root for owners."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from shunt.trust import Trusted, acl_entries, fault, trusted

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of several owners")
ROOT_ONLY = Trusted(frozenset({0}), frozenset({0}))
NOBODY = 65534


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script in a folder of a folder, all of them root's."""
    path = tmp_path / "hooks" / "serverDown"
    path.parent.mkdir(mode=0o755)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_roots_own_is_trusted_though_tmp_is_everybodys(script: Path) -> None:
    assert Path("/tmp").stat().st_mode & 0o1002 == 0o1002
    assert fault(script, ROOT_ONLY) is None
    assert fault(script) is None


@pytest.mark.parametrize("which", ["script", "its folder", "a folder further up"])
@pytest.mark.parametrize("how", ["another's", "everybody's", "a group's"])
def test_each_place_that_others_may_write_is_found(script: Path, which: str, how: str) -> None:
    places = {"script": script, "its folder": script.parent}
    place = places.get(which, script.parent.parent)
    if how == "another's":
        os.chown(place, NOBODY, 0)
    else:
        os.chown(place, 0, NOBODY)
        place.chmod(0o777 if how == "everybody's" else 0o775)
    why = fault(script, ROOT_ONLY)
    assert why is not None
    assert str(place) in why
    words = {"another's": "nobody", "everybody's": "anybody may write", "a group's": "the group"}
    assert words[how] in why


def test_what_the_group_root_may_write_is_roots(script: Path) -> None:
    script.parent.chmod(0o775)
    assert fault(script, ROOT_ONLY) is None


def test_links_are_followed_and_their_owners_count(script: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    (theirs / "x").write_text("")
    for target in (theirs / "x", Path("../theirs/x")):
        link = script.parent / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert str(theirs) in (fault(link, ROOT_ONLY) or "")
    mine = script.parent / "mine"
    mine.symlink_to(script)
    assert fault(mine, ROOT_ONLY) is None
    os.chown(mine, NOBODY, NOBODY, follow_symlinks=False)
    assert f"{mine} belongs to nobody" in (fault(mine, ROOT_ONLY) or "")


def test_a_circle_of_links_is_no_way(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "too many links" in (fault(tmp_path / "a", ROOT_ONLY) or "")


def test_what_is_not_there_is_as_safe_as_its_folder(script: Path) -> None:
    assert fault(script.parent / "none" / "deeper", ROOT_ONLY) is None
    script.parent.chmod(0o777)
    assert fault(script.parent / "none", ROOT_ONLY) is not None


def test_in_a_sticky_folder_nobody_takes_the_others_place_but_it_is_no_folder_of_ours(
    script: Path,
) -> None:
    script.parent.chmod(0o1777)
    assert fault(script, ROOT_ONLY) is None
    assert "anybody may write" in (fault(script.parent, ROOT_ONLY) or "")


def test_in_a_sticky_folder_anybody_can_make_what_is_not_there(script: Path) -> None:
    script.parent.chmod(0o1777)
    link = script.parent.parent / "link"
    link.symlink_to(script.parent / "none")
    for path in (script.parent / "none", script.parent / "none" / "deeper", link):
        why = fault(path, ROOT_ONLY) or ""
        assert (
            why == f"{script.parent / 'none'} is not there, and anybody may write {script.parent}"
        )
    script.parent.chmod(0o1775)
    assert fault(script.parent / "none", ROOT_ONLY) is None


USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32  # linux/posix_acl.h


def acl(*entries: tuple[int, int, int], mask: int = 7, owning: int = 5) -> bytes:
    """Return an access control list in the kernel's form: the owner's 7, others' 5."""
    nobody = 0xFFFFFFFF
    lines = [(USER_OBJ, 7, nobody), *(each for each in entries if each[0] == USER)]
    lines += [(GROUP_OBJ, owning, nobody), *(each for each in entries if each[0] == GROUP)]
    lines += [(MASK, mask, nobody), (OTHER, 5, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in lines)


def give(path: Path, content: bytes) -> None:
    try:
        os.setxattr(path, "system.posix_acl_access", content)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no access control lists")


@pytest.mark.parametrize("which", ["script", "its folder", "a folder further up"])
@pytest.mark.parametrize(
    ("content", "who"),
    [
        (acl((USER, 7, 1234)), "the user 1234"),
        (acl((USER, 2, NOBODY)), "nobody"),
        (acl((USER, 7, 0), (USER, 6, 1234)), "the user 1234"),
        (acl((GROUP, 7, 1234)), "the group 1234"),
    ],
)
def test_whom_an_access_control_list_lets_write_is_found(
    script: Path, which: str, content: bytes, who: str
) -> None:
    """The owner and the owning group are root, and the mode says no more than 0775."""
    places = {"script": script, "its folder": script.parent}
    place = places.get(which, script.parent.parent)
    give(place, content)
    assert fault(script, ROOT_ONLY) == f"{who} may write {place} (its access control list)"


@pytest.mark.parametrize(
    "content",
    [
        acl((USER, 5, 1234), (GROUP, 4, 1234)),
        acl((USER, 7, 1234), (GROUP, 7, 1234), mask=5),
        acl((USER, 7, 0), (GROUP, 7, 0)),
        acl(owning=7),
    ],
    ids=["to read", "but for the mask", "root", "the group root"],
)
def test_an_access_control_list_by_which_only_root_writes_is_right(
    script: Path, content: bytes
) -> None:
    give(script, content)
    assert fault(script, ROOT_ONLY) is None


def test_of_a_list_not_the_mask_but_the_groups_own_entry_counts(script: Path) -> None:
    os.chown(script, 0, NOBODY)
    give(script, acl((USER, 7, 0), owning=5))
    assert script.stat().st_mode & 0o777 == 0o775
    assert fault(script, ROOT_ONLY) is None
    give(script, acl((USER, 7, 0), owning=7))
    assert "the group nogroup may write" in (fault(script, ROOT_ONLY) or "")


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENODATA])
def test_without_access_control_lists_the_mode_is_all(
    script: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def without(*_: object, **__: object) -> bytes:
        raise OSError(number, os.strerror(number), str(script))

    monkeypatch.setattr(os, "getxattr", without)
    script.chmod(0o775)
    assert fault(script, ROOT_ONLY) is None


def test_a_list_that_cannot_be_read_or_understood_is_not_called_right(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(script))

    script.chmod(0o775)
    monkeypatch.setattr(os, "getxattr", refused)
    assert fault(script, ROOT_ONLY) == f"{script}: Permission denied"
    monkeypatch.setattr(os, "getxattr", lambda *_, **__: b"\1\0\0\0")
    assert fault(script, ROOT_ONLY) == f"the access control list of {script} is not understood"


@pytest.mark.parametrize("content", [b"", b"\2", b"\3\0\0\0", acl()[:-1], acl() + b"x"])
def test_a_list_of_another_form_is_none(content: bytes) -> None:
    assert acl_entries(content) is None


def test_root_and_this_user_are_trusted() -> None:
    assert {0, os.geteuid()} <= trusted().users
    assert 0 in trusted().groups
    assert NOBODY not in trusted().users
