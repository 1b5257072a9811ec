"""Scripts: run in order with their words, none forgotten, none waited for in vain."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shunt.dispatcher.hooks import Hooks, Lane
from tests.dispatcher.waiting import until


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def runs(path: Path) -> bool:
    """Return whether the process whose number is in the file is there and no zombie."""
    try:
        stat = Path(f"/proc/{path.read_text().strip()}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_scripts_run_one_after_another_with_arguments_and_reasons(tmp_path: Path) -> None:
    said = tmp_path / "said"
    script(tmp_path, "serverDown", f'sleep 0.2; echo "down $* $SHUNT_REASON" >> {said}')
    script(tmp_path, "serverUp", f'echo "up $*" >> {said}; exit 3')
    hooks = Hooks(tmp_path)
    hooks.fire("serverDown", ["192.0.2.10", "80", "a"], {"SHUNT_REASON": "refused; $(x)"})
    hooks.fire("serverUp", ["192.0.2.10", "80", "a b"])
    hooks.fire("managerAlert", [])
    await hooks.finish(20)
    assert lines(said) == [
        "down 192.0.2.10 80 a refused; $(x)", "up 192.0.2.10 80 a b",
    ]  # fmt: skip
    assert hooks.failed == 1


@pytest.mark.parametrize("text", ["sleep 60 & sleep 60", "exec sleep 60"])
async def test_a_script_that_hangs_is_ended_and_the_next_one_runs(
    tmp_path: Path, text: str
) -> None:
    script(tmp_path, "serverDown", text)
    script(tmp_path, "serverUp", f"echo up >> {tmp_path}/said")
    (tmp_path / "managerAlert").write_text("not a program")
    hooks = Hooks(tmp_path, longest=0.2)
    for name in ("serverDown", "managerAlert", "serverUp"):
        hooks.fire(name, [])
    await until(lambda: lines(tmp_path / "said") == ["up"])
    assert hooks.failed == 2


async def test_what_it_prints_is_logged_in_whole_up_to_a_limit(tmp_path: Path) -> None:
    script(tmp_path, "serverDown", "printf one; sleep 0.2; echo , two >&2; echo three")
    script(tmp_path, "serverUp", "head -c 200000 /dev/zero | tr '\\0' x; sleep 0.1; echo end")
    script(tmp_path, "managerAlert", "echo before; sleep 60")
    hooks = Hooks(tmp_path, longest=2)
    with capture_logs() as logs:
        for name in ("serverDown", "serverUp", "managerAlert"):
            hooks.fire(name, [])
        await hooks.finish(20)
    down, up, alert = logs
    assert (down["name"], down["code"], down["said"]) == ("serverDown", 0, "one, two\nthree")
    assert (up["name"], up["code"], set(up["said"])) == ("serverUp", 0, {"x"})
    assert 10_000 < len(up["said"]) < 100_000
    assert "too long" in alert["event"]
    assert alert["said"] == "before"


async def test_a_lane_of_scripts_does_not_wait_for_another(tmp_path: Path) -> None:
    script(tmp_path, "foreignArp", f"echo x >> {tmp_path}/claims; sleep 60")
    script(tmp_path, "serverDown", f'echo "$*" >> {tmp_path}/said')
    hooks = Hooks(tmp_path)
    for _ in range(300):
        hooks.fire("foreignArp", [], lane=Lane.CLAIMS)
    await until(lambda: lines(tmp_path / "claims") == ["x"])
    hooks.fire("serverDown", ["a"])
    await until(lambda: lines(tmp_path / "said") == ["a"])
    assert lines(tmp_path / "claims") == ["x"]
    await hooks.finish(0)


async def test_what_is_left_out_is_counted_and_said_twice_not_each_time(tmp_path: Path) -> None:
    script(tmp_path, "foreignArp", f"echo x >> {tmp_path}/claims; cat {tmp_path}/gate")
    os.mkfifo(tmp_path / "gate")
    hooks = Hooks(tmp_path, waiting=2)
    with capture_logs() as logs:
        hooks.fire("foreignArp", [])
        await until(lambda: lines(tmp_path / "claims") == ["x"])
        for _ in range(100):
            hooks.fire("foreignArp", [])
        assert hooks.left_out == 98
        for count in (2, 3):
            (tmp_path / "gate").write_text("")
            await until(lambda count=count: len(lines(tmp_path / "claims")) == count)  # type: ignore[misc]  # mypy cannot infer it
        hooks.fire("foreignArp", [])
        await hooks.finish(0)
    said = [(line["event"], line.get("count")) for line in logs if "left out" in line["event"]]
    assert said == [
        ("too many scripts wait; more are left out", None),
        ("scripts were left out: too many waited", 98),
        ("scripts are left out: the daemon ends", 1),
    ]
    assert hooks.left_out == 99


async def test_a_script_that_runs_at_the_end_gets_its_time_and_is_logged(tmp_path: Path) -> None:
    script(tmp_path, "goInOp", f"touch {tmp_path}/runs; sleep 0.3; echo done")
    hooks = Hooks(tmp_path)
    with capture_logs() as logs:
        hooks.fire("goInOp", [])
        await until((tmp_path / "runs").exists)
        await hooks.finish(20)
    assert [(line["event"], line["said"]) for line in logs] == [("script", "done")]


async def test_what_takes_too_long_at_the_end_is_ended_and_said(tmp_path: Path) -> None:
    script(tmp_path, "goInOp", f"echo half; echo $$ > {tmp_path}/pid; exec sleep 60")
    script(tmp_path, "goIdle", f"echo x > {tmp_path}/said")
    hooks = Hooks(tmp_path)
    with capture_logs() as logs:
        hooks.fire("goInOp", [])
        hooks.fire("goIdle", [])
        await until((tmp_path / "pid").exists)
        async with asyncio.timeout(20):
            await hooks.finish(0.3)
    assert not (tmp_path / "said").exists()
    assert not runs(tmp_path / "pid")
    assert [line["event"] for line in logs] == [
        "script ended: the daemon ends", "scripts are left out: the daemon ends",
    ]  # fmt: skip
    assert logs[0]["said"] == "half"


@pytest.mark.parametrize("output", ["", "> /dev/null 2>&1"])
async def test_what_a_script_leaves_in_the_background_is_not_waited_for_and_lives(
    tmp_path: Path, output: str
) -> None:
    script(tmp_path, "serverDown", f"sleep 300 {output} & echo $! > {tmp_path}/pid; echo left")
    script(tmp_path, "serverUp", f"echo up >> {tmp_path}/said")
    hooks = Hooks(tmp_path)
    try:
        with capture_logs() as logs:
            hooks.fire("serverDown", [])
            hooks.fire("serverUp", [])
            async with asyncio.timeout(20):
                await until(lambda: lines(tmp_path / "said") == ["up"])
        assert (logs[0]["name"], logs[0]["code"], logs[0]["said"]) == ("serverDown", 0, "left")
        assert runs(tmp_path / "pid")
        assert hooks.failed == 0
    finally:
        os.kill(int((tmp_path / "pid").read_text()), 9)


async def test_words_that_no_environment_can_hold_harm_nobody(tmp_path: Path) -> None:
    script(tmp_path, "serverDown", f"echo x >> {tmp_path}/said")
    hooks = Hooks(tmp_path)
    hooks.fire("serverDown", [], {"SHUNT_REASON": "it answered \0"})
    hooks.fire("serverDown", [])
    await hooks.finish(20)
    assert lines(tmp_path / "said") == ["x", "x"]
    assert hooks.failed == 0


async def test_a_script_that_others_may_write_is_not_run_and_that_is_said_once(
    tmp_path: Path,
) -> None:
    script(tmp_path, "serverDown", f"echo x >> {tmp_path}/said")
    (tmp_path / "serverDown").chmod(0o777)
    hooks = Hooks(tmp_path)
    with capture_logs() as logs:
        for _ in range(3):
            hooks.fire("serverDown", [])
        await hooks.finish(20)
    assert lines(tmp_path / "said") == []
    assert hooks.failed == 3
    assert [line["event"] for line in logs] == ["script refused: others than root may change it"]
    (tmp_path / "serverDown").chmod(0o755)
    hooks.fire("serverDown", [])
    await hooks.finish(20)
    assert lines(tmp_path / "said") == ["x"]
