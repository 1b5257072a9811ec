"""`shunt lab`: what stands is listed, entered and removed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shunt.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab
SHUNT = str(Path(sys.executable).with_name("shunt"))


def shunt(*words: str, status: int = 0) -> str:
    done = subprocess.run([SHUNT, "lab", *words], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


@pytest.fixture
def kept() -> Iterator[str]:
    with Lab.create(keep=True) as lab:
        lab.segment("lan")
        lab.join(lab.host("client"), "lan", addresses=["192.0.2.1/24"])
    yield lab.ident
    lab.down()


def test_a_kept_laboratory_is_listed(kept: str) -> None:
    assert kept in shunt("list")
    (found,) = (each for each in json.loads(shunt("list", "--json")) if each["id"] == kept)
    assert found["state"] == "kept"
    assert found["hosts"] == {"client": ["192.0.2.1/24"]}


def test_a_command_runs_inside_and_gives_its_status(kept: str) -> None:
    assert "192.0.2.1/24" in shunt("exec", "--lab", kept, "client", "--", "ip", "-br", "address")
    shunt("exec", "client", "--lab", kept, "--", "sh", "-c", "exit 7", status=7)


def test_a_host_or_laboratory_that_is_not_there(kept: str) -> None:
    assert "its hosts: client" in shunt("exec", "--lab", kept, "x", "--", "true", status=2)
    assert "no laboratory 'nosuch'" in shunt("down", "nosuch", status=1)


def test_an_empty_name_is_nobodys(kept: str) -> None:
    """A script with an empty variable must not remove the one that stands."""
    assert "no laboratory ''" in shunt("down", "", status=1)
    assert kept in shunt("list")


def test_without_capabilities_it_says_which(kept: str) -> None:
    bare = ["setpriv", "--inh-caps", "-all,+net_raw", "--bounding-set", "-all,+net_raw"]
    words = [*bare, SHUNT, "lab", "down", kept]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "CAP_NET_ADMIN and CAP_SYS_ADMIN" in done.stderr


def test_down_removes_what_it_said_it_would(kept: str) -> None:
    assert f"would remove {kept}" in shunt("down", kept, "--dry-run")
    assert kept in shunt("list")
    assert json.loads(shunt("down", kept, "--json"))["removed"] == [kept]
    assert kept not in shunt("list")


def test_all_spares_the_laboratories_in_use(lab: Lab, kept: str) -> None:
    would = json.loads(shunt("down", "--all", "--dry-run", "--json"))["would_remove"]
    assert kept in would
    assert lab.ident not in would
