"""The gate and the ending: nothing begins unasked, and nothing is left, by /proc and by ps."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from typing import TYPE_CHECKING

import pytest

from shunt.servers.runners.ending import OPEN, ending, gated, proof
from tests.servers.bourne import NOT_BOURNE

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

PIPE = asyncio.subprocess.PIPE
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


async def _start(word: str, script: str) -> Process:
    """Start a script behind a gate, and return once it asks to be let in."""
    words = gated(("sh", "-c", script), word)
    process = await asyncio.create_subprocess_exec(
        *words, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    assert process.stderr is not None
    assert (await process.stderr.readline()).decode() == f"{word}\n"
    return process


async def _end(word: str, shell: str, way: str) -> str:
    """Run the ending; return what it says."""
    text = ending(word)
    if way == "ps":
        text = text.replace("/proc/self/stat", "/proc/self/none")
    words = ("busybox", "sh") if shell == "busybox" else (shell,)
    process = await asyncio.create_subprocess_exec(*words, "-s", stdin=PIPE, stdout=PIPE)
    out, _ = await process.communicate(text.encode())
    return out.decode()


async def _word() -> str:
    return f"shunt-{secrets.token_hex(8)}"


async def test_without_the_line_nothing_begins() -> None:
    process = await _start(await _word(), "echo begun")
    out, _ = await process.communicate(b"")
    assert (out, process.returncode) == (b"", 1)


async def test_input_and_status_are_those_of_the_command() -> None:
    process = await _start(await _word(), "cat; exit 7")
    out, _ = await process.communicate(f"{OPEN}one\ntwo".encode())
    assert (out, process.returncode) == (b"one\ntwo", 7)


@pytest.mark.parametrize("way", ["proc", "ps"])
@pytest.mark.parametrize("shell", SHELLS)
async def test_children_groups_and_the_deaf_are_ended(shell: str, way: str, tmp_path: Path) -> None:
    word, fifo = await _word(), tmp_path / "fifo"
    # All that live hold the writing end of the output; it is closed when the last one has ended.
    script = (
        "trap '' HUP INT TERM; (sleep 600 &); setsid sleep 600 & "
        f"mkfifo {fifo}; echo ready; cat {fifo}"
    )
    process = await _start(word, script)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(OPEN.encode())
    assert await process.stdout.readline() == b"ready\n"
    assert await _end(word, shell, way) == f"{proof(word)}\n"
    assert await asyncio.wait_for(process.stdout.read(), 30) == b""
    assert await process.wait() != 0


@pytest.mark.parametrize("way", ["proc", "ps"])
async def test_what_is_not_there_has_ended(way: str) -> None:
    word = await _word()
    assert await _end(word, SHELLS[0], way) == f"{proof(word)}\n"


async def test_what_does_not_end_is_not_proven() -> None:
    word = await _word()
    process = await _start(word, "exec sleep 600")
    text = ending(word).replace("kill -KILL", "true")
    ender = await asyncio.create_subprocess_exec("sh", "-s", stdin=PIPE, stdout=PIPE)
    out, _ = await ender.communicate(text.encode())
    assert out.decode().split() == [word, str(process.pid)]
    process.kill()
    await process.wait()


def test_a_bourne_shell_understands_it() -> None:
    assert not NOT_BOURNE.search(ending("shunt-0"))
    assert not NOT_BOURNE.search(" ".join(gated(("true",), "shunt-0")))
