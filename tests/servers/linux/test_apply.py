"""Applying, again, half-way, undoing, removing: what is left on the server each time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import RemoteError
from shunt.lab.namespaces import DIRECTORY, make
from shunt.lab.processes import run
from shunt.servers import apply, record
from shunt.servers.runners.local import LocalRunner
from shunt.servers.steps import Command, Output
from shunt.servers.wish import Silence
from tests.servers.linux.setting_up import (
    CLUSTER,
    CLUSTER6,
    do,
    examine,
    put_record,
    quiet,
    record_of,
    remove,
    state,
    wish,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab

pytestmark = pytest.mark.lab


def _fresh(_: Host) -> None:
    pass


def _half_done(server: Host) -> None:
    server.sysctl("net.ipv4.conf.all.arp_ignore", "2")
    server.ip("address", "add", f"{CLUSTER}/32", "dev", "lo")


def _by_others(server: Host) -> None:
    server.ip("address", "add", "10.9.0.101/32", "dev", "lo")
    server.ip("-6", "address", "add", "2001:db8:9::101/128", "dev", "lo")
    server.sysctl("net.ipv4.conf.eth0.arp_announce", "1")


def _trapped(server: Host) -> None:
    server.ip("address", "add", f"{CLUSTER}/24", "dev", "lo")
    server.ip("-6", "address", "add", f"{CLUSTER6}/64", "dev", "lo")
    server.ip("rule", "add", "from", "10.77.0.0/16", "table", "100")
    server.ip("neighbour", "add", "proxy", CLUSTER, "dev", "eth0")
    server.ip("route", "add", "10.9.0.96/28", "dev", "lo")
    server.sysctl("net.ipv4.conf.eth0.arp_ignore", "3")


@pytest.mark.parametrize("beginning", [_fresh, _half_done, _by_others, _trapped])
async def test_remove_gives_back_everything_byte_for_byte(
    server: Host, beginning: Callable[[Host], None]
) -> None:
    beginning(server)
    wanted = wish(server)
    before = state(server)
    first = await do(server, wanted)
    assert first.now.settled, first.now.plan
    applied = state(server)
    again = await do(server, wanted)
    assert again.done == ()
    assert state(server) == applied
    await remove(server, wanted)
    assert state(server) == before
    assert record_of(server, wanted) is None


@pytest.mark.parametrize("method", [Silence.NFT, Silence.REDIRECT])
async def test_filters_leave_nothing_behind(server: Host, method: Silence) -> None:
    wanted = wish(server, silence=method)
    before = state(server)
    assert (await do(server, wanted)).now.settled
    assert (await do(server, wanted)).done == ()
    await remove(server, wanted)
    assert state(server) == before


async def test_an_address_that_is_not_wanted_any_more_goes(server: Host) -> None:
    await do(server, wish(server))
    fewer = wish(server, CLUSTER)
    assert [e.id for e in (await examine(server, fewer)).stale] == [f"alias:{CLUSTER6}"]
    assert (await do(server, fewer)).now.settled
    assert CLUSTER6 not in server.ip("address")
    assert CLUSTER in server.ip("address")


async def test_what_an_operator_changed_since_is_left_alone(server: Host) -> None:
    await do(server, wish(server))
    server.sysctl("net.ipv4.conf.all.arp_ignore", "2")
    await remove(server, wish(server))
    assert server.sysctl("net.ipv4.conf.all.arp_ignore") == "2"


async def test_silence_comes_first_and_goes_last(server: Host) -> None:
    wanted = wish(server, CLUSTER)
    plan = (await examine(server, wanted)).plan
    ids = [step.id.partition(":")[0] for step in plan.steps]
    assert ids == ["silence", "silence", "alias"]
    # The alias is recorded before a silence that was only needed later: still it goes first.
    server.sysctl("net.ipv4.conf.all.arp_ignore", "1")
    await do(server, wanted)
    server.sysctl("net.ipv4.conf.all.arp_ignore", "0")
    await do(server, wanted)
    undone = (await remove(server, wanted)).done
    assert undone[0].endswith(f"add {CLUSTER}/32 to lo")


class _Failing(LocalRunner):
    """A runner whose commands with a certain text fail, or never end."""

    def __init__(self, netns: str, text: str, *, hang: bool = False) -> None:
        super().__init__(netns=netns)
        self._text = text
        self._hang = hang
        self.reached = asyncio.Event()

    async def run(self, command: Command) -> Output:
        if self._text in (command.stdin or command.text):
            self.reached.set()
            if self._hang:
                await asyncio.Event().wait()
            return Output("", "made to fail", 1)
        return await super().run(command)


async def test_a_step_that_fails_undoes_the_ones_before(server: Host) -> None:
    before = state(server)
    failing = _Failing(server.namespace, f"address replace {CLUSTER6}")
    with pytest.raises(RemoteError, match="made to fail; everything was undone"):
        await apply.apply(failing, wish(server), quiet)
    assert state(server) == before
    assert record_of(server, wish(server)) is None


KILLED_AT = [
    'chmod 600 "$f.new"',  # the record
    "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore",
    "echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce",
    f"address replace {CLUSTER}/32",
    f"address replace {CLUSTER6}/128",
]


@pytest.mark.parametrize("text", KILLED_AT)
async def test_dropped_in_the_middle_then_applied_and_removed(server: Host, text: str) -> None:
    """The engine is dropped at a step as a SIGKILL drops it: no clean-up of its own runs."""
    before = state(server)
    wanted = wish(server)
    hanging = _Failing(server.namespace, text, hang=True)
    task = asyncio.create_task(apply.apply(hanging, wanted, quiet))
    await hanging.reached.wait()
    task.cancel()
    await asyncio.wait([task])
    assert (await do(server, wanted)).now.settled
    await remove(server, wanted)
    assert state(server) == before


async def test_a_real_kill_then_a_second_apply(server: Host) -> None:
    before = state(server)
    wanted = wish(server)
    script = (
        "import sys; from shunt.cli.main import main; sys.argv = ['shunt', 'server', 'apply',"
        f" '--local', '--netns', '{server.namespace}', '--cluster', '{CLUSTER}',"
        f" '--cluster', '{CLUSTER6}']; main()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stderr.readline(), 30)
    assert b"doing" in line
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    assert (await do(server, wanted)).now.settled
    await remove(server, wanted)
    assert state(server) == before


async def test_rp_filter_is_loosened_only_where_replies_leave_elsewhere(
    lab: Lab, server: Host
) -> None:
    lab.segment("way")
    lab.join(server, "way", interface="eth1", addresses=["10.8.0.5/24"])
    server.route("default", via="10.8.0.1")
    server.sysctl("net.ipv4.conf.all.rp_filter", "1")
    before = state(server)
    result = await do(server, wish(server, CLUSTER))
    assert result.now.settled
    assert server.sysctl("net.ipv4.conf.eth0.rp_filter") == "2"
    assert server.sysctl("net.ipv4.conf.eth1.rp_filter") == "0"
    await remove(server, wish(server, CLUSTER))
    assert state(server) == before


async def test_nat_servers_must_not_hold_the_address(server: Host) -> None:
    await do(server, wish(server, CLUSTER))
    nat = replace(wish(server), clusters=(), bare=(ip_address(CLUSTER),))
    assert [entry.id for entry in (await examine(server, nat)).stale] == [f"alias:{CLUSTER}"]
    assert (await do(server, nat)).now.settled
    server.ip("address", "add", f"{CLUSTER}/32", "dev", "lo")
    found = (await examine(server, nat)).plan
    assert not found.settled
    assert "its service is of kind nat" in found.findings[0].what


async def test_a_record_that_cannot_be_read_is_not_an_empty_one(server: Host) -> None:
    wanted = wish(server)
    await do(server, wanted)
    whole = record_of(server, wanted)
    assert whole is not None
    for damaged in (whole[: len(whole) // 2], "{}", json.dumps({"version": 9, "entries": []})):
        put_record(server, wanted, damaged)
        with pytest.raises(RemoteError, match="record"):
            await do(server, wanted)
    put_record(server, wanted, whole)
    await remove(server, wanted)


async def test_a_namespace_has_one_record_under_all_its_names(server: Host) -> None:
    before = state(server)
    sleeper = server.start(["sleep", "600"])
    await do(server, wish(server))
    for name in (str(server.path), str(sleeper.pid)):
        other = replace(wish(server), server=replace(wish(server).server, netns=name))
        async with LocalRunner(netns=name) as runner:
            assert (await apply.recorded(runner, other, quiet)).stale
    async with LocalRunner(netns=str(sleeper.pid)) as runner:
        await apply.remove(runner, other, quiet)
    assert state(server) == before


async def test_a_namespace_that_gets_the_number_of_a_dead_one_has_no_record(server: Host) -> None:
    """The kernel gives the number of a namespace again as soon as it has gone."""
    path = DIRECTORY / f"{server.namespace}-short"
    places: dict[int, str] = {}
    for _ in range(50):
        make(path.name)
        try:
            number = path.stat().st_ino
            place = run(
                ["nsenter", f"--net={path}", "sh", "-c", f'echo "{record.path(wish(server))}"']
            )
        finally:
            run(["ip", "netns", "del", path.name])
        if number in places:
            assert place.stdout != places[number]
            return
        places[number] = place.stdout
    pytest.skip("this kernel gave no number twice")


async def test_an_alias_that_was_there_before_is_told_when_it_is_loud_again(server: Host) -> None:
    server.ip("address", "add", f"{CLUSTER}/32", "dev", "lo")
    assert (await do(server, wish(server))).now.settled
    removed = await remove(server, wish(server))
    assert CLUSTER in server.ip("address")
    (finding,) = removed.now.plan.findings
    assert finding.what == f"{CLUSTER} is still held here, and answered for"
    assert not removed.now.settled


async def test_after_remove_nothing_is_held_and_nothing_is_said(server: Host) -> None:
    await do(server, wish(server))
    assert (await remove(server, wish(server))).now.plan.findings == ()


async def test_a_new_namespace_of_an_old_name_has_no_record(lab: Lab, server: Host) -> None:
    wanted = wish(server)
    await do(server, wanted)
    assert record_of(server, wanted) is not None
    other = lab.host("other")
    assert record_of(other, wanted) is None
    await remove(server, wanted)
