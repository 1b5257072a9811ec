"""Every driver, every trap: from answers to exact commands, their checks and their undoing."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem, Server
from shunt.servers.drivers.registry import driver_for
from shunt.servers.record import Entry, Record
from shunt.servers.steps import Output, Severity, Step
from shunt.servers.wish import Wish

from ..bourne import NOT_BOURNE, SHELLS  # noqa: TID252  # a sibling of this folder
from .golden import CASES, Case, described, words

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEMS = [system for system in OperatingSystem if system is not OperatingSystem.LINUX]
WINDOWS = {OperatingSystem.WINDOWS, OperatingSystem.WINDOWS2003}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_golden(case: Case) -> None:
    assert described(case.plan()) == case.expect


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_a_clean_and_a_done_host(system: OperatingSystem) -> None:
    cases = {case.name: case for case in CASES if case.system is system}
    assert cases["clean"].plan().steps
    assert cases["done"].plan().settled
    assert len(cases) > 2 or system is OperatingSystem.WINDOWS2003


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_every_fact_is_asked_and_needed(case: Case) -> None:
    """The answers of a case are those of the driver's questions; none of them may be missing."""
    names = [fact.name for fact in driver_for(case.system).facts(case.wish)]
    assert {*names, "record"} >= set(case.outputs)
    for name in names:
        for answer in (None, Output(""), Output("", "not found", 127), Output("what?")):
            if answer and answer.stdout and case.system is OperatingSystem.AIX_WPAR:
                continue
            outputs = {key: value for key, value in case.outputs.items() if key != name}
            if answer:
                outputs[name] = answer
            with pytest.raises(ParseError):
                case.plan(outputs)


@pytest.mark.parametrize("case", [c for c in CASES if not c.plan().settled], ids=lambda c: c.id)
def test_ids_are_unique_and_checks_are_there(case: Case) -> None:
    steps = case.plan().steps
    ids = [step.id for step in steps]
    assert len(set(ids)) == len(ids)
    assert all(step.check for step in steps)
    assert all(step.undo for step in steps)


def wish_of(system: OperatingSystem, clusters: tuple[str, ...]) -> Wish:
    server = Server(
        "s",
        (ip_address("192.0.2.21"),),
        os=system,
        wpar="app1" if system is OperatingSystem.AIX_WPAR else None,
        gateway=ip_address("192.0.2.1"),
    )
    return Wish(server, tuple(ip_address(text) for text in clusters))


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_host_that_nobody_has_seen_gets_a_whole_plan(system: OperatingSystem) -> None:
    clusters = ("192.0.2.10",) if system in WINDOWS else ("192.0.2.10", "2001:db8::10")
    wish = wish_of(system, clusters)
    driver = driver_for(system)
    plan = driver.plan(driver.unseen(wish), wish)
    ids = [step.id for step in plan.steps]
    assert set(ids) >= {f"alias:{cluster}" for cluster in clusters}
    assert all(finding.severity < Severity.ERROR for finding in plan.findings)


TWO = ("192.0.2.10", "192.0.2.11")
BOOT = "keep:boot-script"


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_address_that_leaves_does_not_come_back(system: OperatingSystem) -> None:
    """Neither at once nor at the next boot: all that says it is undone, or written anew."""
    wish, fewer, none = (wish_of(system, TWO[:n]) for n in (2, 1, 0))
    driver = driver_for(system)
    steps = driver.plan(driver.unseen(wish), wish).steps
    record = Record().with_steps(steps)
    again = {step.id for step in driver.plan(driver.unseen(fewer), fewer).steps}
    left = record.without(entry.id for entry in record.stale(fewer.clusters))
    for step in steps:
        if any(TWO[1] in words(command) for command in step.do):
            assert step.id not in left.ids or step.id in again, step.id
    last = record.without(entry.id for entry in record.stale(none.clusters))
    assert not [i for i in last.ids if i.startswith(("alias:", "keep:"))]


@pytest.mark.parametrize("name", ["aix", "solaris10", "hp-ux"])
def test_the_boot_script_forgets_an_address_that_leaves(name: str) -> None:
    done = next(case for case in CASES if case.id == f"{name}/done")
    driver = driver_for(done.system)
    more = replace(done.wish, clusters=(*done.wish.clusters, ip_address(TWO[1])))
    (script,) = (s for s in driver.plan(driver.unseen(more), more).steps if s.id == BOOT)
    said = script.do[0].stdin or ""
    kept = done.outputs["kept"].stdout.removesuffix("end\n") + f"{said}end\n"
    (again,) = done.plan(done.outputs | {"kept": Output(kept)}).steps
    assert again.id == BOOT
    assert TWO[1] in said
    assert not any(TWO[1] in words(command) for command in again.do)


def shell_lines() -> Iterator[str]:
    steps: list[Step] = [step for case in CASES for step in case.plan().steps]
    for system in set(SYSTEMS) - WINDOWS:
        wish = wish_of(system, ("192.0.2.10", "2001:db8::10"))
        driver = driver_for(system)
        steps += driver.plan(driver.unseen(wish), wish).steps
        yield from (fact.command.text for fact in driver.facts(wish))
    for step in steps:
        for command in (*step.do, *step.check, *step.undo):
            if command.shell == "sh":
                yield command.text
                if command.stdin and command.stdin.startswith("#!"):
                    yield command.stdin


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_is_shell(shell: str) -> None:
    for line in dict.fromkeys(shell_lines()):
        done = subprocess.run(
            [*shell.split(), "-n", "-c", line], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (line, done.stderr)


def test_no_command_needs_more_than_a_bourne_shell() -> None:
    for line in shell_lines():
        assert not NOT_BOURNE.search(line), line


def test_what_shunt_added_is_no_finding_where_nat_forbids_it() -> None:
    """The executor takes such an alias back from the record; nobody has to."""
    for case in CASES:
        if case.name == "nat-holds-alias":
            assert any(f.severity is Severity.ERROR for f in case.plan().findings)
            record = Record((Entry("alias:192.0.2.10", "", ()),))
            assert case.plan(case.outputs | {"record": Output(record.dump())}).settled


def test_without_persistence_nothing_is_kept() -> None:
    for case in CASES:
        if case.name == "half-done" and case.system is OperatingSystem.AIX:
            bare = Case(case.system, case.name, replace(case.wish, persist=False), case.outputs, {})
            assert bare.plan().steps == ()


def test_a_vni_has_a_name_that_every_solaris_11_takes() -> None:
    """Before 11.2 it had to begin with `vni` (Oracle, Configuring Network Components in 11.2)."""
    clean = next(case for case in CASES if case.id == "solaris11/clean")
    (step,) = (step for step in clean.plan().steps if step.id == "vni")
    assert re.search(r"ipadm create-vni vni\d+$", step.do[0].text)


def test_no_vni_is_made_for_an_alias_that_stands_elsewhere() -> None:
    elsewhere = next(case for case in CASES if case.id == "solaris11/by-ifconfig")
    assert "vni" not in {step.id for step in elsewhere.plan().steps}
