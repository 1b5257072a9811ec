"""On Windows nothing is touched but the loopback adapter, and what a step itself has made."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest

from shunt.model.config import OperatingSystem, Server
from shunt.servers.drivers.windows import DRIVER
from shunt.servers.scripts.traps import with_traps
from shunt.servers.steps import Output, Step
from shunt.servers.wish import Wish

from .golden import CASES, Case

CLUSTER = ip_address("192.0.2.10")
NETWORK_CHANGES = ("Remove-NetIPAddress", "Set-NetIPAddress", "New-NetIPAddress")


def case(name: str) -> Case:
    return next(c for c in CASES if c.id == f"windows/{name}")


def script_steps() -> tuple[Step, ...]:
    wish = Wish(Server("s", (), os=OperatingSystem.WINDOWS), (CLUSTER,))
    return with_traps(DRIVER.plan(DRIVER.unseen(wish), wish), wish).steps


@pytest.mark.parametrize(
    "steps",
    [script_steps(), *(case(name).plan().steps for name in ("clean", "source", "wide-mask"))],
)
def test_addresses_are_changed_on_one_named_adapter_only(steps: tuple[Step, ...]) -> None:
    texts = [c.text for step in steps for c in (*step.do, *step.undo)]
    changing = [text for text in texts if any(word in text for word in NETWORK_CHANGES)]
    assert changing
    assert all("-InterfaceAlias 'dsr' -IPAddress 192.0.2.10" in text for text in changing)


def test_a_script_refuses_a_card_before_it_does_anything() -> None:
    first = [step.id for step in script_steps()][:2]
    assert first == ["name", f"off-the-wire:{CLUSTER}"]
    refusals = [step for step in script_steps() if step.id in first]
    assert all(command.text.startswith("throw ") for step in refusals for command in step.do)
    assert all(step.undo == () for step in refusals)


def test_only_routes_of_the_loopback_adapter_or_by_the_address_go() -> None:
    (step,) = (step for step in script_steps() if step.id == f"routes:{CLUSTER}")
    assert "InterfaceDescription -Match 'KM-TEST|Microsoft Loopback'" in step.do[0].text
    assert "Get-NetIPAddress" not in step.do[0].text  # which would name the card that holds it


def test_of_two_loopback_adapters_the_one_with_the_alias_counts() -> None:
    done = case("done")
    adapters = json.loads(done.outputs["adapters"].stdout)
    other = {"Name": "lab", "InterfaceDescription": "Microsoft KM-TEST Loopback Adapter #2"}
    adapters["rows"].insert(0, other | {"ifIndex": 77})
    assert done.plan(done.outputs | {"adapters": Output(json.dumps(adapters))}).settled


def test_a_second_route_to_the_same_network_stays() -> None:
    """A network is named with its next hop: a card may have one of the same prefix."""
    wide = case("wide-mask")
    for step in wide.plan().steps:
        if step.id.startswith("route:"):
            assert all(" -NextHop " in c.text for c in (*step.do, *step.check, *step.undo))


def test_an_address_on_a_card_is_an_error_and_nothing_is_planned() -> None:
    on_card = case("on-the-card")
    assert on_card.plan().steps == ()
