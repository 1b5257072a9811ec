"""Files that are right and of no use: whoever acts upon them at boot passes over them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from shunt.servers.drivers.linux import facts, files, networkd
from shunt.servers.steps import Output
from tests.servers.drivers.golden import FOLDER, load

if TYPE_CHECKING:
    from pathlib import Path

SYSTEMCTL = """\
#!/bin/sh
case $1 in
    is-enabled) echo "$ENABLED" ;;
    is-active) case $2 in shunt-server.service) echo "$ACTIVE" ;; *) echo inactive ;; esac ;;
esac
"""


def _told(root: Path, **said: str) -> set[str]:
    """Return what the very script says of a host whose files are below `root`."""
    (asked,) = (fact.command.text for fact in facts.facts([]) if fact.name == "managers")
    for folder in ("/run/systemd", "/etc/systemd", "/etc/network", "/etc/NetworkManager"):
        asked = asked.replace(f" {folder}", f" {root}{folder}")
    tool = root / "bin" / "systemctl"
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(SYSTEMCTL)
    tool.chmod(0o755)
    (root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["sh", "-c", asked],
        env={"PATH": f"{tool.parent}:{os.environ['PATH']}", **said},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[-1] == "end"
    return {line.partition("=")[2] for line in lines if line.startswith("unheeded=")}


def _make(root: Path, path: str, mode: int) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")
    file.chmod(mode)


@pytest.mark.parametrize(
    ("path", "mode", "heeded"),
    [
        (files.IF_UP, 0o755, True),
        (files.IF_UP, 0o644, False),  # run-parts(8) takes executables only
        (files.PROFILE, 0o600, True),
        (files.PROFILE, 0o644, False),  # NetworkManager refuses what others may read
        (networkd.OWN[0], 0o644, True),
    ],
)
def test_modes(tmp_path: Path, path: str, mode: int, *, heeded: bool) -> None:
    assert _told(tmp_path) == set()
    _make(tmp_path, path, mode)
    root_is = {p.removeprefix(str(tmp_path)) for p in _told(tmp_path)}
    assert root_is == (set() if heeded else {path})


@pytest.mark.parametrize(
    ("enabled", "active", "heeded"),
    [
        ("enabled", "active", True),
        ("disabled", "active", False),
        ("enabled", "failed", False),  # it would follow nobody's restart
        ("masked", "inactive", False),
        ("", "", False),  # systemd does not answer
    ],
)
def test_the_unit(tmp_path: Path, enabled: str, active: str, *, heeded: bool) -> None:
    _make(tmp_path, files.UNIT, 0o644)
    told = _told(tmp_path, ENABLED=enabled, ACTIVE=active)
    assert bool(told) is not heeded


def test_what_is_not_heeded_is_done_again_and_taken_back_wholly() -> None:
    """Also when the record is lost: the file is Shunt's own and nothing to give back."""
    case = load(FOLDER / "linux" / "script-not-executable.yaml")
    (step,) = case.plan().steps
    assert step.id == f"persist:{files.IF_UP}"
    assert [command.text for command in step.undo] == [f"rm -f {files.IF_UP}"]


def test_a_unit_that_is_off_is_something_to_do() -> None:
    case = load(FOLDER / "linux" / "old-network-manager.yaml")
    written = {
        command.file: command.stdin or ""
        for step in case.plan().steps
        for command in step.do
        if command.file and command.stdin
    }
    lines = [f"{p} {_encoded(written[p]) if p in written else '-'}" for p in files.asked(1)]
    outputs = case.outputs | {"files": Output("\n".join([*lines, "end", ""]))}
    assert not any("persist" in step.id for step in case.plan(outputs).steps)
    managers = outputs["managers"].stdout
    off = Output(managers.replace("end\n", f"unheeded={files.UNIT}\nend\n"))
    ids = [step.id for step in case.plan(outputs | {"managers": off}).steps]
    assert f"persist:{files.UNIT}" in ids


def _encoded(text: str) -> str:
    done = subprocess.run(
        ["base64", "-w", "0"], input=text, capture_output=True, text=True, check=True
    )
    return f"{done.stdout}."


@pytest.mark.parametrize(
    "manager", ["networking", "systemd-networkd", "NetworkManager", "nftables"]
)
def test_the_unit_follows_restart_reload_and_stop_with_start(manager: str) -> None:
    lines = files.UNIT_TEXT.splitlines()
    for key in ("After", "PartOf", "ReloadPropagatedFrom", "WantedBy"):
        assert any(line.startswith(f"{key}=") and f"{manager}.service" in line for line in lines), (
            key
        )
    assert f"ExecReload=/bin/sh {files.SCRIPT}" in lines
