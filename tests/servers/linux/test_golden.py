"""Every kind of Linux host and every trap: from answers to exact commands, checks and undo."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ParseError
from shunt.model.config import Accepted
from shunt.servers.drivers.linux import files
from shunt.servers.drivers.linux.driver import DRIVER
from shunt.servers.record import Record
from shunt.servers.steps import Command, Output, Plan, Severity
from tests.servers.drivers.golden import FOLDER, Case, described, load

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = [load(path) for path in sorted((FOLDER / "linux").glob("*.yaml"))]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@each_case
def test_the_plan_is_the_one_written_down(case: Case) -> None:
    assert described(case.plan()) == case.expect


def test_the_answers_are_those_of_the_questions() -> None:
    asked = {fact.name for fact in DRIVER.facts(CASES[0].wish)} | {"record"}
    assert all(set(case.outputs) == asked for case in CASES)


@each_case
def test_silence_comes_before_every_alias(case: Case) -> None:
    kinds = [step.id.partition(":")[0] for step in case.plan().steps]
    if "alias" in kinds:
        assert "silence" not in kinds[kinds.index("alias") :]
    assert len({step.id for step in case.plan().steps}) == len(kinds)


@each_case
def test_no_error_leaves_a_half_done_server_behind(case: Case) -> None:
    """Where something is wrong that no step rights, nothing is made to last."""
    plan = case.plan()
    if any(finding.severity is Severity.ERROR for finding in plan.findings):
        assert not any(step.id.startswith("persist:alias") for step in plan.steps)


@pytest.mark.parametrize("name", ["no-manager", "container", "network-manager-has-lo"])
def test_an_alias_that_will_not_come_back_is_something_to_do(name: str) -> None:
    """Also once every step is done: `check` must not leave with 0."""
    (case,) = (case for case in CASES if case.name == name)
    assert not Plan(findings=case.plan().findings).settled
    passing = replace(case, wish=replace(case.wish, persist=False))
    assert Plan(findings=passing.plan().findings).settled


def _case(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def _with(case: Case, fact: str, before: str, after: str) -> Case:
    """Return the case with something else in one of its answers."""
    text = case.outputs[fact].stdout
    assert before in text
    return replace(case, outputs=case.outputs | {fact: Output(text.replace(before, after, 1))})


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("clean-networkd", True),
        ("clean", True),
        ("no-manager", False),
        ("old-network-manager", True),
        ("clean-netplan", False),
        ("clean-network-manager", False),
        ("clean-ifcfg", False),
    ],
)
def test_arp_ignore_3_is_kept_only_if_the_alias_comes_back_with_scope_host(
    name: str, *, kept: bool
) -> None:
    """3 answers for addresses of wider scope: after the next boot, if not now."""
    three = "ipv4/conf/all/arp_ignore:3"
    case = _with(_case(name), "values", "ipv4/conf/all/arp_ignore:0", three)
    steps = {step.id: step for step in case.plan().steps}
    assert ("silence:ipv4/conf/all/arp_ignore" not in steps) is kept
    (file,) = (s for i, s in steps.items() if files.SYSCTL in i or i == "persist:sysctl")
    assert f"net.ipv4.conf.all.arp_ignore = {3 if kept else 1}\n" in (file.do[0].stdin or "")
    passing = replace(case, wish=replace(case.wish, persist=False))
    assert not any(step.id.endswith("arp_ignore") for step in passing.plan().steps)


def test_a_value_set_on_a_nic_lasts_once_it_is_set() -> None:
    case = _case("nic-arp-ignore-3")
    record = Record().with_steps(case.plan().steps)
    case = _with(case, "values", "ipv4/conf/eth0/arp_ignore:3", "ipv4/conf/eth0/arp_ignore:1")
    case = replace(case, outputs=case.outputs | {"record": Output(record.dump())})
    (file,) = (step for step in case.plan().steps if "sysctl" in step.id)
    assert "net.ipv4.conf.eth0.arp_ignore = 1\n" in (file.do[0].stdin or "")


def _commands() -> Iterator[Command]:
    for case in CASES:
        for fact in DRIVER.facts(case.wish):
            yield fact.command
        for step in case.plan().steps:
            yield from (*step.do, *step.check, *step.undo)


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_every_command_and_every_script_is_shell(shell: str) -> None:
    texts = {command.text for command in _commands()}
    texts |= {c.stdin for c in _commands() if c.stdin and c.stdin.startswith("#!")}
    for text in texts:
        done = subprocess.run([shell, "-n", "-c", text], capture_output=True, check=False)
        assert done.returncode == 0, (text, done.stderr)


def test_the_loopback_is_never_taken_down() -> None:
    assert not any(re.search(r"\blo\b.*\bdown\b", command.text) for command in _commands())


def test_forwarding_is_a_warning_unless_the_file_accepts_it() -> None:
    """The same as `shunt verify` says of it."""
    case = _case("proxy-arp")
    values = case.outputs["values"].stdout.replace("forwarding:0", "forwarding:1")
    outputs = case.outputs | {"values": Output(values)}
    six = replace(case.wish, clusters=(*case.wish.clusters, ip_address("2001:db8::10")))
    for accept, severity, word in (
        ((), Severity.WARNING, "the host"),
        ((Accepted.FORWARDS,), Severity.NOTE, "accepted by the configuration: the host"),
    ):
        wish = replace(six, server=replace(six.server, accept=accept))
        found = [
            finding
            for finding in DRIVER.plan(DRIVER.observe(wish, outputs), wish).findings
            if "forwards packets" in finding.what
        ]
        assert [finding.severity for finding in found] == [severity, severity]
        assert all(finding.what.startswith(word) for finding in found)
        assert "ipv6" in found[1].what


FACTS = [fact.name for fact in DRIVER.facts(CASES[0].wish)]


@pytest.mark.parametrize("name", FACTS)
def test_what_is_missing_failed_or_cut_off_is_an_error(name: str) -> None:
    done = next(case for case in CASES if case.name == "done")
    whole = done.outputs[name].stdout
    bad = [Output(""), Output("", "not found", 127), Output(whole, "", 1), Output("what?\n")]
    # Cut anywhere but behind the last line break and white space.
    bad += [Output(whole[:length]) for length in range(0, len(whole.rstrip()), 5)]
    for output in bad:
        with pytest.raises(ParseError):
            done.plan({**done.outputs, name: output})
    without = {key: value for key, value in done.outputs.items() if key != name}
    with pytest.raises(ParseError, match="was not asked"):
        done.plan(without)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("links", {"ifname": "x; reboot", "flags": [], "addr_info": []}),
        ("links", {"flags": [], "addr_info": []}),
        ("links", {"ifname": "eth0", "flags": [], "addr_info": [{"local": "nonsense"}]}),
        ("routes4", {"dst": "192.0.2.300/24"}),
        ("routes6", {"dst": "192.0.2.0/24", "table": "main"}),
        ("rules4", {"src": "all", "table": "main"}),
        ("proxies4", {"dst": "192.0.2.10"}),
    ],
)
def test_rows_that_are_not_understood_are_errors(name: str, row: dict[str, object]) -> None:
    done = next(case for case in CASES if case.name == "done")
    rows = [*json.loads(done.outputs[name].stdout), row]
    with pytest.raises(ParseError, match="row not understood"):
        done.plan({**done.outputs, name: Output(json.dumps(rows))})
