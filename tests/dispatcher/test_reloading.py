"""A configuration is put in force wholly or not at all, whatever refuses and whenever."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from shunt.dispatcher import control, overrides
from shunt.dispatcher.overrides import Override, Overrides
from shunt.dispatcher.reloading import Reloading
from shunt.errors import DataplaneError
from shunt.model.config import Config, Dispatcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.dispatcher.daemon import Daemon

OLD = Config(Dispatcher(("eth0",), hooks="/old"), (), {})
NEW = Config(Dispatcher(("eth0", "eth1"), hooks="/new"), (), {})
CHANGES = Overrides({("192.0.2.10:80/tcp", "a"): Override(quiesced=True)})


class Stub:
    """As much of a daemon as a reload touches; `refusals` are the steps that the kernel refuses."""

    def __init__(self, folder: Path, *refusals: str) -> None:
        self.refusals = list(refusals)
        self.steps: list[str] = []
        self.moved_meanwhile = 0
        self.file = folder / "shunt.yaml"
        self.places = SimpleNamespace(socket=folder / "socket", overrides=folder / "overrides")
        self.engine: Any = SimpleNamespace(
            balancer=SimpleNamespace(moved=100), config=OLD, overrides=CHANGES, watched=lambda: (),
            attach=lambda _, settings: self.step("attach", settings.hooks),
            write_addresses=lambda: self.step("addresses", self.engine.config.dispatcher.hooks),
        )  # fmt: skip
        self.events = SimpleNamespace(hooks=SimpleNamespace(folder=Path("/old")))
        self.watch = SimpleNamespace(watch=lambda _: None, settled=self.settled, neighbours={})
        self.judged_by: list[Config] = []
        self.neighbour_news = SimpleNamespace(
            follow=lambda _, config: self.judged_by.append(config)
        )
        self.health = SimpleNamespace(take=lambda: self.step("health", ""))
        self.announcer = SimpleNamespace(take=lambda _: None)
        self.guardian = SimpleNamespace(keep_to=lambda _: None)
        self.reloading = Reloading(cast("Daemon", self))

    def step(self, name: str, which: str) -> None:
        self.steps.append(f"{name} {which}".strip())
        if name in self.refusals:
            self.refusals.remove(name)
            raise DataplaneError(f"{name}: no memory")

    async def settled(self) -> None:
        self.engine.balancer.moved += self.moved_meanwhile

    async def work(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    async def apply(self) -> int:
        self.step("apply", self.engine.config.dispatcher.hooks)
        self.engine.balancer.moved += 7
        return 7

    def wake(self) -> None:
        self.step("wake", "")

    def addresses(self) -> tuple[()]:
        return ()

    def attend(self) -> None:
        self.step("attend", "")


@pytest.fixture(autouse=True)
def _permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "permit", lambda *_: None)
    monkeypatch.setattr("shunt.dispatcher.reloading.links", tuple)


async def put(stub: Stub) -> int:
    return await stub.reloading._put_in_force(NEW, ())


async def test_what_is_right_is_in_force_and_changes_without_a_place_are_forgotten(
    tmp_path: Path,
) -> None:
    stub = Stub(tmp_path)
    assert await put(stub) == 7
    assert stub.steps == ["attach /new", "apply /new", "addresses /new", "health", "attend"]
    assert stub.engine.config is NEW
    assert stub.judged_by == [NEW], "its pins are held against who answers"
    assert stub.events.hooks.folder == Path("/new")
    assert overrides.read(tmp_path / "overrides") == Overrides({})


async def test_what_a_neighbours_news_puts_in_force_meanwhile_is_counted(tmp_path: Path) -> None:
    stub = Stub(tmp_path)
    stub.moved_meanwhile = 18_718
    assert await put(stub) == 18_725


@pytest.mark.parametrize("refused", ["attach", "apply", "addresses"])
async def test_what_the_kernel_refuses_is_taken_back(refused: str, tmp_path: Path) -> None:
    stub = Stub(tmp_path, refused)
    with pytest.raises(DataplaneError, match=f"{refused}: no memory"):
        await put(stub)
    assert stub.steps[-3:] == ["attach /old", "apply /old", "addresses /old"]
    assert stub.engine.config is OLD
    assert stub.judged_by == [OLD]
    assert stub.engine.overrides is CHANGES
    assert stub.events.hooks.folder == Path("/old")
    assert not (tmp_path / "overrides").exists()


async def test_what_cannot_be_taken_back_is_tried_again(tmp_path: Path) -> None:
    stub = Stub(tmp_path, "apply", "apply")
    with pytest.raises(DataplaneError):
        await put(stub)
    assert stub.steps[-1] == "wake"
    assert stub.engine.config is OLD
