"""What the daemon runs as root is only root's to change, or is refused with its line."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from shunt.advisors import registry
from shunt.config import load_located
from shunt.dispatcher import permissions
from shunt.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
dispatcher:
  interface: eth0
  hooks: {folder}/hooks
clusters:
  web:
    address: 192.0.2.10
    ports:
      - port: 80
        servers: [a]
        advisor: [{{type: connect}}, {{type: exec, command: [{folder}/check, "%a"]}}]
servers:
  a:
    address: 192.0.2.21
    metric: {{type: exec, command: [{folder}/measure]}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    (folder / "hooks").mkdir(parents=True)
    for name in ("check", "measure", "hooks/serverDown"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    (folder / "shunt.yaml").write_text(TEXT.format(folder=folder))
    return folder


def found(folder: Path) -> list[str]:
    problems = permissions.faults(load_located(folder / "shunt.yaml"))
    return [f"{each.line}:{each.path}:{each.message}" for each in problems]


def test_what_is_roots_is_right(folder: Path) -> None:
    assert found(folder) == []
    permissions.refuse(load_located(folder / "shunt.yaml"))


@pytest.mark.parametrize(
    ("name", "line"),
    [("shunt.yaml", "1:"), ("hooks", "3:dispatcher.hooks:"), ("hooks/serverDown", "3:"),
     ("check", "6:clusters.web:"), ("measure", "14:servers.a.metric:")],
)  # fmt: skip
def test_what_others_may_write_is_refused_with_its_line(folder: Path, name: str, line: str) -> None:
    (folder / name).chmod(0o777)
    (only,) = found(folder)
    assert only.startswith(line)
    assert f"anybody may write {folder / name}" in only
    with pytest.raises(ConfigError, match="anybody may write"):
        permissions.refuse(load_located(folder / "shunt.yaml"))


def test_a_folder_that_others_may_write_makes_all_in_it_theirs(folder: Path) -> None:
    folder.chmod(0o777)
    assert len(found(folder)) == 4


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a plug-in that says so when it is run."""
    package = tmp_path / "site" / "stranger_advisors"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "mine.py").write_text("raise SystemExit('it was run')\n")
    info = tmp_path / "site" / "stranger-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[shunt.advisors]\nstranger = stranger_advisors.mine:Mine\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry.plug_ins.cache_clear()
    registry.find.cache_clear()
    return package / "mine.py"


def test_a_plug_in_that_others_may_write_is_not_run(plug_in: Path) -> None:
    try:
        with pytest.raises(UsageError, match="it was run"):
            registry.find("stranger")
        for place in (plug_in, plug_in.parent, plug_in.parents[1]):
            before = place.stat().st_mode
            place.chmod(0o777)
            with pytest.raises(UsageError, match=r"is not loaded: .*anybody may write"):
                registry.find("stranger")
            assert "anybody may write" in registry.about("stranger")
            place.chmod(before)
    finally:
        sys.modules.pop("stranger_advisors", None)
        registry.plug_ins.cache_clear()
        registry.find.cache_clear()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of several owners")
def test_another_users_file_is_refused(folder: Path) -> None:
    os.chown(folder / "check", 65534, 65534)
    (only,) = found(folder)
    assert "belongs to nobody" in only
