"""No live flow changes its server in any state that there is; and each rule is needed for that."""

from __future__ import annotations

import pytest

from shunt.model.config import OnDown
from tests.balance.search import Rule, Search, Setting

EVERY_RULE = frozenset(Rule)
SETTINGS = (
    Setting(),
    Setting(on_down=OnDown.MOVE),
    Setting(udp=True),
)
MORE = tuple(
    Setting(udp=udp, track_all=track_all, on_down=on_down, stale=stale, quiesce=stale == 2)
    for udp in (False, True)
    for track_all in (False, True)
    for on_down in OnDown
    for stale in (2, 3)
)
LARGE = tuple(
    Setting(servers=3, udp=udp, on_down=on_down) for udp in (False, True) for on_down in OnDown
)
AFFINITY = tuple(
    Setting(udp=udp, stale=1, sticky=1, on_down=on_down)
    for udp in (False, True)
    for on_down in (OnDown.KEEP, OnDown.MOVE)
)


def closed(setting: Setting) -> int:
    """Return how many states there are; assert that all are right."""
    states, way = Search(setting).run()
    assert way is None, " -> ".join(way or ())
    return states


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_no_live_flow_changes_its_server(setting: Setting) -> None:
    assert closed(setting) > 10_000


@pytest.mark.parametrize("rule", Rule, ids=lambda rule: rule.name)
def test_without_one_of_the_rules_a_flow_breaks(rule: Rule) -> None:
    on_down = OnDown.MOVE if rule is Rule.READ_AGAIN else OnDown.KEEP
    _, way = Search(Setting(on_down=on_down, rules=EVERY_RULE - {rule})).run()
    assert way is not None
    assert "goes to" in way[-1]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("setting", MORE, ids=str)
def test_with_two_servers(setting: Setting) -> None:
    assert closed(setting) > 10_000


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("setting", LARGE, ids=str)
def test_with_three_servers(setting: Setting) -> None:
    assert closed(setting) > 100_000


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("setting", AFFINITY, ids=str)
def test_with_affinity(setting: Setting) -> None:
    assert closed(setting) > 100_000
