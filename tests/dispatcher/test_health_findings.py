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
from shunt.dispatcher.health_jobs import Key
from shunt.dispatcher.overrides import Override
from shunt.dispatcher.wishes import UNKNOWN, Way
from shunt.model.addresses import Mac
from shunt.model.config import Advisor, Config, Dispatcher, Manager, Server
from tests.bpf.world import service
from tests.dispatcher.making import with_members

WEB = with_members(service("192.0.2.10", 80), "a", "b", weight=20)
CHECKED = replace(WEB, advisor=Advisor("http"))
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
