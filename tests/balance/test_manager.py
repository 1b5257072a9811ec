"""The manager's weights: worked examples of each rule, and properties of all of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.balance.manager import NOTHING, Decided, Seen, decide
from shunt.balance.manager_streak import MEMORY, PATIENCE, Streak, after
from shunt.model.config import Manager

DYNAMIC = Manager(dynamic=True, smoothing=100, sensitivity=0)


def weights(decided: Decided) -> list[int]:
    return [decision.weight for decision in decided.servers.values()]


def servers(*seen: dict[str, object]) -> list[Seen]:
    return [Seen(**{"server": f"s{n}", "capacity": 10} | each) for n, each in enumerate(seen)]  # type: ignore[arg-type]  # the tests' shorthand


def test_without_dynamic_the_files_weights_hold_whatever_is_measured() -> None:
    seen = servers({"active": 100.0, "new": 9.0, "port": 7.0}, {"capacity": 30, "active": 0.0})
    decided = decide(seen, Manager(), NOTHING, 1.0)
    assert weights(decided) == [10, 30]
    assert all(decision.reason is None for decision in decided.servers.values())


def test_low_load_gives_high_weight_and_equal_load_none() -> None:
    only = replace(DYNAMIC, active=100, new=0)
    assert weights(decide(servers({"active": 0.0}, {"active": 8.0}), only, NOTHING, 1.0)) == [20, 1]
    assert weights(decide(servers({"active": 2.0}, {"active": 6.0}), only, NOTHING, 1.0)) == [15, 5]
    assert weights(decide(servers({"active": 5.0}, {"active": 5.0}), only, NOTHING, 1.0)) == [
        10,
        10,
    ]


def test_connections_count_against_the_capacity_and_times_do_not() -> None:
    seen = servers({"active": 10.0}, {"capacity": 30, "active": 30.0})
    assert weights(decide(seen, replace(DYNAMIC, active=100, new=0), NOTHING, 1.0)) == [10, 30]
    seen = servers({"port": 30.0}, {"capacity": 30, "port": 10.0})
    only = replace(DYNAMIC, active=0, new=0, port=100)
    assert weights(decide(seen, only, NOTHING, 1.0)) == [5, 45]


def test_proportions_mix_and_what_is_not_measured_is_neutral() -> None:
    seen = servers({"active": 0.0}, {"active": 8.0})
    assert weights(decide(seen, DYNAMIC, NOTHING, 1.0)) == [15, 5]


@pytest.mark.parametrize(
    ("bound", "expected"),
    [(1, [10, 10]), (2, [20, 10]), (3, [15, 5]), (5, [17, 3]), (100, [20, 1])],
)
def test_the_bound_limits_the_spread(bound: int, expected: list[int]) -> None:
    only = replace(DYNAMIC, active=100, new=0, weightbound=bound)
    assert (
        weights(decide(servers({"active": 0.0}, {"active": 8.0}), only, NOTHING, 1.0)) == expected
    )


@pytest.mark.parametrize("bound", range(1, 100))
def test_equal_loads_change_nothing_whatever_the_bound(bound: int) -> None:
    only = replace(DYNAMIC, active=100, new=0, weightbound=bound)
    assert weights(decide(servers({"active": 5.0}, {"active": 5.0}), only, NOTHING, 1.0)) == [
        10,
        10,
    ]


def test_smoothing_goes_a_part_of_the_way_each_time() -> None:
    calm = replace(DYNAMIC, active=100, new=0, smoothing=200)
    decided, seen = NOTHING, servers({"active": 0.0}, {"active": 8.0})
    found = []
    for now in range(1, 5):
        decided = decide(seen, calm, decided, now)
        found.append(weights(decided))
    assert found == [[15, 5], [18, 2], [19, 1], [19, 1]]


def test_smoothing_goes_by_measurements_and_not_by_whatever_happens_meanwhile() -> None:
    calm = replace(DYNAMIC, active=100, new=0, smoothing=500)
    seen = servers({"active": 0.0}, {"active": 8.0})
    once = decide(seen, calm, NOTHING, 1.0)
    decided = once
    for _ in range(10):
        decided = decide(seen, calm, decided, 1.0, measured=False)
    assert weights(decided) == weights(once)
    assert weights(decide(seen, calm, decided, 2.0)) != weights(once)


def test_small_changes_wait_and_their_sum_does_not() -> None:
    calm = Manager(dynamic=True, active=100, new=0, smoothing=100, sensitivity=20)
    first = decide(servers({"active": 5.0}, {"active": 5.0}), calm, NOTHING, 1.0)
    little = decide(servers({"active": 4.5}, {"active": 5.5}), calm, first, 2.0)
    assert weights(little) == [10, 10]
    much = decide(servers({"active": 3.0}, {"active": 7.0}), calm, little, 3.0)
    assert weights(much) == [14, 6]


def test_a_server_that_is_down_has_no_weight_at_once() -> None:
    calm = Manager(dynamic=True, sensitivity=100)
    first = decide(servers({}, {}), calm, NOTHING, 1.0)
    second = decide(servers({}, {"up": False, "words": "refused"}), calm, first, 2.0)
    assert weights(second) == [10, 0]
    assert second.servers["s1"].reason == "refused"
    assert not second.servers["s1"].up


def test_all_down_spreads_over_all_and_alerts() -> None:
    decided = decide(servers({"up": False}, {"up": False, "capacity": 30}), DYNAMIC, NOTHING, 1.0)
    assert decided.alert == "every server is down: traffic is spread over all of them"
    assert weights(decided) == [10, 30]
    assert all(decision.up for decision in decided.servers.values())
    assert not decide(servers({"up": False}, {}), DYNAMIC, decided, 2.0).alert


@pytest.mark.parametrize(
    "idle", [{"barred": True}, {"capacity": 0}, {"share": 0.0}, {"barred": True, "up": False}]
)
def test_who_can_take_no_connections_does_not_keep_the_alert_away(idle: dict[str, object]) -> None:
    last: dict[str, object] = {"up": False, "words": "refused"}
    assert not decide(servers(idle, idle, {}), Manager(), NOTHING, 1.0).alert
    decided = decide(servers(idle, idle, last), Manager(), NOTHING, 2.0)
    assert decided.alert is not None
    assert decided.alert.endswith("is down: traffic is spread over s2")
    assert decided.servers["s2"].weight == 10
    assert "(refused)" in (decided.servers["s2"].reason or "")
    assert decided.servers["s0"].up == idle.get("up", True)
    nobody = decide(servers(idle, idle), Manager(), NOTHING, 3.0)
    assert nobody.alert == "no server can take connections: new ones are dropped"


def test_who_has_not_been_reached_yet_may_still_be() -> None:
    seen = servers({"barred": True, "waiting": True}, {"up": False})
    assert not decide(seen, Manager(), NOTHING, 1.0).alert


def test_the_reason_of_a_server_that_is_down_is_the_newest() -> None:
    first = decide(servers({"up": False, "words": "refused"}, {}), DYNAMIC, NOTHING, 1.0)
    second = decide(servers({"up": False, "words": "silent"}, {}), DYNAMIC, first, 2.0)
    assert second.servers["s0"].reason == "silent"


def test_too_few_are_never_left_and_those_that_failed_last_stay() -> None:
    least = Manager(min_servers=50)
    seen = servers(
        {}, {"up": False, "since": 5.0}, {"up": False, "since": 9.0, "words": "slow"}, {}
    )
    assert decide(seen, least, NOTHING, 10.0).kept == frozenset()
    seen = [*seen[:3], replace(seen[3], up=False, since=7.0)]
    decided = decide(seen, least, NOTHING, 10.0)
    assert decided.kept == {"s2"}
    assert weights(decided) == [10, 0, 10, 0]
    assert "failing (slow), and kept" in (decided.servers["s2"].reason or "")


def test_who_can_take_no_connections_does_not_count_as_left() -> None:
    seen = servers({}, {"capacity": 20, "up": False}, {"capacity": 30, "barred": True})
    decided = decide(seen, Manager(min_servers=40), NOTHING, 1.0)
    assert decided.kept == {"s1"}
    assert weights(decided)[:2] == [10, 20]


def test_slow_start_grows_to_the_whole_weight() -> None:
    slow = Manager(slow_start=10, sensitivity=50)
    decided, found = NOTHING, []
    for now in (100.0, 102.0, 105.0, 109.0, 110.0, 200.0):
        decided = decide(servers({"since": 100.0}, {}), slow, decided, now)
        found.append(decided.servers["s0"].weight)
    assert found == [1, 2, 5, 9, 10, 10]


def test_agents_wish_and_fixed_weights_are_heard() -> None:
    seen = servers({"share": 0.5}, {"share": 0.0}, {"fixed": True, "active": 9.0}, {"active": 1.0})
    decided = decide(seen, replace(DYNAMIC, active=100, new=0), NOTHING, 1.0)
    assert [decision.weight for decision in decided.servers.values()][:3] == [5, 0, 10]


LOADS = st.one_of(st.none(), st.floats(0, 1e6))
SEEN = st.builds(
    Seen,
    server=st.sampled_from("abcdef"),
    capacity=st.integers(0, 65535),
    up=st.booleans(),
    since=st.floats(0, 1000),
    fixed=st.booleans(),
    active=LOADS,
    new=LOADS,
    port=LOADS,
    system=st.one_of(st.none(), st.floats(0, 100)),
    share=st.one_of(st.none(), st.floats(0, 1)),
    barred=st.booleans(),
    waiting=st.booleans(),
)
SETTINGS = st.builds(
    Manager,
    dynamic=st.booleans(),
    active=st.just(25),
    new=st.just(25),
    port=st.just(25),
    system=st.just(25),
    sensitivity=st.integers(0, 100),
    smoothing=st.integers(100, 1000),
    weightbound=st.integers(1, 100),
    slow_start=st.integers(0, 100),
    min_servers=st.integers(0, 100),
)
SERVICES = st.lists(SEEN, min_size=1, max_size=4, unique_by=lambda seen: seen.server)


@settings(max_examples=200, deadline=None)
@given(SERVICES, SETTINGS)
def test_what_holds_for_every_service(seen: list[Seen], manager: Manager) -> None:
    decided = decide(seen, manager, NOTHING, 1000.0)
    serves = any(server.up and (server.able or server.waiting) for server in seen)
    assert (decided.alert is None) == serves
    able = sum(server.capacity for server in seen if server.able)
    total = sum(server.capacity for server in seen)
    left = 0
    for server in seen:
        decision = decided.servers[server.server]
        assert 0 <= decision.weight <= 65535
        assert 0 <= decision.factor <= 2
        if server.up and server.capacity and server.share != 0:
            assert decision.weight > 0
        if server.up and server.fixed and server.share is None and server.able:
            assert decision.weight == server.capacity
        if decision.weight not in {0, server.capacity}:
            assert decision.reason
        left += server.capacity if decision.up and server.able else 0
    assert left * 100 >= min(manager.min_servers * total, able * 100)
    assert decide(seen, manager, NOTHING, 1000.0) == decided


@settings(max_examples=30, deadline=None)
@given(SERVICES, SETTINGS)
def test_constant_measurements_come_to_rest(seen: list[Seen], manager: Manager) -> None:
    decided = NOTHING
    history = []
    for _ in range(100):
        decided = decide(seen, manager, decided, 2000.0)
        history.append(weights(decided))
    assert history[-1] == history[-2]


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 1000), st.floats(0, 1000), SETTINGS)
def test_more_load_never_gives_more_weight(low: float, high: float, manager: Manager) -> None:
    low, high = sorted((low, high))
    seen = servers({"active": low}, {"active": high})
    decided = decide(seen, manager, NOTHING, 1.0)
    assert decided.servers["s0"].weight >= decided.servers["s1"].weight


def _run(results: str, *, fall: int = 1, rise: int = 1, every: float = 1.0) -> list[Streak]:
    streaks = [Streak()]
    for number, result in enumerate(results, 1):
        streaks.append(
            after(streaks[-1], number * every, result, good=result == "+", fall=fall, rise=rise)
        )
    return streaks


def _line(streaks: list[Streak]) -> str:
    return "".join("U" if streak.up else "d" for streak in streaks[1:])


def test_rise_and_fall_count_results_in_a_row() -> None:
    assert _line(_run("-+")) == "dU"
    assert _line(_run("--+---+++", fall=3)) == "UUUUUdUUU"
    assert _line(_run("-+-++-", rise=2)) == "ddddUd"


def test_a_flapping_server_returns_ever_more_slowly() -> None:
    changes = [
        number
        for number, (one, two) in enumerate(pairwise(_run("-" + "+++++++-" * 200)))
        if one.up != two.up
    ]
    assert len(changes) <= 8
    assert _run("-+" * 200)[-1].needed(1) <= PATIENCE


def test_falls_are_forgotten_after_a_good_time() -> None:
    calm = _run("-+-++" + "-++" * 3, every=MEMORY + 1)
    assert all(streak.falls == 0 for streak in calm)


def test_who_must_earn_its_return_serves_where_no_other_can() -> None:
    """Flaps delay a return; they must not make a service fail whose servers work."""
    down: dict[str, object] = {"up": False, "since": 5.0, "words": "200 OK"}
    earning = down | {"earning": True}
    decided = decide(servers(earning, down), Manager(), NOTHING, 9.0)
    assert weights(decided) == [10, 0]
    assert decided.alert is None
    assert decided.kept == {"s0"}
    assert "too few would be left" in (decided.servers["s0"].reason or "")
    assert weights(decide(servers(earning, {}), Manager(), NOTHING, 9.0)) == [0, 10]
    barred = earning | {"barred": True}
    assert decide(servers(barred, down), Manager(), NOTHING, 9.0).alert is not None
    least = Manager(min_servers=60)
    late = down | {"since": 7.0}
    assert weights(decide(servers({}, earning, late), least, NOTHING, 9.0)) == [10, 10, 0]


def test_the_reason_of_one_that_returns_is_not_the_words_of_a_success() -> None:
    returning = {"up": False, "since": 5.0, "words": "HTTP/1.1 200 OK", "earning": True}
    reason = decide(servers(returning, {}), Manager(), NOTHING, 9.0).servers["s0"].reason
    assert reason is not None
    assert reason.startswith("returning: more checks must succeed in a row")


def test_a_success_of_one_that_is_down_earns_its_return() -> None:
    streak = Streak(up=False, since=1.0, falls=3)
    assert not streak.earning
    better = after(streak, 2.0, "200 OK", good=True, fall=1, rise=1)
    assert not better.up
    assert better.earning
    assert not after(better, 3.0, "refused", good=False, fall=1, rise=1).earning
