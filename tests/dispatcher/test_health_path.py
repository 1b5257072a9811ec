"""In a laboratory: the checks' way is laid as far as it goes, mended, and lent without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import json
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.dataplane.probe import Probe
from shunt.dispatcher import health_path
from shunt.dispatcher.health_path import HealthPath
from shunt.dispatcher.wishes import Way
from shunt.errors import DataplaneError, NetworkError
from shunt.lab import topology
from shunt.network import placeholder
from tests.network.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from shunt.lab.topology import Topology
    from shunt.network.netlink import Listener
    from shunt.network.placeholder import Placeholder

pytestmark = [pytest.mark.lab, pytest.mark.bpf]

FOUR, SIX = topology.CLUSTERS
NOWHERE = ip_address("203.0.113.1")


class Bench:
    """A path on the laboratory's dispatcher, and what the kernel has of it."""

    def __init__(self, standing: Topology) -> None:
        self.host = standing.dispatcher
        eth0 = self.host.interface("eth0")
        self.ways = {
            name: Way(host.interface("eth0").mac, eth0.index)
            for name, host in standing.servers.items()
        }
        self.told = 0

    def run(self, body: Callable[[HealthPath], Awaitable[None]]) -> None:
        """Run `body` where the dispatcher is, with a path that is kept meanwhile."""

        async def main() -> None:
            path = HealthPath()
            keeping = asyncio.create_task(path.keep())
            await asyncio.sleep(0)
            try:
                await body(path)
            finally:
                keeping.cancel()
                await asyncio.wait([keeping])
                path.close()
            assert path._probe is None

        self.host.call(lambda: asyncio.run(main()))
        assert not self.entries()

    def entries(self) -> set[str]:
        """Return the cluster addresses that the kernel has an entry for."""
        rows = json.loads(self.host.ip("-json", "neighbour", "show") or "[]")
        known = {row["dst"] for row in rows if row["state"] == ["REACHABLE"]}
        return known & {str(address) for address in topology.CLUSTERS}

    def tell(self) -> None:
        self.told += 1


@pytest.fixture
def bench(direct_return: Topology) -> Bench:
    return Bench(direct_return)


class Refusal:
    """Has the kernel refuse an entry, as a full table does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = True
        self._confirm = placeholder.confirm
        monkeypatch.setattr(health_path, "confirm", self)
        monkeypatch.setattr(health_path, "CONFIRM", 0.02)

    def __call__(self, entries: Iterable[Placeholder]) -> dict[Placeholder, NetworkError]:
        entries = tuple(entries)
        refused = {each for each in entries if self.on and each.address == SIX}
        self._confirm(each for each in entries if each not in refused)
        return {each: NetworkError("netlink: No buffer space available") for each in refused}


def test_what_cannot_be_laid_is_skipped_said_and_retried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = Refusal(monkeypatch)

    async def body(path: HealthPath) -> None:
        missing = path.lead([FOUR, SIX, NOWHERE], bench.ways, bench.tell)
        assert missing.keys() == {SIX, NOWHERE}
        assert "No buffer space" in missing[SIX]
        assert "no route" in missing[NOWHERE]
        assert bench.entries() == {str(FOUR)}
        await asyncio.sleep(0.1)  # it is tried several times,
        assert not bench.told  # and nothing is new
        refusal.on = False
        await eventually(lambda: bench.told)
        assert path.missing.keys() == {NOWHERE}
        assert bench.entries() == {str(FOUR), str(SIX)}
        path.lead([FOUR, SIX], bench.ways, bench.tell)
        told, refusal.on = bench.told, True
        await eventually(lambda: bench.told > told)
        assert path.missing.keys() == {SIX}

    bench.run(body)
    said = capsys.readouterr().out
    assert said.count("No buffer space") == 2  # once each time that it came about
    assert said.count("203.0.113.1: ") == 1


def test_a_kernel_that_refuses_the_classifier_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Probe.load
    refusals = itertools.repeat(True, 3)

    def refusing() -> Probe:
        if next(refusals, False):
            raise DataplaneError("no memory")
        return load()

    monkeypatch.setattr(Probe, "load", refusing)
    monkeypatch.setattr(health_path, "CONFIRM", 0.02)

    async def body(path: HealthPath) -> None:
        path.mark("a")
        assert path.lead([FOUR], bench.ways, bench.tell) == {FOUR: "no memory"}
        assert not bench.entries()
        await eventually(lambda: bench.told)
        assert not path.missing
        assert bench.entries() == {str(FOUR)}

    bench.run(body)


def test_entries_that_are_cleared_are_put_back_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_path, "CONFIRM", 3600.0)

    async def body(path: HealthPath) -> None:
        path.lead([FOUR, SIX], bench.ways)
        for _ in range(3):
            bench.host.ip("neighbour", "flush", "dev", "eth0")
            assert not bench.entries()
            await eventually(lambda: len(bench.entries()) == 2)

    bench.run(body)


def test_an_address_that_this_host_takes_is_known_before_any_answer_is_believed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_path, "CONFIRM", 3600.0)

    async def body(path: HealthPath) -> None:
        assert not path.lead([FOUR, SIX], bench.ways, bench.tell)
        bench.host.ip("address", "add", f"{FOUR}/32", "dev", "lo")
        path.hear()  # as one does who got an answer, with no turn of the loop in between
        assert path.missing.keys() == {FOUR}
        assert f"ip address del {FOUR}/32 dev lo" in path.missing[FOUR]
        assert bench.told == 1
        bench.host.ip("address", "del", f"{FOUR}/32", "dev", "lo")
        path.hear()
        assert not path.missing

    bench.run(body)


def test_without_announcements_all_is_looked_up_until_there_are_some(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_path, "CONFIRM", 0.02)
    refusals: list[int] = []

    def refuse() -> Listener:
        if len(refusals) < 20:
            refusals.append(1)
            raise NetworkError("netlink: Too many open files", errno=errno.EMFILE)
        return placeholder.announcements()

    monkeypatch.setattr(health_path, "announcements", refuse)

    async def body(path: HealthPath) -> None:
        path.lead([FOUR], bench.ways)
        bench.host.ip("address", "add", f"{FOUR}/32", "dev", "lo")
        await eventually(lambda: FOUR in path.missing)
        bench.host.ip("address", "del", f"{FOUR}/32", "dev", "lo")
        await eventually(lambda: not path.missing)
        await eventually(lambda: path._listener is not None)

    bench.run(body)


def test_an_interface_that_was_down_is_checked_through_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_path, "CONFIRM", 0.02)

    async def body(path: HealthPath) -> None:
        path.lead([FOUR], bench.ways, bench.tell)
        bench.host.ip("link", "set", "dev", "eth0", "down")
        await eventually(lambda: bench.told)
        assert "no route" in path.missing[FOUR]
        bench.host.ip("link", "set", "dev", "eth0", "up")
        await eventually(lambda: not path.missing)
        assert bench.entries() == {str(FOUR)}

    bench.run(body)


def test_a_lent_path_is_afterwards_what_it_was(bench: Bench) -> None:
    way = bench.ways["b"]

    async def body(path: HealthPath) -> None:
        before = path.mark("a")
        path.lead([FOUR], {"a": bench.ways["a"]})
        with contextlib.suppress(ZeroDivisionError), path.borrowed(SIX, "b", way) as mark:
            assert mark != before
            assert bench.entries() == {str(FOUR), str(SIX)}
            path.lead([FOUR], {"a": bench.ways["a"]})  # a reload meanwhile takes nothing of it
            assert path.mark("b") == mark
            assert bench.entries() == {str(FOUR), str(SIX)}
            with path.borrowed(SIX, "c", way):
                pass
            assert bench.entries() == {str(FOUR), str(SIX)}
            raise ZeroDivisionError
        assert bench.entries() == {str(FOUR)}
        assert path.mark("a") == before
        with pytest.raises(NetworkError, match="no route"), path.borrowed(NOWHERE, "b", way):
            pass
        path.lead([], {})
        assert not bench.entries()
        assert path._probe is None
        with path.borrowed(FOUR, "b", way):
            path.close()
            assert not bench.entries()
        assert path._probe is None  # the end of the loan lays nothing anew

    bench.run(body)


def test_entries_that_cannot_be_removed_are_removed_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = itertools.repeat(True, 2)

    def refusing(entries: Iterable[Placeholder]) -> dict[Placeholder, NetworkError]:
        entries = tuple(entries)
        refused = next(refusals, False) if entries else False
        if refused:
            return dict.fromkeys(entries, NetworkError("busy"))
        return placeholder.forget(entries)

    monkeypatch.setattr(health_path, "forget", refusing)
    monkeypatch.setattr(health_path, "CONFIRM", 0.02)

    async def body(path: HealthPath) -> None:
        path.lead([FOUR], bench.ways)
        path.lead([SIX], bench.ways)
        assert bench.entries() == {str(FOUR), str(SIX)}
        await eventually(lambda: bench.entries() == {str(SIX)})

    bench.run(body)
