"""What is printed of many servers: equal ones once, the right ones not at all if so wished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shunt.cli.output import Output
from shunt.cli.server_view import View, exit_code, show, standing
from shunt.errors import NoWayInError, RemoteError
from shunt.servers.apply import Examination
from shunt.servers.fleet import Outcome
from shunt.servers.record import Record
from shunt.servers.steps import Command, Finding, Plan, Severity, Step

if TYPE_CHECKING:
    from shunt.servers.apply import Result

Outcomes = list[Outcome[Examination]]
NOTE = Finding(Severity.NOTE, "the host forwards packets", "why", "fix")
ERROR = Finding(Severity.ERROR, "192.0.2.10 is on eth0", "why", "fix")
STEP = Step("alias:x", "add 192.0.2.10/32 to lo", "why", (Command.sh("ip address add"),), (), ())


def right(name: str, *findings: Finding) -> Outcome[Examination]:
    return Outcome(name, Examination(Plan(findings=findings), Record()))


def to_do(name: str) -> Outcome[Examination]:
    return Outcome(name, Examination(Plan((STEP, STEP)), Record()))


def wrong(name: str) -> Outcome[Examination]:
    return Outcome(name, Examination(Plan(findings=(NOTE, ERROR)), Record()))


def by_hand(name: str) -> Outcome[Examination]:
    return Outcome(name, error=NoWayInError(f"no way into {name}", hint="script"))


def failed(name: str) -> Outcome[Examination]:
    return Outcome(name, error=RemoteError(f"{name} does not answer"))


def printed(capsys: pytest.CaptureFixture[str], outcomes: Outcomes, view: View) -> list[str]:
    show(Output(), outcomes, view)
    return capsys.readouterr().out.splitlines()


ALL = [right("a", NOTE), right("b", NOTE), right("c"), to_do("d"), to_do("e"), wrong("f")]


def test_equal_servers_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, ALL, View())
    heads = [line for line in lines if line.endswith((": right", ": to do", ": wrong"))]
    assert heads == ["a, b: right", "c: right", "d, e: to do", "f: wrong"]
    assert sum(NOTE.what in line for line in lines) == 2  # once for a and b, once for f
    assert [line.split()[:2] for line in lines if line.startswith(("a, b ", "d, e "))] == [
        ["a,", "b"],
        ["d,", "e"],
    ]


def test_only_wrong_counts_what_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, ALL, View(only_wrong=True))
    assert not any(line.startswith(("a", "b", "c")) for line in lines)
    assert "right and left out: 3 of 6" in lines
    assert printed(capsys, [right("a"), right("b")], View(only_wrong=True)) == [
        "right and left out: 2 of 2"
    ]


def test_quiet_is_a_line_for_each_fault_and_nothing_for_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, ALL[:3], View(quiet=True)) == []
    assert printed(capsys, [*ALL, by_hand("g"), by_hand("h"), failed("i")], View(quiet=True)) == [
        "d, e: to do: add 192.0.2.10/32 to lo (and 1 more)",
        "f: wrong: 192.0.2.10 is on eth0",
        "g, h: by hand: the configuration has no way in",
        "i: i does not answer",
    ]


@pytest.mark.parametrize(
    ("outcomes", "named", "code"),
    [
        ([right("a"), right("b")], False, 0),
        ([right("a"), to_do("b")], False, 1),
        ([right("a"), wrong("b")], True, 1),
        ([right("a"), failed("b"), to_do("c")], False, 3),
        ([right("a"), by_hand("b")], False, 0),  # with --all
        ([to_do("a"), by_hand("b")], False, 1),
        ([right("a"), by_hand("b")], True, 3),  # it was named, and nothing is known of it
        ([by_hand("a"), by_hand("b")], False, 3),  # nobody was asked: that is not "right"
    ],
)
def test_who_is_set_up_by_hand_has_not_failed(
    outcomes: list[Outcome[Examination] | Outcome[Result]], named: bool, code: int
) -> None:
    assert exit_code(outcomes, named=named) == code


def test_the_word_for_each_state() -> None:
    words = [standing(one) for one in (*ALL[2:], by_hand("g"), failed("h"))]
    assert words == ["right", "to do", "to do", "wrong", "by hand", "failed"]
