"""What fails is never read as clean: with programs that all fail nothing is right."""

from __future__ import annotations

import os
import subprocess
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.model.config import OperatingSystem, Server
from shunt.servers.drivers.registry import driver_for
from shunt.servers.drivers.unix.driver import UnixDriver
from shunt.servers.drivers.unix.ipadm import IpadmDriver
from shunt.servers.steps import Severity
from shunt.servers.wish import Wish

from .golden import CASES, Case

if TYPE_CHECKING:
    from pathlib import Path

SYSTEMS = [s for s in OperatingSystem if isinstance(driver_for(s), UnixDriver)]
PROGRAMS = ("arp", "chdev", "dladm", "ifconfig", "ipadm", "lsattr", "ndd", "netstat", "route")
ASKED = {"interfaces", "routes4", "routes6", "arp", "settings", "kept"}
# What these ask of files alone may be answered by nothing: the files need not be there.
FILES = {
    "kept": {"hp-ux", "macos", "netbsd", "openbsd", "solaris10"},
    "settings": {"aix"},
}


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """Return an environment where everything that a system's own program does fails."""
    for name in (*PROGRAMS, "sysctl", "sysrc"):
        path = tmp_path / name
        path.write_text("#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def status(text: str, env: dict[str, str]) -> int:
    done = subprocess.run(["dash", "-c", text], env=env, capture_output=True, check=False)
    return done.returncode


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_question_that_fails_says_so(system: OperatingSystem, broken: dict[str, str]) -> None:
    wish = Wish(Server("s", (), os=system), (ip_address("192.0.2.10"), ip_address("2001:db8::10")))
    for fact in driver_for(system).facts(wish):
        if fact.name in ASKED and system not in FILES.get(fact.name, ()):
            assert status(fact.command.text, broken), fact.name


def test_a_search_that_fails_says_so(broken: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "fgrep").write_text("#!/bin/sh\nexit 2\n")
    (tmp_path / "fgrep").chmod(0o755)
    case = next(c for c in CASES if c.id == "freebsd/clean")
    (asked,) = (f for f in driver_for(case.system).facts(case.wish) if f.name == "elsewhere")
    (tmp_path / "rc.conf").write_text("")
    assert status(asked.command.text.replace("/etc/rc.conf ", f"{tmp_path}/rc.conf "), broken)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.system in SYSTEMS and c.plan().steps], ids=lambda c: c.id
)
def test_no_check_and_no_undo_is_right_while_nothing_can_be_asked(
    case: Case, broken: dict[str, str]
) -> None:
    for step in case.plan().steps:
        if step.id.startswith(("unkeep:", "keep:", "mask:")) and case.system in FILES["kept"]:
            continue  # files
        if step.id == "keep:boot-script" or step.id.startswith("keep:net."):
            continue  # files as well
        for command in (*step.check, *step.undo):
            assert status(command.text, broken), (step.id, command.text)


@pytest.mark.parametrize("system", [s for s in SYSTEMS if s is not OperatingSystem.AIX])
def test_a_host_without_the_known_switches_cannot_be_told(system: OperatingSystem) -> None:
    done = next(c for c in CASES if c.system is system and c.name == "done")
    assert not any("cannot be told" in finding.why for finding in done.plan().findings)
    text = "\n".join(
        line.partition("=")[0] + "=absent" if "=" in line else line
        for line in done.outputs["settings"].stdout.splitlines()
    )
    output = done.outputs | {"settings": type(done.outputs["settings"])(text)}
    findings = [f for f in done.plan(output).findings if "cannot be told" in f.why]
    assert findings
    assert all(finding.severity is Severity.WARNING for finding in findings)


@pytest.mark.parametrize("system", [OperatingSystem.SOLARIS11, OperatingSystem.ILLUMOS])
def test_the_name_of_an_object_tells_addresses_apart(system: OperatingSystem) -> None:
    driver = driver_for(system)
    assert isinstance(driver, IpadmDriver)
    addresses = ["2001:db8:1::10", "2001:db8:2::10", "2001:db8::10", "192.0.2.10", "192.0.2.11"]
    names = {driver.name(ip_address(text)) for text in addresses}
    assert len(names) == len(addresses)
    assert all(len(name) <= 32 for name in names)


def test_unknown_protection_of_links_is_said() -> None:
    done = next(c for c in CASES if c.id == "solaris11/done")
    kept = done.outputs["kept"]
    text = kept.stdout.replace("end\n", "protection=unknown\nend\n")
    plan = done.plan(done.outputs | {"kept": type(kept)(text)})
    assert any("protection" in f.what and f.severity is Severity.WARNING for f in plan.findings)


@pytest.mark.parametrize("system", [OperatingSystem.FREEBSD, OperatingSystem.NETBSD])
def test_a_script_keeps_no_setting_that_this_release_lacks(
    system: OperatingSystem, tmp_path: Path
) -> None:
    """sysctl.conf with an unknown setting is an error of every boot."""
    wish = Wish(Server("s", (), os=system), (ip_address("192.0.2.10"),))
    driver = driver_for(system)
    kept = [
        step
        for step in driver.plan(driver.unseen(wish), wish).steps
        if step.id.startswith("keep:net.")
    ]
    known = kept[0].id.removeprefix("keep:")
    sysctl = tmp_path / "bin" / "sysctl"
    sysctl.parent.mkdir()
    sysctl.write_text(f'#!/bin/sh\ncase "$2" in kern.ostype|{known}) echo 1 ;; *) exit 1 ;; esac\n')
    sysctl.chmod(0o755)
    conf = tmp_path / "sysctl.conf"
    for step in kept:
        for command in (*step.do, *step.check):
            line = command.text.replace("/etc/sysctl.conf", str(conf))
            environment = {"PATH": f"{sysctl.parent}:{os.environ['PATH']}"}
            subprocess.run(["sh", "-c", line], check=True, env=environment)
    assert conf.read_text().splitlines()[1:] == [f"{known}=0"]
