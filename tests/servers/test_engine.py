"""The engine with a driver of its own: files in a directory instead of a network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ParseError, RemoteError, StillRunningError
from shunt.model.config import OperatingSystem, Server
from shunt.servers import apply, proof, record
from shunt.servers.runners.local import LocalRunner
from shunt.servers.steps import Command, Fact, Item, Output, Plan, Step
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

    def inventory(self, observed: frozenset[str]) -> tuple[Item, ...]:
        return tuple(Item(name, steps=frozenset((name,))) for name in sorted(observed))

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
    for module in (apply, proof):
        monkeypatch.setattr(module, "driver_for", lambda system: files)
    return files


def _kept(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "record.json"
    if not path.exists():
        return ()
    return tuple(entry.id for entry in record.parse(Output(path.read_text())).entries)


async def _apply(events: list[Event] | None = None, wish: Wish = WISH) -> apply.Result:
    async with LocalRunner() as runner:
        return await apply.apply(runner, wish, (events if events is not None else []).append)


async def _remove(*, forget: bool = False) -> apply.Result:
    async with LocalRunner() as runner:
        return await apply.remove(runner, WISH, lambda _: None, forget=forget)


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


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), TypeError("x"), IndexError("x")])
@pytest.mark.parametrize("method", ["observe", "plan"])
async def test_what_a_driver_stumbles_over_is_a_host_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str
) -> None:
    files = _driver(tmp_path, monkeypatch, "a")

    def stumble(*_: object) -> None:
        raise error

    monkeypatch.setattr(files, method, stumble)
    with pytest.raises(RemoteError, match="was not understood") as caught:
        await _apply()
    assert caught.value.__cause__ is error


class _Lost(LocalRunner):
    """A runner that does not see how a command with a certain text ends."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    async def run(self, command: Command) -> Output:
        output = await super().run(command)
        if self._text in (command.stdin or ""):
            raise StillRunningError("the connection broke")
        return output


async def test_what_may_still_be_running_is_not_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _driver(tmp_path, monkeypatch, "silence:a", "b")
    with pytest.raises(StillRunningError, match="nobody saw it end, so nothing was undone"):
        await apply.apply(_Lost(f"cp /dev/stdin {files.directory}/b"), WISH, lambda _: None)
    assert files.present == {"silence:a", "b"}
    assert _kept(tmp_path) == ("silence:a", "b")


async def test_silence_stays_where_something_could_not_be_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("silence:a", "b", "c")
    files = _driver(tmp_path, monkeypatch, *names, broken=frozenset({"c"}), stuck=frozenset({"b"}))
    with pytest.raises(RemoteError, match="could not be undone: make b"):
        await _apply()
    assert files.present == {"silence:a", "b"}
    assert _kept(tmp_path) == ("silence:a", "b")


async def test_a_typed_wish_takes_back_no_address_that_it_does_not_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (f"alias:192.0.2.{number}" for number in (10, 11))
    files = _driver(tmp_path, monkeypatch, first)
    await _apply()
    _driver(tmp_path, monkeypatch, second)
    typed = Wish(Server("s", ()), (IPv4Address("192.0.2.11"),), only=False)
    refused = await _apply(wish=typed)
    assert refused.done == ()
    assert "for 192.0.2.10, too" in refused.now.plan.findings[0].what
    assert files.present == {first}
    _driver(tmp_path, monkeypatch, first, second)
    both = replace(typed, clusters=(CLUSTER, *typed.clusters))
    assert (await _apply(wish=both)).now.settled
    _driver(tmp_path, monkeypatch, second)
    assert (await _apply(wish=replace(typed, only=True))).done == (f"undid: make {first}",)
    assert files.present == {second}


async def test_remove_goes_on_where_something_cannot_be_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is independent; silence stays, for an address may be left."""
    names = ("silence:a", "older", "b", "c")
    files = _driver(tmp_path, monkeypatch, *names, stuck=frozenset({"b"}))
    await _apply()
    for _ in range(2):
        with pytest.raises(
            RemoteError, match=r"stays on the record: make b \(`false` failed"
        ) as told:
            await _remove()
        assert "--forget" in (told.value.hint or "")
        assert files.present == {"silence:a", "b"}
        assert _kept(tmp_path) == ("silence:a", "b")
    result = await _remove(forget=True)
    assert files.present == {"b"}
    assert _kept(tmp_path) == ()
    assert result.done == ("undid: make silence:a",)
    assert [finding.what for finding in result.now.plan.findings] == [
        "not undone, and forgotten: make b"
    ]
    assert not result.now.settled


async def test_what_goes_with_something_stale_is_done_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a manager takes the addresses of a profile away with the profile."""
    files = _driver(tmp_path, monkeypatch, "a")
    await _apply()
    stale = Step("alias:192.0.2.99", "", "", (), (), (Command(("rm", f"{files.directory}/a")),))
    path = tmp_path / "record.json"
    path.write_text(record.parse(Output(path.read_text())).with_steps([stale]).dump())
    result = await _apply(wish=replace(WISH, only=True))
    assert files.present == {"a"}
    assert result.now.settled
    assert "make a" in result.done
