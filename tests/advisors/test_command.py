"""Commands: judged by their own exit code, ended in time, and nobody waits for their pipes."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shunt.advisors import command
from shunt.advisors.check import make
from shunt.advisors.run import Checker, run
from tests.advisors.driving import TARGET

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.advisors.check import Check


def shell(script: str, seconds: float = 60.0) -> Check:
    made = make("exec", {"command": ("/bin/sh", "-c", script)})
    return replace(made, receive_timeout=seconds)


@pytest.mark.parametrize(
    ("script", "up", "words"),
    [("echo 42", True, "load 42"), ("printf 4; sleep 0.2; echo 2; echo more", True, "load 42"),
     ("head -c 300000 /dev/zero | tr '\\0' x", True, "xxx"),
     ("echo no; exit 3", False, "left with 3: no"), ("kill -9 $$", False, "signal 9")],
)  # fmt: skip
async def test_commands_are_believed_by_their_exit_codes(
    script: str, *, up: bool, words: str
) -> None:
    verdict = await run(shell(script), TARGET)
    assert verdict.up is up
    assert words in verdict.words


@pytest.mark.parametrize(
    "script",
    ["sleep 60 & sleep 60",
     "exec cat /dev/zero",  # its pipe is full at the time-out, and for ever
     "setsid sleep 5 & sleep 60"],  # who has left the group holds the pipe
)  # fmt: skip
async def test_a_command_that_is_ended_is_asked_again(script: str) -> None:
    checker = Checker()
    for _ in range(2):
        verdict = await checker.check(shell(script, 0.3), TARGET)
        assert (verdict.up, verdict.words) == (False, "the command was not done within 0.3 s")
    checker.close()


@pytest.mark.parametrize(("code", "words"), [(0, "load 7"), (2, "the command left with 2: 7")])
async def test_a_command_is_not_judged_by_what_it_leaves_in_the_background(
    code: int, words: str, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    verdict = await run(shell(f"sleep 60 & echo $! > {pid}; echo 7; exit {code}"), TARGET)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert (verdict.up, verdict.words) == (code == 0, words)


async def test_a_command_is_given_nothing_of_the_daemons_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    made = make("exec", {"command": ("/usr/bin/env", "-0")})
    assert (await run(made, TARGET)).words == "PATH=/usr/bin:/bin·"


async def test_a_command_that_cannot_be_ended_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "_LAST_WAIT", 0.05)
    held: list[int] = []
    real = os.killpg
    monkeypatch.setattr(os, "killpg", lambda pid, _: held.append(pid))  # as if its disk had gone
    checker = Checker()
    check = shell("exec sleep 60", 0.05)
    assert "was not done within" in (await checker.check(check, TARGET)).words
    for _ in range(2):
        verdict = await checker.check(check, TARGET)
        assert verdict.up is False
        assert f"process {held[0]}, cannot be ended" in verdict.words
    other = await checker.check(shell("exit 0"), TARGET)
    assert other.up
    unending = checker._commands._unending
    real(held[0], signal.SIGKILL)
    (first,) = unending.values()
    await first.wait()
    assert "was not done within" in (await checker.check(check, TARGET)).words
    real(held[1], signal.SIGKILL)
    (second,) = unending.values()
    assert second is not first
    await second.wait()
    checker.close()


async def test_a_program_that_others_may_change_is_not_run_though_it_came_later(
    tmp_path: Path,
) -> None:
    """As one that another user puts into a sticky folder after the file was read."""
    folder, proof = tmp_path / "sticky", tmp_path / "proof"
    folder.mkdir()
    folder.chmod(0o1777)
    program = folder / "check"
    check = make("exec", {"command": (str(program),)})
    checker = Checker()
    absent = await checker.check(check, TARGET)
    assert absent.up is None
    assert f"{program} is not there, and anybody may write {folder}" in absent.words
    program.write_text(f"#!/bin/sh\necho x >> {proof}\n")
    program.chmod(0o755)
    assert (await checker.check(check, TARGET)).up
    assert proof.exists()
    proof.unlink()
    program.chmod(0o777)
    refused = await checker.check(check, TARGET)
    assert (refused.up, refused.words) == (
        None, f"{program} is not run: anybody may write {program}",
    )  # fmt: skip
    assert not proof.exists()
    if os.geteuid() == 0:
        program.chmod(0o755)
        os.chown(program, 65534, 65534)
        assert (await checker.check(check, TARGET)).up is None
        assert not proof.exists()
    checker.close()
