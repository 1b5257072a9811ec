"""Which weight a server gets, and the reason that an operator is told."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from types import MappingProxyType

import pytest

from shunt.dispatcher.overrides import NOTHING, Override, Overrides
from shunt.dispatcher.wishes import HEALTHY, UNKNOWN, Claim, Flag, Health, Way, claim, wishes
from shunt.dispatcher.wishes import watched as watched_addresses
from shunt.model.addresses import ZERO, Mac, packed16
from shunt.model.config import Config, Dispatcher, Member, OnDown, Server
from tests.bpf.world import service

MAC = Mac.parse("02:00:00:00:00:21")
KNOWN = Way(MAC, 3)
SERVICE = service("192.0.2.10", 80)
SERVER = Server("alpha", (ip_address("192.0.2.21"), ip_address("2001:db8::21")))
SILENT = "192.0.2.21 does not answer ARP on eth0"
DOWN = Flag.READY | Flag.AVOID | Flag.DOWN


def claimed(
    *,
    weight: int = 10,
    override: Override | None = None,
    way: Way = KNOWN,
    health: Health = HEALTHY,
    on_down: OnDown = OnDown.KEEP,
) -> Claim:
    return claim(
        replace(SERVICE, on_down=on_down),
        SERVER,
        Member("alpha", weight),
        override or Override(),
        way,
        health,
    )


def test_a_server_with_nothing_against_it_gets_what_the_file_says() -> None:
    assert claimed() == Claim(
        "alpha", packed16(SERVER.addresses[0]), 10, 10, Flag.READY, MAC, 3, None
    )


@pytest.mark.parametrize(
    ("found", "weight", "flags", "reason"),
    [
        (claimed(way=UNKNOWN), 0, Flag(0), "its MAC address is not known yet"),
        (claimed(way=Way(None, 3, SILENT)), 0, Flag(0), SILENT),
        (claimed(way=Way(MAC, 3, SILENT, lost=True)), 0, DOWN, SILENT),
        (claimed(health=Health(up=False, reason="503")), 0, DOWN, "503"),
        (claimed(health=Health(up=False)), 0, DOWN, "down"),
        (claimed(override=Override(quiesced=True)), 0, Flag.READY, "quiesced"),
        (claimed(override=Override(quiesced=True, now=True)), 0, Flag.READY | Flag.AVOID, "quiesc"),
        (claimed(override=Override(weight=7)), 7, Flag.READY, "operator (the file says 10)"),
        (claimed(override=Override(weight=0)), 0, Flag.READY, "operator (the file says 10)"),
        (claimed(health=Health(weight=4, reason="busy")), 4, Flag.READY, "busy"),
        (claimed(weight=0), 0, Flag.READY, "weight 0 in the file"),
    ],
)
def test_every_reason_that_takes_weight_away(
    found: Claim, weight: int, flags: Flag, reason: str
) -> None:
    assert (found.weight, found.flags) == (weight, flags)
    assert found.reason is not None
    assert reason in found.reason


def test_an_operator_overrules_the_manager_and_nobody_overrules_the_dead() -> None:
    managed = Health(weight=4, reason="busy")
    assert claimed(override=Override(weight=7), health=managed).weight == 7
    assert claimed(override=Override(weight=7), health=Health(up=False)).weight == 0
    assert claimed(override=Override(weight=7), way=UNKNOWN).weight == 0
    assert claimed(override=Override(weight=7, quiesced=True)).weight == 0


@pytest.mark.parametrize(
    ("on_down", "flag"),
    [(OnDown.KEEP, Flag(0)), (OnDown.MOVE, Flag.MOVE), (OnDown.RESET, Flag.RESET)],
)
def test_flows_of_a_dead_server_are_treated_as_the_service_says(
    on_down: OnDown, flag: Flag
) -> None:
    assert claimed(on_down=on_down, health=Health(up=False)).flags == DOWN | flag
    assert claimed(on_down=on_down, way=replace(KNOWN, lost=True)).flags == DOWN | flag
    assert claimed(on_down=on_down).flags == Flag.READY
    assert claimed(on_down=on_down, override=Override(quiesced=True)).flags == Flag.READY


def test_a_server_that_never_had_a_mac_has_none_to_write() -> None:
    assert claimed(way=UNKNOWN).mac == ZERO


def test_each_service_asks_for_its_own_changes_and_health() -> None:
    other = replace(SERVICE, port=443, members=(Member("alpha", 5),))
    config = Config(
        Dispatcher(("eth0",)),
        (replace(SERVICE, members=(Member("alpha", 10),)), other),
        MappingProxyType({"alpha": SERVER}),
    )
    found = wishes(
        config,
        Overrides({(other.name, "alpha"): Override(weight=9)}),
        {"alpha": KNOWN},
        {(SERVICE.name, "alpha"): Health(up=False)},
    )
    assert [[c.weight for c in wish.claims] for wish in found] == [[0], [9]]
    unknown = wishes(config, NOTHING, {}, {})
    assert [c.reason for wish in unknown for c in wish.claims] == [UNKNOWN.reason] * 2
    assert watched_addresses(config) == (SERVER.addresses[0],)
