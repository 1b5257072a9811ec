"""A removal is proved by everything that was there before, not by the address alone."""

from __future__ import annotations

import pytest

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.registry import driver_for
from shunt.servers.proof import Look, judge, lost
from shunt.servers.record import Entry, Record
from shunt.servers.steps import Severity
from tests.servers.drivers.golden import CASES, FOLDER, Case, load

LINUX = [load(FOLDER / "linux" / f"{name}.yaml") for name in ("clean", "done")]
SYSTEMS = [s for s in OperatingSystem if s is not OperatingSystem.WINDOWS2003]


def case(system: OperatingSystem, name: str) -> Case:
    return next(c for c in [*CASES, *LINUX] if c.system is system and c.name == name)


def look(case: Case) -> Look:
    return Look(driver_for(case.system).observe(case.wish, case.outputs))


def record_for(case: Case, *steps: str) -> Record:
    return Record(tuple(Entry(i, i, ()) for i in ("alias:x", *steps)), case.wish.clusters)


# What is different between the two golden hosts besides the address, and made by these steps.
MADE = {
    OperatingSystem.LINUX: (
        "silence:ipv4/conf/all/arp_ignore",
        "silence:ipv4/conf/all/arp_announce",
    ),
    OperatingSystem.WINDOWS: ("adapter",),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_a_removal_is_about_may_go(system: OperatingSystem) -> None:
    done, clean = case(system, "done"), case(system, "clean")
    record = record_for(done, *MADE.get(system, ()))
    assert judge(look(done), look(clean), record, done.wish) == ()


@pytest.mark.parametrize("system", SYSTEMS)
def test_whatever_else_goes_is_named(system: OperatingSystem) -> None:
    done = case(system, "done")
    driver = driver_for(system)
    before = look(done)
    record = record_for(done, *MADE.get(system, ()))
    others = [
        item
        for item in driver.inventory(before.observed)
        if not item.about & {*done.wish.clusters} and not item.steps & record.ids
    ]
    assert any("route" in item.what for item in others)
    assert any("address" in item.what for item in others)
    for item in others:
        left = [one for one in driver.inventory(before.observed) if one.what != item.what]
        (found,) = lost(driver.inventory(before.observed), left, record)
        assert found.what == f"{item.what} was there before, and is gone"
        assert (found.severity, found.fix) == (Severity.ERROR, item.restore)
