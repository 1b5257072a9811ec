"""What a script finds on a Unix system: over the answers of the golden cases, by real shells."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.registry import driver_for
from shunt.servers.drivers.unix.driver import UnixDriver
from shunt.servers.scripts.traps_unix import UnixTraps

from ..bourne import NOT_BOURNE, SHELLS  # noqa: TID252  # a sibling of this folder
from .golden import CASES, Case

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.servers.steps import Step

SYSTEMS = [s for s in OperatingSystem if isinstance(driver_for(s), UnixDriver)]


def case(system: OperatingSystem, name: str) -> Case:
    return next(c for c in CASES if c.system is system and c.name == name)


def traps(case: Case) -> list[Step]:
    driver = driver_for(case.system)
    assert isinstance(driver, UnixDriver)
    found = UnixTraps(driver)
    four = [address for address in case.wish.clusters if address.version == 4]
    return [
        s for a in four for part in (found.first, found.before_alias, found.last) for s in part(a)
    ]


def missing(case: Case, folder: Path, shell: str, **programs: str) -> list[str]:
    """Return the kinds of traps that the checks find; programs play those of the system."""
    for name in ("interfaces", "routes4"):
        (folder / name).write_text(case.outputs[name].stdout)
    names = "Name Mtu Network Address\\nlo0 4136 none 127.0.0.1"
    netstat = f"case $* in -in*) printf '{names}\\n' ;; *) cat {folder}/routes4 ;; esac"
    played = {"ifconfig": f"cat {folder}/interfaces", "netstat": netstat} | programs
    for name, text in played.items():
        path = folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    env = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    found = []
    for step in traps(case):
        for command in step.check:
            assert not NOT_BOURNE.search(command.text)
            done = subprocess.run(
                [*shell.split(), "-c", command.text],
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert "rror" not in done.stderr, done.stderr
            if done.returncode:
                found.append(step.id.partition(":")[0])
    return found


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_traps_are_found_where_they_are(
    system: OperatingSystem, shell: str, tmp_path: Path
) -> None:
    done = case(system, "done")
    assert missing(done, tmp_path, shell) == []
    shown = done.outputs["interfaces"].stdout
    wide = re.sub(r"(192\.0\.2\.10(?:/| netmask (?:0x)?))(32|ffffffff)", _wider, shown)
    assert wide != shown
    (tmp_path / "other").write_text(wide)
    assert missing(done, tmp_path, shell, ifconfig=f"cat {tmp_path}/other") == ["narrow"]


def _wider(match: re.Match[str]) -> str:
    return match[1] + {"32": "24", "ffffffff": "ffffff00"}[match[2]]


WIDE = [c for c in CASES if c.system in SYSTEMS and c.name == "wide-mask"]


@pytest.mark.parametrize("wide", WIDE, ids=lambda c: c.id)
def test_extra_routes_are_found_where_the_driver_finds_them(wide: Case, tmp_path: Path) -> None:
    found = set(missing(wide, tmp_path, "dash"))
    assert "narrow" in found
    by_gateway = [s for s in wide.plan().steps if s.id.endswith("@192.0.2.10")]
    assert ("routes" in found) == bool(by_gateway)


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_cannot_be_listed_is_not_clean(system: OperatingSystem, tmp_path: Path) -> None:
    broken = {"ifconfig": "exit 1", "netstat": "exit 1"}
    found = missing(case(system, "done"), tmp_path, "dash", **broken)
    assert {"off-the-wire", "narrow", "routes"} <= set(found)


@pytest.mark.parametrize("name", ["en9", "lo9", "vni9"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_an_address_on_a_wire_is_found(system: OperatingSystem, name: str, tmp_path: Path) -> None:
    """Whatever the interface is called: the loopback and a vni say by a flag what they are."""
    done = case(system, "done")
    text = (
        done.outputs["interfaces"].stdout
        + f"{name}: flags=1<UP>\n\tinet 192.0.2.10 netmask 0xffffff00\n"
    )
    (tmp_path / "other").write_text(text)
    ifconfig = f"cat {tmp_path}/other"
    assert "off-the-wire" in missing(done, tmp_path, "dash", ifconfig=ifconfig)
