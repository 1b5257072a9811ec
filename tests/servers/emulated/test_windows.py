"""Windows: facts, plan, steps, checks and undo, on the emulated network modules of PowerShell."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.model.config import OperatingSystem, Server
from shunt.servers.drivers.windows import DRIVER
from shunt.servers.scripts.traps import with_traps
from shunt.servers.steps import Output, Plan, Severity, Step
from shunt.servers.wish import Wish
from tests.servers.emulated.powershell import read
from tests.servers.emulated.windows import WindowsHost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.servers.record import Record

CLUSTER = "192.0.2.10"
WISH = Wish(
    Server("s", (ip_address("192.0.2.21"),), os=OperatingSystem.WINDOWS), (ip_address(CLUSTER),)
)


def plan(host: WindowsHost, record: Record | None = None) -> Plan:
    """Ask the questions, and plan from the answers."""
    outputs = {fact.name: host.run(fact.command) for fact in DRIVER.facts(WISH)}
    outputs["record"] = Output(record.dump() if record else "")
    return DRIVER.plan(DRIVER.observe(WISH, outputs), WISH)


def do(host: WindowsHost, steps: Iterable[Step]) -> list[Step]:
    """Do the steps as the script does: those whose check does not hold; return these."""
    done = []
    for step in steps:
        if all(map(host.is_true, step.check)):
            continue
        done.append(step)
        for command in step.do:
            output = host.run(command)
            if output.status:
                undo(host, done)
                raise AssertionError(output.stderr)
        assert all(map(host.is_true, step.check)), step.what
    return done


def undo(host: WindowsHost, steps: list[Step]) -> None:
    for step in reversed(steps):
        for command in step.undo:
            output = host.run(command)
            assert output.status == 0, (step.what, output.stderr)


def script() -> tuple[Step, ...]:
    return with_traps(DRIVER.plan(DRIVER.unseen(WISH), WISH), WISH).steps


def errors(found: Plan) -> list[str]:
    return [f.what for f in found.findings if f.severity is Severity.ERROR]


def held(host: WindowsHost) -> list[tuple[str, int, bool]]:
    rows = [a for a in host.addresses if a["IPAddress"] == CLUSTER]
    return [(a["InterfaceAlias"], a["PrefixLength"], a["SkipAsSource"]) for a in rows]


def test_apply_again_check_and_remove() -> None:
    host = WindowsHost()
    before = host.inventory()
    steps = do(host, plan(host).steps)
    assert steps[0].id == "adapter"
    assert held(host) == [("dsr", 32, True)]
    again = plan(host)
    assert (again.steps, errors(again)) == ((), [])
    undo(host, steps)
    assert host.inventory() == before


def test_the_script_does_and_undoes_the_same() -> None:
    host = WindowsHost()
    before = host.inventory()
    done = do(host, script())
    assert held(host) == [("dsr", 32, True)]
    assert do(host, script()) == []
    assert plan(host).settled
    undo(host, done)
    assert host.inventory() == before


@pytest.mark.parametrize("skip", [True, False])
def test_an_address_on_a_card_stops_the_script_before_anything_is_done(skip: bool) -> None:
    """It stands there as /32 with SkipAsSource: every route of the card went, the default too."""
    host = WindowsHost()
    host.hold("Ethernet", CLUSTER, 32, skip=skip)
    before = host.inventory()
    with pytest.raises(AssertionError, match="is on a network card"):
        do(host, script())
    assert host.inventory() == before
    assert errors(plan(host)) == [f"{CLUSTER} is on Ethernet, which answers ARP for it"]


def test_a_loopback_adapter_of_another_name_is_somebodys() -> None:
    host = WindowsHost()
    host.plug("lab", "Microsoft KM-TEST Loopback Adapter", 30)
    host.hold("lab", "198.51.100.7", 24)
    before = host.inventory()
    with pytest.raises(AssertionError, match="is not called dsr"):
        do(host, script())
    assert host.inventory() == before
    steps = do(host, plan(host).steps)  # who has looked uses it as it is called
    assert held(host) == [("lab", 32, True)]
    undo(host, steps)
    assert host.inventory() == before


def test_a_card_that_is_called_like_the_adapter_is_not_removed() -> None:
    host = WindowsHost()
    host.plug("dsr", "Some Ethernet Controller", 30)
    before = host.inventory()
    with pytest.raises(AssertionError, match="a network card has the name"):
        do(host, script())
    assert host.inventory() == before


@pytest.mark.parametrize("skip", [True, False])
def test_an_alias_that_was_there_stays(skip: bool) -> None:
    host = WindowsHost()
    host.plug("dsr", "Microsoft KM-TEST Loopback Adapter", 30)
    host.hold("dsr", CLUSTER, 32, skip=skip)
    before = host.inventory()
    for steps in (script(), plan(host).steps):
        done = do(host, steps)
        assert held(host) == [("dsr", 32, True)]
        undo(host, done)
        assert host.inventory() == before


def test_a_wide_mask_and_its_route_go_and_are_given_back() -> None:
    host = WindowsHost()
    host.plug("dsr", "Microsoft KM-TEST Loopback Adapter", 30)
    host.hold("dsr", CLUSTER, 24)
    before = host.inventory()
    steps = do(host, plan(host).steps)
    assert held(host) == [("dsr", 32, True)]
    assert not [r for r in host.routes if r["InterfaceIndex"] == 30 and "/24" in str(r)]
    assert plan(host).settled
    undo(host, steps)
    assert host.inventory() == before


def test_routes_of_cards_stay_whatever_is_deleted() -> None:
    host = WindowsHost()
    host.plug("dsr", "Microsoft KM-TEST Loopback Adapter", 30)
    host.routes.append(host.row("192.0.2.0/24", 30, "0.0.0.0"))
    host.routes.append(host.row("0.0.0.0/0", 12, CLUSTER))
    cards = [r for r in host.routes if r["InterfaceIndex"] == 12 and r["NextHop"] != CLUSTER]
    do(host, script())
    assert [r for r in host.routes if r["InterfaceIndex"] == 12] == cards
    assert not [r for r in host.routes if r["InterfaceIndex"] == 30 and "/24" in str(r)]


def test_without_devcon_the_way_out_is_said() -> None:
    host = WindowsHost(devcon=False)
    before = host.inventory()
    with pytest.raises(AssertionError, match=r"devcon\.exe is missing"):
        do(host, plan(host).steps)
    assert host.inventory() == before


@pytest.mark.parametrize(
    "text", ["Remove-Everything", "Get-NetRoute | {", "if ($x { }", "Get-NetRoute -eq 5"]
)
def test_what_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises((SyntaxError, KeyError)):
        read(text, WindowsHost().commands())
