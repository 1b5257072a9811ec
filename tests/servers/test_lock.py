"""The lock: one at a time, and nobody waits for the dead."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

import pytest

from shunt.errors import RemoteError, StillRunningError
from shunt.model.config import OperatingSystem, Server
from shunt.servers import lock, record
from shunt.servers.lock import locked
from shunt.servers.runners.local import LocalRunner
from shunt.servers.wish import Wish
from tests.servers.bourne import NOT_BOURNE
from tests.servers.drivers.test_powershell import closed

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.servers.steps import Command, Output

WISH = Wish(Server("s", ()), ())
RUNNER = LocalRunner()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the record and the lock are; both are made there."""
    folder = tmp_path / "state"
    monkeypatch.setattr(record, "path", lambda wish: str(folder / "record.json"))
    return folder


def _change(folder: Path, **fields: object) -> None:
    """Change what the lock says of its holder."""
    file = folder / "record.json.lock/holder"
    stamp, text = file.read_text().split("\n", 1)
    stamp = str(fields.pop("stamp", stamp))
    file.write_text(f"{stamp}\n{json.dumps(json.loads(text) | fields)}\n")


def _is_clean(folder: Path) -> bool:
    return not folder.exists()


def _is_held(folder: Path) -> bool:
    return (folder / "record.json.lock").is_dir()


async def test_one_alone_holds_it_and_nothing_is_left(folder: Path) -> None:
    async with locked(RUNNER, WISH):
        with pytest.raises(RemoteError, match=rf"process {os.getpid()}\) is changing this server"):
            async with locked(RUNNER, WISH):
                pass
    assert _is_clean(folder)


async def test_of_many_at_once_one_gets_it() -> None:
    inside: list[int] = []

    async def one(number: int) -> None:
        async with locked(RUNNER, WISH):
            inside.append(number)
            await asyncio.wait([asyncio.create_task(others.wait())])

    others = asyncio.Event()
    tasks = [asyncio.create_task(one(number)) for number in range(6)]
    refused = 0
    for done in asyncio.as_completed(tasks):
        try:
            await done
        except RemoteError:
            refused += 1
        if refused == len(tasks) - 1:
            others.set()
    assert len(inside) == 1


async def test_it_is_given_back_after_an_error_and_after_ctrl_c(folder: Path) -> None:
    for error in (RemoteError("x"), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            async with locked(RUNNER, WISH):
                raise error
        assert _is_clean(folder)


async def test_it_is_kept_where_something_may_still_be_running(folder: Path) -> None:
    with pytest.raises(StillRunningError):
        async with locked(RUNNER, WISH):
            raise StillRunningError("x")
    assert _is_held(folder)


async def test_a_holder_that_has_died_is_not_in_the_way(folder: Path) -> None:
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    async with locked(RUNNER, WISH) as renewal:
        _change(folder, process=ended.pid, word="dead")
        async with locked(RUNNER, WISH):
            # It has been taken over: whoever had it goes no further.
            assert (await RUNNER.run(renewal)).status != 0
    assert _is_clean(folder)


async def test_a_holder_elsewhere_is_waited_for_until_it_lapses(folder: Path) -> None:
    async with locked(RUNNER, WISH):
        _change(folder, machine="elsewhere", process=1, word="far")
        with pytest.raises(RemoteError, match="is changing this server"):
            async with locked(RUNNER, WISH):
                pass
        _change(folder, stamp="2001 001 00 00 00")
        async with locked(RUNNER, WISH):
            pass


async def test_a_renewal_is_a_sign_of_life(folder: Path) -> None:
    async with locked(RUNNER, WISH) as renewal:
        _change(folder, machine="elsewhere", stamp="2001 001 00 00 00")
        assert (await RUNNER.run(renewal)).status == 0
        with pytest.raises(RemoteError, match="is changing this server"):
            async with locked(RUNNER, WISH):
                pass


async def test_a_lock_without_a_name_is_taken_over(folder: Path) -> None:
    """Whoever made it was killed before it could say its name."""
    (folder / "record.json.lock").mkdir(parents=True)
    async with locked(RUNNER, WISH) as renewal:
        assert (await RUNNER.run(renewal)).status == 0


async def test_a_damaged_lock_is_said(folder: Path) -> None:
    async with locked(RUNNER, WISH):
        (folder / "record.json.lock/holder").write_text("now\n{}\n")
        with pytest.raises(RemoteError, match="lock is damaged"):
            async with locked(RUNNER, WISH):
                pass


def test_processes_of_other_users_are_alive() -> None:
    here = lock._this_machine()
    assert not lock.Holder("w", "me", here, 1, 60).is_gone


async def test_a_bourne_shell_understands_it() -> None:
    texts: list[str] = []

    class Listening(LocalRunner):
        async def run(self, command: Command) -> Output:
            texts.append(command.text)
            return await super().run(command)

    async with locked(Listening(), WISH) as renewal:
        texts.append(renewal.text)
    texts.extend(lock._clearing(WISH, word).text for word in ("", "word"))
    for text in texts:
        assert not NOT_BOURNE.search(text), text


def test_on_windows_a_file_that_must_be_new_is_the_lock() -> None:
    wish = Wish(Server("s", (), os=OperatingSystem.WINDOWS), ())
    mine = lock._holder(30)
    taking, renewal = lock._taking(wish, mine), lock._renewal(wish, mine)
    release = lock._release(wish, mine)
    for command in (taking, renewal, release, lock._clearing(wish, "")):
        assert command.shell == "powershell"
        assert closed(command.text), command.text
    assert "'CreateNew'" in taking.text
    assert "SetSecurityDescriptorSddlForm" in taking.text  # the folder is the administrators'
    assert mine.word in renewal.text
    assert mine.word in release.text
