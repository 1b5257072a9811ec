"""The dispatcher's own files: whatever the umask, through no link, whole or not at all."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from shunt.dispatcher import files
from shunt.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = 65534


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    files.make_folder(folder)
    files.write_whole(folder / "x.json", "{}")
    assert (mode(folder.parent), mode(folder), mode(folder / "x.json")) == (0o755, 0o755, 0o600)


def test_a_folder_of_others_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(HostError, match="anybody may write") as caught:
        files.make_folder(folder)
    assert f"chmod 755 {folder}" in (caught.value.hint or "")
    folder.chmod(0o755)
    files.make_folder(folder)
    assert mode(folder) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of several owners")
def test_a_folder_that_belongs_to_another_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(HostError, match="belongs to nobody"):
        files.make_folder(folder)


def test_a_link_in_the_drafts_place_is_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "health.json"
    victim.write_text("precious")
    files.draft_of(path).symlink_to(victim)
    files.write_whole(path, "new")
    assert victim.read_text() == "precious"
    assert path.read_text() == "new"
    assert not path.is_symlink()


def test_a_link_that_comes_back_at_once_is_not_followed_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "health.json"
    victim.write_text("precious")
    draft = files.draft_of(path)
    draft.symlink_to(victim)
    monkeypatch.setattr(type(path), "unlink", lambda *_args, **_more: None)
    with pytest.raises(OSError, match="exists"):
        files.write_whole(path, "new")
    assert victim.read_text() == "precious"


def test_a_link_in_the_files_place_is_replaced(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "health.json"
    victim.write_text("precious")
    path.symlink_to(victim)
    files.write_whole(path, "new", durable=True)
    assert (victim.read_text(), path.read_text()) == ("precious", "new")


def test_a_write_that_fails_leaves_the_old_content_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write_whole(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
