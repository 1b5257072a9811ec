"""Apply, check, apply again, reboot, check, remove, reboot: on emulated tools of every Unix.

The tools refuse what the vendors' manuals refuse. After the removal everything is as before.
"""

from __future__ import annotations

import shlex
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import RemoteError
from shunt.model.config import OperatingSystem, Server
from shunt.servers.apply import apply, examine, remove
from shunt.servers.scripts.writing import write_script
from shunt.servers.steps import Command, Output, Severity
from shunt.servers.wish import Wish
from tests.servers.emulated.host import EmulatedHost
from tests.servers.emulated.tools import TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shunt.servers.apply import Event, Examination, Result

SYSTEMS = [OperatingSystem(name) for name in TOOLS]
FOUR, SIX, OTHER = "192.0.2.10", "2001:db8::10", "192.0.2.11"


def quiet(_: Event) -> None:
    """Report nothing."""


@pytest.fixture(params=SYSTEMS, ids=str)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmulatedHost]:
    made = EmulatedHost(request.param, tmp_path / "root")
    yield made
    made.close()


def wish(host: EmulatedHost, *clusters: str) -> Wish:
    own = (ip_address("192.0.2.21"), ip_address("2001:db8::21"))
    server = Server("s", own, os=host.system)
    return Wish(server, tuple(ip_address(text) for text in clusters or (FOUR, SIX)))


def held(host: EmulatedHost) -> set[tuple[str, int]]:
    """Return the cluster addresses with their prefix lengths, on whatever interface."""
    named = {FOUR, SIX, OTHER}
    return {(row[2], row[3]) for row in host.state.addresses if row[2] in named}


def not_right(now: Examination) -> list[str]:
    errors = [f.what for f in now.plan.findings if f.severity is Severity.ERROR]
    return [*errors, *(step.what for step in now.plan.steps), *(e.what for e in now.stale)]


async def do(host: EmulatedHost, wanted: Wish) -> Result:
    result = await apply(host, wanted, quiet)
    assert not_right(result.now) == []
    return result


async def test_what_is_applied_lasts_and_what_is_removed_is_gone(host: EmulatedHost) -> None:
    host.reboot()
    before = host.inventory()
    wanted = wish(host)

    assert (await do(host, wanted)).done
    assert held(host) == {(FOUR, 32), (SIX, 128)}
    applied = host.inventory()
    assert (await do(host, wanted)).done == ()
    assert host.inventory() == applied

    host.reboot()
    assert not_right(await examine(host, wanted, quiet)) == []
    assert held(host) == {(FOUR, 32), (SIX, 128)}
    assert (await do(host, wanted)).done == ()

    removed = await remove(host, wanted, quiet)
    assert not_right(removed.now) == []
    assert host.inventory() == before
    host.reboot()
    assert host.inventory() == before


async def test_an_address_that_leaves_does_not_come_back(host: EmulatedHost) -> None:
    host.reboot()
    await do(host, wish(host, FOUR, OTHER, SIX))
    assert held(host) == {(FOUR, 32), (OTHER, 32), (SIX, 128)}
    fewer = wish(host, OTHER)
    await do(host, fewer)
    assert held(host) == {(OTHER, 32)}
    host.reboot()
    assert held(host) == {(OTHER, 32)}
    assert (await do(host, fewer)).done == ()


WIDE = {
    "freebsd": "ifconfig lo0 inet 192.0.2.10/24 alias",
    "openbsd": "ifconfig lo0 alias 192.0.2.10 netmask 255.255.255.0",
    "netbsd": "ifconfig lo0 inet 192.0.2.10 netmask 0xffffff00 alias",
    "macos": "ifconfig lo0 alias 192.0.2.10 netmask 255.255.255.0",
    "aix": "ifconfig lo0 alias 192.0.2.10 netmask 255.255.255.0",
    "hp-ux": "ifconfig lo0:1 192.0.2.10 netmask 255.255.255.0 up",
    "solaris10": "ifconfig lo0 addif 192.0.2.10 netmask 255.255.255.0 up",
    "solaris11": "ipadm create-addr -T static -a 192.0.2.10/24 lo0/wide",
    "illumos": "ipadm create-addr -T static -a 192.0.2.10/24 lo0/wide",
}


async def test_a_wide_mask_and_its_route_go_and_are_given_back(host: EmulatedHost) -> None:
    host.reboot()
    host.sh(WIDE[host.state.system])
    assert (FOUR, 24) in held(host)
    assert ("192.0.2.0/24", FOUR, "U", "lo0") in host.state.table(4)
    await do(host, wish(host, FOUR))
    assert held(host) == {(FOUR, 32)}
    assert not [row for row in host.state.table(4) if row[1] == FOUR and row[2] == "U"]
    host.reboot()
    assert held(host) == {(FOUR, 32)}
    assert (await do(host, wish(host, FOUR))).done == ()
    await remove(host, wish(host, FOUR), quiet)
    assert held(host) == {(FOUR, 24)}


async def test_what_fails_at_the_end_is_undone_as_a_whole(
    host: EmulatedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step is lost, once everything else is done."""
    host.reboot()
    before = host.inventory()
    steps = (await examine(host, wish(host), quiet)).plan.steps
    last = steps[-1].do[-1]
    run = host.run

    async def full(command: Command) -> Output:
        if shlex.quote(last.text) in (command.stdin or ""):
            return Output("", "no space left on device", 1)
        return await run(command)

    monkeypatch.setattr(host, "run", full)
    with pytest.raises(RemoteError, match="no space left"):
        await apply(host, wish(host), quiet)
    monkeypatch.setattr(host, "run", run)
    removed = await remove(host, wish(host), quiet)
    assert not_right(removed.now) == []
    assert host.inventory() == before


def script(host: EmulatedHost, job: str) -> tuple[int, str]:
    """Run the script for those who let nobody in."""
    host.write("var/lib/s.sh", write_script(wish(host)))
    done = host.script("var/lib/s.sh", job)
    (host.root / "var/lib/s.sh").unlink()
    return done.status, done.stdout + done.stderr


def test_a_script_does_and_undoes_the_same(host: EmulatedHost) -> None:
    host.reboot()
    before = host.inventory()
    switches = host.state.switches.copy()
    status, said = script(host, "check")
    assert (status, "missing:" in said) == (1, True)
    status, said = script(host, "apply")
    assert (status, "FAILED" in said) == (0, False), said
    assert script(host, "check")[0] == 0
    assert held(host) == {(FOUR, 32), (SIX, 128)}
    assert "do:" not in script(host, "apply")[1]
    host.reboot()
    status, said = script(host, "check")
    assert (status, "missing:" in said) == (0, False), said

    assert script(host, "undo")[0] == 0
    after = host.inventory()
    host.state.switches = switches  # nobody had looked at them, so they are not given back
    assert held(host) == set()
    assert after["files"] == before["files"]
    assert after["addresses"] == before["addresses"]


def test_a_script_stops_at_an_address_on_a_card(host: EmulatedHost) -> None:
    host.reboot()
    host.state.add(host.nic, FOUR, 24, 1)
    before = host.inventory()
    status, said = script(host, "apply")
    assert (status, "on an interface with a wire" in said) == (1, True)
    assert host.inventory() == before
