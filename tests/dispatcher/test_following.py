"""What changes around the daemon is followed, each thing by itself, whatever else is refused."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from structlog.testing import capture_logs

from shunt.dispatcher import following
from shunt.dispatcher.engine import Engine
from shunt.dispatcher.following import Following
from shunt.dispatcher.reloading import Reloading
from shunt.dispatcher.surroundings import Surroundings
from shunt.errors import DataplaneError, HostError, NetworkError
from shunt.model.addresses import Mac
from shunt.model.config import Config, Dispatcher, Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.dispatcher.daemon import Daemon

CONFIG = Config(Dispatcher(("eth1", "eth0"), mode=Mode.GENERIC), (), {})
ADDRESS = cast("Any", "a cluster address at lo")


def link(name: str, index: int, mac: int = 1) -> Any:
    return SimpleNamespace(name=name, index=index, mac=Mac(mac.to_bytes(6, "big")), kind="veth")


class Plane:
    """As much of a data plane as attaching touches; `refused` are the interfaces that cannot be."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.links: dict[str, int] = {"eth0": 2, "eth1": 3}
        self.tries: list[str] = []

    def attach(self, name: str, index: int, *_: Any, **__: Any) -> None:
        if self.links.get(name) == index:
            return
        self.tries.append(name)
        if name in self.refused:
            raise HostError(f"{name} carries someone else's program")
        self.links[name] = index


class Stub:
    """As much of a daemon as following touches; `fails` are the steps that are refused."""

    def __init__(self) -> None:
        self.fails: set[str] = set()
        self.steps: list[str] = []
        self.plane = Plane()
        balancer = SimpleNamespace(plane=self.plane, change_settings=lambda **_: None)
        self.engine: Any = Engine(CONFIG, cast("Any", balancer), fresh=False)
        self.events = SimpleNamespace(
            held=lambda _, released=False: self.steps.append("released" if released else "held")
        )
        self.places = SimpleNamespace(groups=None)
        self.interfaces = SimpleNamespace(unfit={}, look=lambda *_: self.step("look"))
        self.announcer = SimpleNamespace(take=lambda _: self.steps.append("announce"))
        self.reloading = Reloading(cast("Daemon", self))

    def step(self, name: str) -> None:
        if name in self.fails:
            raise (NetworkError if name == "look" else DataplaneError)(name)
        self.steps.append(name)

    def wake(self) -> None:
        self.steps.append("wake")

    def addresses(self) -> tuple[()]:
        return ()

    async def work(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if function == self.engine.write_addresses:
            return self.step("addresses")
        if function == self.engine.attached:
            return dict(self.plane.links)
        return function(*arguments)


class Ground:
    """The surroundings, to be changed."""

    def __init__(self) -> None:
        there = {"eth0": link("eth0", 2), "eth1": link("eth1", 3)}
        self.now = Surroundings(there, frozenset(), {})

    def has(self, *links: Any, **others: Any) -> None:
        there = {each.name: each for each in links}
        missing = frozenset({"eth0", "eth1"}) - there.keys()
        self.now = replace(self.now, interfaces=there, missing=missing, **others)


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Ground:
    made = Ground()
    monkeypatch.setattr(Surroundings, "look", lambda _: made.now)
    nobody = SimpleNamespace(follow=lambda _: None)
    monkeypatch.setattr(following, "Groups", lambda _: nobody)
    return made


async def test_one_interface_that_is_refused_keeps_nothing_else_from_being_followed(
    ground: Ground,
) -> None:
    stub = Stub()
    watching = Following(cast("Daemon", stub))
    stub.plane.refused = {"eth1"}
    with capture_logs() as lines:
        ground.has(link("eth0", 2))
        await watching.adapt()
        assert watching.missing == {"eth1"}
        ground.has(link("eth0", 5, mac=9), link("eth1", 4), held=frozenset({ADDRESS}))
        for _ in range(4):
            await watching.adapt()
        assert watching.missing == set(), "it is there, though refused"
        assert set(watching.refused) == {"eth1"}, "which status says"
        assert stub.plane.links["eth0"] == 5, "the other one is tried, though it comes later"
        assert stub.steps.count("held") == 1
        before = stub.steps.count("announce")
        own = {ip_address("192.0.2.255"): "X"}
        ground.has(link("eth0", 5, mac=7), link("eth1", 4), own=own, held=frozenset())
        for _ in range(3):
            await watching.adapt()
        assert stub.steps.count("announce") == before + 1, "the other one's MAC is followed"
        assert stub.steps.count("addresses") == 1
        assert stub.steps.count("released") == 1
        assert stub.plane.tries.count("eth1") == 1, "tried again after a while only"
    refusals = [line for line in lines if line["log_level"] == "error"]
    assert [line["interface"] for line in refusals] == ["eth1"]


async def test_what_was_refused_is_tried_again_told_once_and_announced(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_AGAIN", 0.0)
    stub = Stub()
    watching = Following(cast("Daemon", stub))
    stub.plane.refused = {"eth1"}
    ground.has(link("eth0", 2), link("eth1", 4))
    with capture_logs() as lines:
        for _ in range(3):
            await watching.adapt()
        assert stub.plane.tries == ["eth1"] * 3
        assert len(lines) == 1
        before = stub.steps.count("announce")
        stub.plane.refused = set()
        await watching.adapt()
        assert stub.plane.links["eth1"] == 4
        assert stub.steps.count("announce") == before + 1
        assert stub.steps.count("wake") == before + 1
        await watching.adapt()
        assert not watching.refused
    assert lines[-1]["interfaces"] == ["eth1"]


@pytest.mark.parametrize("refused", ["addresses", "look"])
async def test_a_step_that_fails_is_made_again_and_nothing_is_told_twice(
    ground: Ground, refused: str
) -> None:
    stub = Stub()
    watching = Following(cast("Daemon", stub))
    ground.has(
        link("eth0", 2, mac=9), link("eth1", 3),
        held=frozenset({ADDRESS}), own={ip_address("192.0.2.255"): "X"},
    )  # fmt: skip
    stub.fails = {refused}
    for _ in range(3):
        with pytest.raises((DataplaneError, NetworkError)):
            await watching.adapt()
    assert stub.steps.count("held") == stub.steps.count("wake") == 1
    stub.fails = set()
    await watching.adapt()
    assert stub.steps.count("addresses") == 1
