"""Loops that turn on after what passes, end by what does not, and are told by their age."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from shunt.cli.status_alarms import alarms, alive
from shunt.dispatcher.alive import Age, Loops
from shunt.dispatcher.limited_log import LimitedLog
from shunt.dispatcher.notify import fed_every, feed
from shunt.errors import ControlError, DataplaneError, HostError, NetworkError, passes
from tests.dispatcher.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shunt.dispatcher.alive._AGAIN", 0.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [
    OSError(errno.EMFILE, "Too many open files"),
    NetworkError("netlink: no buffer space", errno=errno.ENOBUFS),
    DataplaneError("no memory", errno=errno.ENOMEM),
], ids=["descriptors", "buffers", "memory"])  # fmt: skip
async def test_what_passes_is_said_once_and_tried_again(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, turns = Clock(), 0
    loops = Loops(clock, LimitedLog(clock=clock))

    async def turn() -> float:
        nonlocal turns
        turns += 1
        if turns <= 50:
            raise error
        assert loops.ages()["sweep"].failing == str(error)
        return 3600.0

    running = asyncio.create_task(loops.turns("sweep", turn, limit=60.0))
    await until(lambda: turns == 51)
    assert loops.ages()["sweep"].failing is None
    running.cancel()
    assert capsys.readouterr().out.count("failed for now") == 1


@pytest.mark.parametrize("error", [
    DataplaneError("no such map", errno=errno.EBADF),
    HostError("not permitted"),
    OSError(errno.EPERM, "Operation not permitted"),
])  # fmt: skip
async def test_what_does_not_pass_ends_the_loop_and_lets_systemd_start_anew(
    error: Exception,
) -> None:
    async def turn() -> float:
        raise error

    with pytest.raises((ControlError, DataplaneError)) as caught:
        await Loops(Clock()).turns("sweep", turn, limit=60.0)
    assert str(error) in str(caught.value)
    assert caught.value.exit_code == 1, "2 would say that nobody need try again"


def test_a_cause_says_whether_it_passes() -> None:
    full = HostError("cannot write the file")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert passes(full)
    assert not passes(HostError("cannot write the file"))


async def test_a_loop_that_hangs_is_known_by_its_age() -> None:
    clock = Clock()
    loops = Loops(clock)

    async def hang() -> float:
        await asyncio.Event().wait()
        return 0.0

    running = asyncio.create_task(loops.turns("sweep", hang, limit=60.0))
    await asyncio.sleep(0)
    clock.now = 59.0
    assert not loops.ages()["sweep"].overdue
    clock.now = 61.0
    assert loops.ages()["sweep"].overdue
    running.cancel()


def test_checks_are_judged_by_the_one_that_is_late() -> None:
    assert not Age(300.0, 10.0, late=0.0).overdue, "all have long intervals"
    assert Age(0.0, 10.0, late=11.0).overdue, "one hangs while others go on"
    assert not Age(None, 10.0, late=0.0).overdue


def test_the_end_of_work_is_an_alarm() -> None:
    loops = {
        "checks": Age(0.21, 10.0, late=0.0).document(),
        "sweep": Age(75.0, 60.0).document(),
        "neighbours": Age(0.1, 15.0, "netlink: too many open files").document(),
    }
    assert alive(loops) == "last check 0.2 s ago, sweep 75 s ago, neighbours read 0.1 s ago"
    document = {
        "loops": loops, "missing_interfaces": ["eth0", "eth7"], "server_macs": [],
        "refused_interfaces": {"eth1": "it already carries another program"},
        "held": [{"address": "192.0.2.10", "interface": "lo", "remedy": "ip address del it"}],
    }  # fmt: skip
    swept, read, gone, refused, held = alarms(
        {"daemon": document, "interfaces": {"eth0": {"mode": "gone"}}}
    )
    assert refused.startswith("interface eth1: it already carries another program")
    assert "ip address del it" in held
    assert "eth7" in gone
    assert swept.startswith("the sweep that settles slots: nothing for 75 s")
    assert "netlink: too many open files" in read
    assert len(alarms({"daemon": None})) == 1


@pytest.mark.parametrize(("environment", "every"), [
    ({}, None),
    ({"WATCHDOG_USEC": "0"}, None),
    ({"WATCHDOG_USEC": "thirty"}, None),
    ({"WATCHDOG_USEC": "3000000"}, 1.0),
    ({"WATCHDOG_USEC": "30000000"}, 5.0),
    ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
    ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.0),
])  # fmt: skip
def test_signs_of_life_are_as_frequent_as_is_asked(
    environment: dict[str, str], every: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert fed_every() == every


async def test_signs_of_life_end_with_any_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    monkeypatch.setenv("WATCHDOG_USEC", "3000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    looks, age = 0, Age(1.0, 15.0)

    def ages() -> dict[str, Age]:
        nonlocal looks
        looks += 1
        return {"checks": Age(1.0, 10.0, late=0.0), "neighbours": age}

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.setblocking(False)
        feeding = asyncio.create_task(feed(ages))
        await until(lambda: looks > 2)
        assert manager.recv(100) == b"WATCHDOG=1"
        age = Age(16.0, 15.0)
        before = looks
        await until(lambda: looks > before + 1)
        while True:
            try:
                manager.recv(100)
            except BlockingIOError:
                break
        before = looks
        await until(lambda: looks > before + 2)
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        feeding.cancel()
