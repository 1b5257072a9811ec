"""Scripts: run in order with their words, none forgotten, none waited for in vain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shunt.dispatcher.hooks import Hooks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within 20 s")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def test_scripts_run_one_after_another_with_arguments_and_reasons(tmp_path: Path) -> None:
    said = tmp_path / "said"
    script(tmp_path, "serverDown", f'sleep 0.2; echo "down $* $SHUNT_REASON" >> {said}')
    script(tmp_path, "serverUp", f'echo "up $*" >> {said}; exit 3')
    hooks = Hooks(tmp_path)
    task = asyncio.create_task(hooks.run())
    hooks.fire("serverDown", ["192.0.2.10", "80", "a"], {"SHUNT_REASON": "refused; $(x)"})
    hooks.fire("serverUp", ["192.0.2.10", "80", "a b"])
    hooks.fire("managerAlert", [])
    await until(lambda: len(lines(said)) == 2)
    assert lines(said) == [
        "down 192.0.2.10 80 a refused; $(x)", "up 192.0.2.10 80 a b",
    ]  # fmt: skip
    await until(lambda: hooks.failed == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("text", ["sleep 60 & sleep 60", "exec sleep 60"])
async def test_a_script_that_hangs_is_ended_and_the_next_one_runs(
    tmp_path: Path, text: str
) -> None:
    script(tmp_path, "serverDown", text)
    script(tmp_path, "serverUp", f"echo up >> {tmp_path}/said")
    (tmp_path / "managerAlert").write_text("not a program")
    hooks = Hooks(tmp_path, longest=0.2)
    task = asyncio.create_task(hooks.run())
    for name in ("serverDown", "managerAlert", "serverUp"):
        hooks.fire(name, [])
    await until(lambda: lines(tmp_path / "said") == ["up"])
    assert hooks.failed == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
