"""What setup installs it does not leave started at boot; what was started before stays so."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WANTS = "etc/systemd/system/multi-user.target.wants"


def services(script: str, *words: str) -> str:
    """Run some shell after `setup/services.sh`; return what it prints."""
    line = f"set -euo pipefail; . setup/services.sh; {script}"
    done = subprocess.run(
        ["bash", "-c", line, "bash", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with a web server and a clock of its own, both started at boot."""
    link(tmp_path / WANTS / "apache2.service", "/lib/systemd/system/apache2.service")
    link(tmp_path / "etc/rc2.d/S01apache2", "../init.d/apache2")
    link(tmp_path / "etc/systemd/system/timers.target.wants/clock.timer", "/lib/systemd/system/x")
    return tmp_path


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def install(machine: Path) -> None:
    """Do what Debian's packages of two servers, a timer and a socket do."""
    for unit, wants in (
        ("nginx.service", "multi-user.target.wants"), ("ssh.service", "multi-user.target.wants"),
        ("exim4-base.timer", "timers.target.wants"), ("dovecot.socket", "sockets.target.wants"),
        ("keys.service", "ssh.service.requires"),
    ):  # fmt: skip
        link(machine / "etc/systemd/system" / wants / unit, f"/lib/systemd/system/{unit}")
    link(machine / "etc/systemd/system/sshd.service", "/lib/systemd/system/ssh.service")
    for level in "2345":
        link(machine / f"etc/rc{level}.d/S01nginx", "../init.d/nginx")
        link(machine / f"etc/rc{level}.d/S03vsftpd", "../init.d/vsftpd")
    link(machine / "etc/rc0.d/K01nginx", "../init.d/nginx")
    link(machine / "etc/systemd/system/masked.service", "/dev/null")
    link(machine / "etc/systemd/system/multi-user.target.wants/masked.service", "/dev/null")


def test_all_that_is_new_is_put_off_and_nothing_else(machine: Path) -> None:
    before = services('starts_at_boot "$1"', str(machine))
    assert before.splitlines() == [
        "script apache2",
        f"unit apache2.service {WANTS}/apache2.service",
        "unit clock.timer etc/systemd/system/timers.target.wants/clock.timer",
    ]
    install(machine)
    after = services('starts_at_boot "$1"', str(machine))
    new = services('newly_started "$1" "$2"', before, after)
    assert {line.split()[1] for line in new.splitlines()} == {
        "nginx.service", "ssh.service", "exim4-base.timer", "dovecot.socket", "keys.service",
        "sshd.service", "nginx", "vsftpd",
    }  # fmt: skip
    services('put_off "$1" "$2"', str(machine), new)
    assert services('starts_at_boot "$1"', str(machine)) == before
    assert (machine / "etc/rc3.d/K01nginx").is_symlink()  # an upgrade does not start it again
    assert (machine / "etc/rc0.d/K01nginx").is_symlink()


def test_nothing_new_puts_nothing_off(machine: Path) -> None:
    before = services('starts_at_boot "$1"', str(machine))
    assert services('newly_started "$1" "$1"', before) == ""
    services('put_off "$1" ""', str(machine))
    assert services('starts_at_boot "$1"', str(machine)) == before


def test_a_machine_without_any_service(tmp_path: Path) -> None:
    assert services('starts_at_boot "$1"', str(tmp_path)) == ""
    install(tmp_path)
    after = services('starts_at_boot "$1"', str(tmp_path))
    assert services('newly_started "" "$1"', after) == after


def test_building_a_wheel_installs_no_service() -> None:
    """Its packages are a compiler's; each other list may bring what listens."""
    lines = (ROOT / "setup/debian-build.txt").read_text().splitlines()
    assert {line for line in lines if not line.startswith("#")} == {
        "clang", "libbpf-dev", "libc6-dev", "llvm", "make", "python3-venv",
    }  # fmt: skip


def test_every_dependency_is_pinned_by_hash_where_the_readme_installs_from() -> None:
    """The wheel is installed without its dependencies: they come from this file only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=!~;\[ ]", each)[0].lower() for each in project["dependencies"]}
    assert wanted <= pinned("setup/runtime.txt")


def test_what_only_builds_the_wheel_is_not_installed_with_it() -> None:
    """A dispatcher needs no build tools; what makes the wheel has a lock of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {re.split(r"[<>=]", each)[0] for each in project["dependency-groups"]["build"]}
    assert wanted <= pinned("setup/build.txt")
    assert pinned("setup/build.txt") & pinned("setup/runtime.txt") == set()


def pinned(file: str) -> set[str]:
    """Return what a lock names; each must have a hash."""
    locked = (ROOT / file).read_text()
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==[^\\\n]*\\\n +--hash=sha256:", locked, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[A-Za-z0-9]", locked, re.MULTILINE))
    return {pin.lower() for pin in pins}


def test_what_people_are_told_to_install_is_pinned_by_its_hash() -> None:
    """A wheel of one's own apart, which brings nothing along."""
    told = [
        line
        for file in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        for line in file.read_text().splitlines()
        if "pip install " in line
    ]
    assert len(told) >= 4
    for line in told:
        assert "--require-hashes -r " in line or "--no-deps " in line, line
