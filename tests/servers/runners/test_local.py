"""The local runner: outputs, statuses, and what takes too long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shunt.errors import RemoteError
from shunt.servers.runners.local import LocalRunner
from shunt.servers.steps import Command, Output

if TYPE_CHECKING:
    from pathlib import Path


async def test_both_streams_and_the_status_come_back() -> None:
    async with LocalRunner() as runner:
        assert await runner.run(Command.sh("cat; echo no >&2; exit 3", stdin="yes")) == Output(
            "yes", "no\n", 3
        )


async def test_bytes_that_are_no_text_survive() -> None:
    async with LocalRunner() as runner:
        output = await runner.run(Command.sh("printf '\\377'"))
        assert (await runner.run(Command(("od", "-An", "-tx1"), output.stdout))).stdout == " ff\n"


async def test_a_command_that_is_not_there() -> None:
    async with LocalRunner() as runner:
        with pytest.raises(RemoteError, match="could not be started"):
            await runner.run(Command(("no-such-command-here",)))


async def test_what_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    async with LocalRunner(timeout=0.3) as runner:
        with pytest.raises(RemoteError, match="took more than"):
            await runner.run(Command.sh(f"sleep 61 & echo $! > {pid}; wait"))
    async with LocalRunner() as runner:
        child = (await runner.run(Command(("cat", str(pid))))).stdout.strip()
        # Nobody may have waited for it yet: a zombie has ended, too.
        ended = f"! grep -q '^State:[^Z]*$' /proc/{child}/status 2>/dev/null"
        for _ in range(100):
            if (await runner.run(Command.sh(ended))).status == 0:
                return
            await asyncio.sleep(0.02)
    raise AssertionError("the child lives on")


@pytest.mark.parametrize("flood", ["yes", "yes >&2", "yes & yes >&2", "setsid yes"])
async def test_output_without_an_end_is_given_up(flood: str) -> None:
    async with LocalRunner() as runner:
        with pytest.raises(RemoteError, match="printed more than 8 MiB and was given up"):
            await runner.run(Command.sh(f"{flood} & wait"))


async def test_much_output_within_the_limit_comes_whole() -> None:
    async with LocalRunner() as runner:
        output = await runner.run(Command.sh("yes | head -c 8388608"))
    assert len(output.stdout) == 8 << 20


async def test_who_does_not_read_its_input_may_answer() -> None:
    async with LocalRunner() as runner:
        output = await runner.run(Command.sh("exec <&-; echo done", stdin="x" * (1 << 22)))
    assert output == Output("done\n", "", 0)
