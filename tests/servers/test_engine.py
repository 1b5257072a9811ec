"""The engine with a driver of its own: files in a directory instead of a network."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ParseError, RemoteError
from shunt.model.config import OperatingSystem, Server
from shunt.servers import apply, record
from shunt.servers.runners.local import LocalRunner
from shunt.servers.steps import Command, Fact, Output, Plan, Step
from shunt.servers.wish import Wish

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shunt.servers.apply import Event

CLUSTER = IPv4Address("192.0.2.10")
WISH = Wish(Server("s", ()), (CLUSTER,))


@dataclass
class Files:
    """A driver that wants files to be there; `broken` are those that come out wrong."""

    directory: Path
    names: tuple[str, ...]
    broken: frozenset[str] = frozenset()
    stuck: frozenset[str] = frozenset()
    system: OperatingSystem = OperatingSystem.LINUX

    def facts(self, wish: Wish) -> tuple[Fact, ...]:
        return (Fact("there", Command.sh(f"ls {self.directory}; echo end")),)

    def observe(self, wish: Wish, outputs: Mapping[str, Output]) -> frozenset[str]:
        *names, end = outputs["there"].stdout.split()
        if end != "end":
            raise ParseError("cut off")
        return frozenset(names)

    def unseen(self, wish: Wish) -> frozenset[str]:
        return frozenset()

    def plan(self, observed: frozenset[str], wish: Wish) -> Plan:
        return Plan(tuple(self._step(name) for name in self.names if name not in observed))

    def _step(self, name: str) -> Step:
        path = self.directory / name
        wanted = "no" if name in self.broken else "yes"
        undo = Command(("false",)) if name in self.stuck else Command(("rm", "-f", str(path)))
        return Step(
            id=name,
            what=f"make {name}",
            why="it is a test",
            do=(Command(("cp", "/dev/stdin", str(path)), "yes"),),
            check=(Command(("grep", "-q", wanted, str(path))),),
            undo=(undo,),
        )

    @property
    def present(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()}


@pytest.fixture(autouse=True)
def _own_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "path", lambda wish: str(tmp_path / "record.json"))


def _driver(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *names: str,
    broken: frozenset[str] = frozenset(),
    stuck: frozenset[str] = frozenset(),
) -> Files:
    directory = tmp_path / "host"
    directory.mkdir(exist_ok=True)
    files = Files(directory, names, broken, stuck)
    monkeypatch.setattr(apply, "driver_for", lambda system: files)
    return files


def _kept(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "record.json"
    if not path.exists():
        return ()
    return tuple(entry.id for entry in record.parse(Output(path.read_text())).entries)


async def _apply(events: list[Event] | None = None) -> apply.Result:
    async with LocalRunner() as runner:
        return await apply.apply(runner, WISH, (events if events is not None else []).append)


async def _remove() -> apply.Result:
    async with LocalRunner() as runner:
        return await apply.remove(runner, WISH, lambda _: None)


async def test_apply_twice_then_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = _driver(tmp_path, monkeypatch, "a", "b")
    events: list[Event] = []
    assert (await _apply(events)).done == ("make a", "make b")
    assert [event.text for event in events if event.stage is apply.Stage.DOING] == [
        "make a",
        "make b",
    ]
    assert (await _apply()).done == ()
    assert _kept(tmp_path) == ("a", "b")
    await _remove()
    assert files.present == set()
    assert _kept(tmp_path) == ()


async def test_a_check_that_fails_undoes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _driver(tmp_path, monkeypatch, "a", "b", "c", broken=frozenset({"b"}))
    with pytest.raises(RemoteError, match=r"grep -q no .* failed.*; everything was undone"):
        await _apply()
    assert files.present == set()
    assert _kept(tmp_path) == ()


async def test_what_could_not_be_undone_stays_on_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _driver(
        tmp_path, monkeypatch, "a", "b", broken=frozenset({"b"}), stuck=frozenset({"a"})
    )
    with pytest.raises(RemoteError, match="could not be undone: make a"):
        await _apply()
    assert files.present == {"a"}
    assert _kept(tmp_path) == ("a",)


async def test_an_older_undo_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = _driver(tmp_path, monkeypatch, "a")
    await _apply()
    (files.directory / "a").unlink()
    _driver(tmp_path, monkeypatch, "a", stuck=frozenset({"a"}))
    await _apply()
    await _remove()
    assert files.present == set()


async def test_a_host_whose_answer_is_not_understood_is_a_host_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _driver(tmp_path, monkeypatch, "a")
    monkeypatch.setattr(
        files, "facts", lambda wish: (Fact("there", Command.sh("echo something else")),)
    )
    with pytest.raises(RemoteError, match="cut off"):
        await _apply()
    assert files.present == set()
