"""Who may change a file: every folder on the way counts, and every link. Needs root for owners."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shunt.trust import Trusted, fault, trusted

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


def test_root_and_this_user_are_trusted() -> None:
    assert {0, os.geteuid()} <= trusted().users
    assert 0 in trusted().groups
    assert NOBODY not in trusted().users
