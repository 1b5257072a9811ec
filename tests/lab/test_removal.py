"""However its owner goes, nothing of a laboratory stays; the machine's own network is untouched."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shunt.errors import LabError
from shunt.lab import reaper
from shunt.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.lab

OWNER = """
import signal, sys
from shunt.lab.lab import Lab
with Lab.create() as lab:
    lab.segment("lan")
    host = lab.host("left")
    lab.join(host, "lan", addresses=["192.0.2.1/24"])
    process = host.start(["sh", "-c", "trap '' TERM INT HUP; echo up; while :; do sleep 600; done"])
    process.wait_until_says("up")
    print(lab.ident, process.pid, flush=True)
    signal.pause()
"""


def traces(ident: str) -> list[str]:
    """Return whatever can be found of a laboratory on this machine."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [
        *(str(path) for path in reaper.namespaces_of(ident)),
        *(line for line in mounts if ident in line),
        *(str(path) for path in reaper.BASE.glob(f"{ident}*")),
    ]


def wait_until(condition: Callable[[], bool], deadline: float = 20) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}/ns/net").exists()


def processes_of(words: str) -> list[int]:
    """Return the processes whose command line ends so."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended just now
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            if line.endswith(words):
                found.append(int(path.name))
    return found


def own_network() -> list[object]:
    """Return the host machine's links, addresses and routes."""
    asked = (("link",), ("address",), ("route", "show", "table", "all"))
    return [
        json.loads(subprocess.run(["ip", "-j", *words], capture_output=True, check=True).stdout)
        for words in asked
    ]


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        yield it
        it.kill()


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_nothing_outlives_an_owner(owner: subprocess.Popen[str], how: str) -> None:
    assert owner.stdout is not None
    ident, pid = owner.stdout.readline().split()
    assert traces(ident)
    assert not gone(int(pid))
    owner.send_signal(signal.Signals[how])
    owner.wait(20)
    wait_until(lambda: not traces(ident) and gone(int(pid)))


def test_the_machine_s_own_network_is_untouched() -> None:
    before = own_network()
    with Lab.create() as lab:
        lab.segment("lan")
        lab.join(lab.host("left"), "lan", addresses=["192.0.2.1/24"])
        during = own_network()
    assert before == during == own_network()


def test_two_laboratories_do_not_meet() -> None:
    with Lab.create() as one, Lab.create() as two:
        for lab in (one, two):
            lab.segment("lan")
            lab.join(lab.host("left"), "lan", addresses=["192.0.2.1/24"])
        two.join(two.host("right"), "lan", addresses=["192.0.2.2/24"])
        ping = ["ping", "-n", "-c1", "-W1", "192.0.2.2"]
        assert one.hosts["left"].run(ping, check=False).status == 1
        assert two.hosts["left"].run(ping, check=False).status == 0
        one.down()
        assert two.hosts["left"].run(ping, check=False).status == 0
    assert not traces(one.ident)
    assert not traces(two.ident)


def test_an_error_removes_even_what_was_to_be_kept() -> None:
    lab = Lab.create(keep=True)
    with pytest.raises(LabError, match="already"), lab:
        lab.segment(lab.host("left").name)
    assert not traces(lab.ident)


def test_a_kept_laboratory_stands_until_it_is_taken_down() -> None:
    with Lab.create(keep=True) as lab:
        lab.segment("lan")
        lab.join(lab.host("left"), "lan", addresses=["192.0.2.1/24"])
        process = lab.hosts["left"].start(["sleep", "600"])
    try:
        with pytest.raises(LabError, match="stands already"):
            Lab.create(lab.ident)
        again = Lab.open(lab.ident)
        assert again.describe().state == "kept"
        assert again.hosts["left"].run(["hostname"]).status == 0
        assert again.peer_port(again.hosts["left"]) == lab.peer_port(lab.hosts["left"])
        assert lab.ident not in Lab.sweep()
        assert process.status is None
    finally:
        Lab.open(lab.ident).down()
        process.wait(5)
    assert not traces(lab.ident)
    with pytest.raises(LabError, match="no laboratory"):
        Lab.open(lab.ident)


def test_what_was_mounted_within_goes_too() -> None:
    with Lab.create() as lab:
        outer = lab.host("left").directory / "outer"
        for place in (outer, outer / "inner"):
            place.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], check=True)
        (outer / "inner" / "file").touch()
    assert not traces(lab.ident)


def test_a_name_is_had_by_one_at_a_time() -> None:
    name = f"t{os.getpid()}"
    with Lab.create(name), pytest.raises(LabError, match="stands already"):
        Lab.create(name)
    Lab.create(name).down()
    assert not traces(name)


def test_down_twice_is_down() -> None:
    lab = Lab.create()
    lab.down()
    lab.down()


def test_sweeping_takes_the_orphans_only() -> None:
    """An orphan without a reaper: the machine was short of memory and that was killed as well."""
    with Lab.create() as alive:
        orphan = Lab.create()
        orphan.host("left")
        (pid,) = processes_of(f"{Path(reaper.__file__).name} {orphan.ident}")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists())
        orphan._release()
        assert orphan.describe().state == "orphan"
        removed = Lab.sweep()
        assert orphan.ident in removed
        assert alive.ident not in removed
        assert not traces(orphan.ident)
        assert traces(alive.ident)
