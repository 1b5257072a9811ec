"""What is known of a server, and what the manager hears of it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from types import MappingProxyType

import pytest

from shunt.advisors import check as checks
from shunt.advisors.agent import judged
from shunt.advisors.dialogue import Verdict
from shunt.balance.manager import Decision
from shunt.dispatcher.health import managed
from shunt.dispatcher.health_findings import Findings
from shunt.dispatcher.health_jobs import Key, Rule
from shunt.dispatcher.overrides import Override
from shunt.dispatcher.wishes import UNKNOWN, Way
from shunt.model.addresses import Mac
from shunt.model.config import Advisor, Config, Dispatcher, Manager, Server
from tests.bpf.world import service
from tests.dispatcher.making import with_members

WEB = with_members(service("192.0.2.10", 80), "a", "b", weight=20)
CHECKED = replace(WEB, advisors=(Advisor("http"),))
A = Key(WEB.name, "a")
THERE = Way(Mac.parse("02:00:00:00:00:21"), 3)
CHECK = checks.make("http", {"retries": "1"}, port=80)
CHECK_AT_ONCE = checks.make("agent", {"port": "1"})
METRIC = Advisor("agent")


def config(*services: object, metric: Advisor | None = None, **manager: object) -> Config:
    servers = {
        name: Server(name, (ip_address(f"192.0.2.{number}"),), metric=metric)
        for number, name in enumerate("ab", 21)
    }
    return Config(
        Dispatcher(("eth0",)), tuple(services), MappingProxyType(servers), Manager(**manager)  # type: ignore[arg-type]  # the tests' shorthand
    )  # fmt: skip


@pytest.mark.parametrize(
    ("override", "way", "barred", "waiting", "capacity"),
    [
        (Override(), THERE, False, False, 20),
        (Override(quiesced=True), THERE, True, False, 20),
        (Override(weight=7), THERE, False, False, 7),
        (Override(), replace(THERE, lost=True), True, False, 20),
        (Override(), Way(None, 3, "does not answer ARP"), True, False, 20),
        (Override(), UNKNOWN, True, True, 20),
        (Override(quiesced=True), UNKNOWN, True, False, 20),
    ],
)
def test_the_manager_hears_who_can_take_connections(
    override: Override, way: Way, capacity: int, *, barred: bool, waiting: bool
) -> None:
    seen = Findings().seen(WEB, WEB.members[0], override, {"a": way})
    assert (seen.barred, seen.waiting, seen.capacity) == (barred, waiting, capacity)
    assert seen.up
    assert seen.fixed == (override.weight is not None)


def test_an_agent_that_falls_silent_has_not_taken_its_wish_back() -> None:
    findings = Findings()
    findings.measured("a", Verdict(up=True, words="drain", share=0.0))
    before, now = findings.measured("a", Verdict(up=False, words="refuses connections"))
    assert before is not None
    assert before.share == now.share == 0.0
    assert findings.seen(WEB, WEB.members[0], Override(), {"a": THERE}).share == 0.0
    by_hand = findings.seen(WEB, WEB.members[0], Override(weight=5), {"a": THERE})
    assert by_hand.share is None, "a weight by hand is what the operator wants, whole"
    findings.measured("a", Verdict(up=True, words="ready", share=1.0))
    assert findings.seen(WEB, WEB.members[0], Override(), {"a": THERE}).share == 1.0
    findings.measured("a", Verdict(up=True, words="load 3", load=3.0))
    assert findings.seen(WEB, WEB.members[0], Override(), {"a": THERE}).system == 3.0


BOTH = replace(CHECKED, advisors=(Advisor("http"), Advisor("connect")))
GOOD, BAD = Verdict(up=True, words="fine", load=4.0), Verdict(up=False, words="broken")


def _said(findings: Findings, number: int, verdict: Verdict, rule: Rule, now: float) -> bool:
    key = replace(A, number=number)
    before, streak = findings.checked(key, verdict, CHECK_AT_ONCE, now, rule)
    assert findings.streak(A) is streak
    del before
    return streak.up


@pytest.mark.parametrize("every", [True, False])
def test_several_checks_make_one_state_by_the_rule(*, every: bool) -> None:
    rule = Rule(("http", "connect"), every=every)
    findings = Findings()
    assert _said(findings, 0, GOOD, rule, 1.0)
    assert findings.streak(A).known is not every
    assert findings.streak(A).load == 4.0
    assert _said(findings, 1, BAD, rule, 2.0) is not every
    assert "connect: broken" in findings.streak(A).words
    assert ("http: fine" in findings.streak(A).words) is not every
    assert not _said(findings, 0, BAD, rule, 3.0)
    assert findings.streak(A).words == "http: broken; connect: broken"
    assert findings.streak(A).since == (2.0 if every else 3.0)
    assert _said(findings, 1, GOOD, rule, 400.0) is not every
    findings.forget_all_but(config(BOTH))
    assert _said(findings, 0, GOOD, rule, 800.0)
    assert findings.streak(A).since == (800.0 if every else 400.0)
    assert findings.forget_all_but(config(WEB)) == {}
    assert findings.streak(A) == Findings().streak(A)


@pytest.mark.parametrize("every", [True, False])
def test_who_was_down_before_is_down_until_the_rule_is_met_again(*, every: bool) -> None:
    rule = Rule(("http", "http"), every=every)
    findings = Findings()
    findings.streaks[A] = replace(findings.streak(A), up=False, since=5.0, words="broken before")
    assert _said(findings, 1, GOOD, rule, 10.0) is not every
    assert findings.streak(A).words == "broken before" if every else "http (2): fine; broken before"
    assert _said(findings, 0, GOOD, rule, 20.0)


def test_a_check_that_could_not_be_made_is_told_of_each() -> None:
    findings = Findings()
    findings.untold[replace(A, number=1)] = "no descriptors"
    row = findings.row(A, Decision(10), None)
    assert (row["untold"], row["words"]) == (True, "no descriptors")
    findings.forget_all_but(config(BOTH))
    assert findings.untold
    findings.forget_all_but(config(CHECKED))
    assert not findings.untold


def test_what_one_advisor_could_not_ask_hides_nothing_of_another() -> None:
    rule = Rule(("http", "connect", "ping"), every=True)
    findings = Findings()
    findings.untold[replace(A, number=2)] = "no descriptors"
    words = findings.row(A, Decision(10), None, rule)["words"]
    assert words == "not checked yet; ping: no descriptors"
    _said(findings, 0, BAD, rule, 1.0)
    _said(findings, 1, GOOD, rule, 1.0)
    row = findings.row(A, Decision(0, up=False), None, rule)
    assert row["words"] == "http: broken; ping: no descriptors"
    assert (row["up"], row["untold"]) == (False, True)
    _said(findings, 0, GOOD, rule, 2.0)
    row = findings.row(A, Decision(10), None, rule)
    assert row["words"] == "http: fine; connect: fine; ping: no descriptors"
    findings.untold[A] = findings.untold[replace(A, number=1)] = "no descriptors"
    row = findings.row(A, Decision(10), None, rule)
    assert row["words"] == "; ".join(f"{each}: no descriptors" for each in rule.labels)


def test_what_an_agent_does_not_speak_of_stays_as_it_was() -> None:
    findings = Findings()

    def held(line: str) -> tuple[bool | None, float | None, bool, float | None]:
        _, machine = findings.measured("a", judged(line))
        _, streak = findings.checked(A, judged(line), CHECK_AT_ONCE, 1.0)
        return machine.up, machine.share, streak.up, streak.share if streak.up else 0.0

    assert held("maint") == (False, 0.0, False, 0.0)
    assert held("75%") == (False, 0.0, False, 0.0)
    assert "the agent says 75%; with what it said before: maint 75%" in findings.streak(A).words
    assert held("drain") == (True, 0.0, True, 0.0)
    assert held("up") == (True, 0.0, True, 0.0)
    assert held("ready") == (True, 0.75, True, 0.75)
    assert held("fail") == (False, 0.0, False, 0.0)
    assert held("ready 50%") == (False, 0.0, False, 0.0)
    assert held("up")[:2] == (True, 0.5)  # as an advisor it must earn its return
    findings.forget_all_but(config(WEB))
    assert held("ready")[:2] == (True, None)


def test_a_word_that_no_agent_says_is_told_beside_what_it_said() -> None:
    findings = Findings()
    findings.measured("a", judged("50% wobbly"))
    row = findings.row(A, Decision(10), None)
    assert row["machine"] == (
        "the agent says 50% wobbly; the agent says 'wobbly', which is not a word of agents"
    )


def test_a_server_falls_as_often_as_its_check_says_and_its_load_is_of_when_it_was_up() -> None:
    findings = Findings()
    findings.checked(A, Verdict(up=True, words="200 OK", load=4.0, warning="ends soon"), CHECK, 1.0)
    assert findings.streak(A).words == "200 OK; ends soon"
    before, now = findings.checked(A, Verdict(up=False, words="refused"), CHECK, 2.0)
    assert before.up
    assert now.up
    assert findings.row(A, Decision(20), None)["load"] == 4.0
    _, now = findings.checked(A, Verdict(up=False, words="refused"), CHECK, 3.0)
    assert not now.up
    assert findings.row(A, Decision(0, up=False), None)["load"] is None


def test_who_is_not_checked_any_more_is_named_if_he_was_down() -> None:
    findings = Findings()
    for server in "ab":
        findings.checked(
            replace(A, server=server), Verdict(up=server == "b", words="."), CHECK, 1.0
        )
        findings.checked(
            replace(A, server=server), Verdict(up=server == "b", words="."), CHECK, 2.0
        )
    assert findings.forget_all_but(config(CHECKED)) == {}
    assert findings.forget_all_but(config(WEB)).keys() == {A}
    assert findings.streaks == {}


def test_services_are_managed_if_there_is_anything_to_go_by() -> None:
    assert managed(config(WEB)) == frozenset()
    assert managed(config(CHECKED)) == {WEB.name}
    assert managed(config(WEB, dynamic=True)) == {WEB.name}
    assert managed(config(WEB, metric=METRIC)) == {WEB.name}
    assert managed(config(service("192.0.2.10", 81), metric=METRIC)) == frozenset()
