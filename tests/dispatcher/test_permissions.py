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
    from collections.abc import Iterator
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


RUN = "raise SystemExit('it was run')\n"
PACKAGE = {"__init__.py": "", "sub/__init__.py": "", "sub/mod.py": RUN, "helper.py": "",
           "data.txt": "", "other/deep/__init__.py": ""}  # fmt: skip


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package that has a plug-in in `sub.mod`."""
    site = tmp_path / "site"
    info = site / "stranger-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[shunt.advisors]\nstranger = strangers_package.sub.mod:Mine\n"
    )
    package = site / "strangers_package"
    for name, text in PACKAGE.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(str(site))
    registry.plug_ins.cache_clear()
    registry.find.cache_clear()
    yield package
    for name in [name for name in sys.modules if name.startswith("strangers_package")]:
        del sys.modules[name]
    registry.plug_ins.cache_clear()
    registry.find.cache_clear()


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    "name",
    ["__init__.py", "sub/__init__.py", "sub/mod.py", "helper.py", "other/deep/__init__.py", "sub",
     "other/deep", "__pycache__/helper.cpython-311.pyc", "fast.so"],
)  # fmt: skip
def test_any_code_of_a_plug_ins_package_that_others_may_write_is_noticed(
    strangers: Path, name: str, *, linked: bool
) -> None:
    with pytest.raises(UsageError, match="it was run"):
        registry.find("stranger")
    place = strangers / name
    place.parent.mkdir(exist_ok=True)
    if not place.is_dir():
        place.touch()
    if linked and name != "__init__.py":  # a folder or a file that a link leads to
        first = place.relative_to(strangers).parts[0]
        elsewhere = strangers.parents[1] / "elsewhere"
        (strangers / first).rename(elsewhere)
        (strangers / first).symlink_to(elsewhere)
    place.chmod(0o777)
    with pytest.raises(UsageError, match=r"is not loaded: .*anybody may write"):
        registry.find("stranger")


def test_a_package_without_an_init_is_looked_at_as_well(strangers: Path) -> None:
    (strangers / "__init__.py").unlink()
    (strangers / "sub" / "mod.py").chmod(0o666)
    with pytest.raises(UsageError, match=r"is not loaded: .*anybody may write"):
        registry.find("stranger")


def test_links_in_a_circle_and_data_that_is_no_code_are_no_fault(strangers: Path) -> None:
    (strangers / "sub" / "up").symlink_to(strangers)
    (strangers / "data.txt").chmod(0o666)
    with pytest.raises(UsageError, match="it was run"):
        registry.find("stranger")


def test_a_package_with_too_many_files_is_not_loaded(
    strangers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert strangers.is_dir()
    monkeypatch.setattr(registry, "_MAX_PLACES", 3)
    with pytest.raises(UsageError, match=r"is not loaded: .*more than 3 files"):
        registry.find("stranger")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of several owners")
def test_another_users_file_is_refused(folder: Path) -> None:
    os.chown(folder / "check", 65534, 65534)
    (only,) = found(folder)
    assert "belongs to nobody" in only
