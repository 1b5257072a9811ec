"""The judge of the storm is strict: each of its sentences, on courses made by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.dispatcher.storm import oracle
from tests.dispatcher.storm.oracle import Arrival, Course, Line, Request, Spell, Trouble
from tests.dispatcher.storm.plan import Act, What, plan

SERVICE = "192.0.2.10:80/tcp"
SERVERS = ["a", "b", "c"]
HOUR = 3600.0


def line(at: float, event: str, server: str = "") -> Line:
    return Line(at, event, {"service": SERVICE, "server": server} if server else {})


def alert(at: float, event: str) -> Line:
    return Line(at, event, {"service": SERVICE})


KILLED = Trouble("b", What.KILL, Spell(100.0, 110.0))
SEEN = (line(100.3, oracle.DOWN, "b"), line(100.35, oracle.MOVED), line(110.2, oracle.UP, "b"))


def faults(
    at: float,
    host: str = "b",
    *,
    answer: str = "",
    direct: bool = False,
    nowhere: bool = False,
    again: Arrival | None = None,
    **course: Any,
) -> list[str]:
    """Judge one request that began `at` a time and arrived somewhere at once."""
    arrivals = [] if nowhere else [Arrival(host, at, opens=True, direct=direct)]
    made = Course(
        SERVICE,
        SERVERS,
        requests=[Request(2000, Spell(at, at + 0.5), answer)],
        arrivals={2000: [*arrivals, *([again] if again else [])]},
        **{"troubles": [KILLED], "lines": SEEN, **course},
    )
    return [words.split(":")[0] for _, words in oracle.judge(made).faults]


def test_a_failure_is_explained_by_the_trouble_of_the_host_that_got_it_and_by_no_other() -> None:
    assert faults(100.2) == []
    assert faults(99.8) == [], "it was under way"
    assert faults(100.2, "c") == ["unexplained"]
    assert faults(99.0) == ["unexplained"], "it was over"
    assert faults(110.5) == ["unexplained"], "all was well again"
    assert faults(100.2, nowhere=True) == ["unexplained"], "Shunt lost it"


def test_after_the_slots_have_changed_hands_no_new_connection_goes_there() -> None:
    out = "a new connection to a server that is out"
    assert faults(100.39) == []
    assert faults(100.5) == [out]
    assert faults(100.5, answer="b") == [out], "even if it is answered"
    assert faults(110.3, answer="b") == []
    again = Arrival("b", 100.6, opens=True, direct=False)
    assert faults(100.2, again=again) == [], "a connection begun before may be begun again"


def test_what_is_not_noticed_in_time_explains_nothing() -> None:
    late = 100.0 + oracle.NOTICED
    assert faults(late - 0.1, lines=()) == ["never noticed"]
    assert faults(late + 0.1, lines=()) == ["never noticed", "unexplained"]
    short = Trouble("b", What.HANG, Spell(100.0, late - 0.1))
    assert faults(100.2, lines=(), troubles=[short]) == []


def test_nobody_notices_while_the_daemon_is_away_and_it_has_its_time_after_that() -> None:
    troubles = [KILLED, Trouble("dispatcher", What.DAEMON, Spell(99.0, 105.0))]
    lines = (line(105.0, oracle.READY), line(105.9, oracle.DOWN, "b"), line(106.0, oracle.MOVED))
    assert faults(104.0, troubles=troubles, lines=lines) == []
    assert faults(105.8, troubles=troubles, lines=lines) == []
    assert len(faults(106.1, troubles=troubles, lines=lines)) == 1


def test_a_server_that_was_out_when_the_daemon_was_killed_stays_out() -> None:
    lines = (*SEEN[:2], line(104.0, oracle.READY), SEEN[2])
    assert len(faults(105.0, answer="b", lines=lines)) == 1
    undone = (SEEN[0], line(104.0, oracle.READY), line(104.1, oracle.MOVED), SEEN[2])
    assert faults(105.0, answer="b", lines=undone) == []


def test_while_every_server_is_down_none_is_out() -> None:
    lines = (*SEEN[:2], alert(102.5, oracle.ALERT), alert(104.0, oracle.CLEAR), SEEN[2])
    assert len(faults(101.0, answer="b", lines=lines)) == 1
    assert faults(103.0, answer="b", lines=lines) == []
    moved = (*lines[:4], line(104.1, oracle.MOVED), SEEN[2])
    assert len(faults(105.0, answer="b", lines=moved)) == 1


def test_an_alert_is_no_excuse_where_a_server_is_well() -> None:
    lines = (alert(100.0, oracle.ALERT), alert(104.0, oracle.CLEAR))
    troubles = [Trouble(name, What.KILL, Spell(99.0, 103.9)) for name in SERVERS]
    told: dict[str, Any] = {"answer": "b", "lines": lines}
    assert "an alert though b is well" not in faults(105.0, troubles=troubles, **told)
    troubles[1] = Trouble("b", What.KILL, Spell(99.0, 103.9 - oracle.NOTICED))
    assert "an alert though b is well" in faults(105.0, troubles=troubles, **told)
    away = Trouble("dispatcher", What.DAEMON, Spell(101.0, 103.5))
    assert "an alert though b is well" not in faults(105.0, troubles=[*troubles, away], **told)


def test_only_a_claim_leads_past_the_dispatcher_and_not_for_long() -> None:
    past = "past the dispatcher, and nobody claims its address"
    claim = Trouble("stray", What.CLAIM, Spell(200.0, 200.0))
    assert faults(200.5, "stray", direct=True, troubles=[claim]) == []
    assert faults(199.0, "stray", direct=True, troubles=[claim]) == [past, "unexplained"]
    assert faults(200.1 + oracle.MISLED, "c", answer="c", direct=True, troubles=[claim]) == [past]
    for killed in (199.0, 200.5):  # before it could answer
        away = Trouble("dispatcher", What.DAEMON, Spell(killed, 205.0))
        assert faults(205.5, "stray", direct=True, troubles=[claim, away]) == []


def test_an_answer_comes_from_the_server_that_got_the_request() -> None:
    assert faults(300.0, "a", answer="a") == []
    assert faults(300.0, "a", answer="c") == ["answered by another than got it"]


def overlapping(acts: list[Act], at: float) -> set[str]:
    return {act.host for act in acts if act.at <= at <= act.at + act.lasting}


@pytest.mark.parametrize("seed", ["1", "2", "storm"])
def test_a_plan_is_its_seeds_and_leaves_one_server_well(seed: str) -> None:
    acts = plan(seed, HOUR, SERVERS)
    assert acts == plan(seed, HOUR, SERVERS)
    assert acts != plan(seed + "0", HOUR, SERVERS)
    short = plan(seed, 20, SERVERS)
    assert short == tuple(act for act in acts if act.at < 20)
    assert {act.what for act in acts} == set(What)
    of_servers = [act for act in acts if act.host in SERVERS and act.what is not What.CLAIM]
    assert max(len(overlapping(of_servers, act.at)) for act in of_servers) == 2
    for server in SERVERS:
        own = [act for act in of_servers if act.host == server]
        assert all(one.at + one.lasting < next_.at for one, next_ in pairwise(own))
