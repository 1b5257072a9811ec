"""What may happen while something else is awaited: replayed, each at its worst moment."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from shunt.dispatcher.commands import Commands
from shunt.dispatcher.control import Client
from shunt.dispatcher.daemon import Daemon
from shunt.dispatcher.following import Following
from shunt.dispatcher.overrides import NOTHING, Override
from shunt.dispatcher.places import places
from shunt.dispatcher.surroundings import Surroundings
from shunt.dispatcher.sweep import Report
from shunt.model.config import Config, Dispatcher
from tests.bpf.world import service
from tests.dispatcher.making import with_members

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

ROOT = Client(user=0, connection=-1)


async def test_slots_that_change_hands_during_a_sweep_end_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep goes on with the report that it was given, and nobody takes that for news."""
    monkeypatch.setattr("shunt.dispatcher.daemon.sweep", lambda _: Report(left=1))
    daemon = Daemon(tmp_path / "shunt.yaml", places(tmp_path))
    balancer = SimpleNamespace(moved=3)
    daemon.engine = cast("Any", SimpleNamespace(
        balancer=balancer, config=Config(Dispatcher(("eth0",)), (), {}), overrides=NOTHING,
        watched=lambda: ("192.0.2.21",), inputs=lambda _: None, apply=lambda _: 9,
    ))  # fmt: skip
    watched: list[object] = []
    daemon.watch = cast("Any", SimpleNamespace(neighbours={}, watch=watched.append))
    taken: list[Report] = []
    quiescing = SimpleNamespace(take=lambda report, *_: taken.append(report))
    swept = asyncio.Event()

    async def work(function: Callable[..., Any], *arguments: Any) -> Any:
        result = function(*arguments)
        if function == daemon._swept:
            swept.set()
            await asyncio.sleep(0)  # here the other one has its turn
        else:
            balancer.moved += result
        return result

    daemon.work = work  # type: ignore[method-assign]
    sweeping = asyncio.create_task(daemon._sweep(cast("Any", quiescing)))
    await swept.wait()
    assert await daemon.apply() == 9
    await sweeping
    assert [report.left for report in taken] == [1]
    assert watched == [("192.0.2.21",)]
    assert daemon.swept is not None
    assert daemon.swept.holds(cast("Any", balancer)) is None, "it says who was elder before"
    balancer.moved = 3
    assert daemon.swept.holds(cast("Any", balancer)) is taken[0]


class Half:
    """As much of a daemon as run-time changes touch; each writing takes a turn of the loop."""

    def __init__(self, *names: str) -> None:
        made = with_members(service("192.0.2.10", 80), *names)
        servers = {name: SimpleNamespace(name=name) for name in names}
        self.engine = SimpleNamespace(
            config=SimpleNamespace(services=(made,), servers=servers), overrides=NOTHING
        )
        self.reloading = SimpleNamespace(lock=asyncio.Lock())

    async def change(self, changed: Any) -> int:
        await asyncio.sleep(0)
        self.engine.overrides = changed
        await asyncio.sleep(0)
        return 0


async def test_changes_at_the_same_time_are_all_in_force() -> None:
    names = "abcdefgh"
    half = Half(*names)
    commands = Commands(cast("Any", half))
    asked = [commands.weight({"server": name, "weight": 3}, ROOT) for name in names]
    await asyncio.gather(*asked)
    found = half.engine.overrides.entries
    assert found == {("192.0.2.10:80/tcp", name): Override(weight=3) for name in names}


async def test_a_reload_meanwhile_is_not_undone_by_who_attaches_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was seen before the lock was had is another configuration's."""
    before = Config(Dispatcher(("eth0",)), (), {})
    after = Config(Dispatcher(("eth1",)), (), {})
    links = {
        name: SimpleNamespace(name=name, index=i, mac=None)
        for i, name in ((2, "eth0"), (3, "eth1"))
    }

    def look(config: Config) -> Surroundings:
        there = {name: links[name] for name in config.dispatcher.interfaces}
        return Surroundings(cast("Any", there), frozenset(), {})

    monkeypatch.setattr(Surroundings, "look", look)
    monkeypatch.setattr("shunt.dispatcher.following.Groups", lambda _: SimpleNamespace(follow=len))
    attached: list[tuple[str, ...]] = []

    def attach_each(found: tuple[Any, ...], *_: object) -> dict[str, Any]:
        attached.append(tuple(link.name for link in found))
        return {}

    engine = SimpleNamespace(
        config=before,
        attached=dict,
        attach_each=attach_each,
        detach_others=lambda _: None,
        write_addresses=lambda: None,
        plane=None,
    )

    async def work(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    daemon = SimpleNamespace(
        engine=engine, work=work, addresses=tuple, places=SimpleNamespace(groups=None),
        reloading=SimpleNamespace(lock=asyncio.Lock()), wake=lambda: None,
        announcer=SimpleNamespace(take=lambda _: None),
        interfaces=SimpleNamespace(look=lambda *_: None, unfit={}),
    )  # fmt: skip
    following = Following(cast("Any", daemon))
    async with daemon.reloading.lock:
        adapting = asyncio.create_task(following.adapt())
        for _ in range(10):
            await asyncio.sleep(0)
        engine.config = after
    await adapting
    assert attached == [("eth1",)]
