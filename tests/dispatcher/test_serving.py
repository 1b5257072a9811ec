"""Every server that cannot take traffic is told of once, and once more when it can again."""

from __future__ import annotations

import pytest

from shunt.balance.manager_streak import Streak
from shunt.dispatcher.health_jobs import Key
from shunt.dispatcher.serving import Serving, why_unable
from shunt.dispatcher.wishes import UNKNOWN, Way
from shunt.model.addresses import Mac

WELL = Streak(known=True, words="200 OK")
THERE = Way(Mac.parse("02:00:00:00:00:01"), 3)
A, B = Key("web", "a"), Key("web", "b")


@pytest.mark.parametrize(("streak", "way", "why"), [
    (WELL, THERE, None),
    (Streak(), THERE, None),
    (Streak(), UNKNOWN, None),
    (Streak(), Way(None, 3, "does not answer ARP"), "does not answer ARP"),
    (WELL, Way(THERE.mac, 3, "does not answer ARP", lost=True), "does not answer ARP"),
    (Streak(), Way(None, 0, "no route"), "no route"),
    (Streak(up=False, words="refused"), THERE, "refused"),
], ids=[
    "well", "not checked", "asked for its MAC", "never answered", "lost", "no way", "down",
])  # fmt: skip
def test_what_makes_a_server_unable(streak: Streak, way: Way, why: str | None) -> None:
    assert why_unable(streak, way) == why


def test_each_is_told_once() -> None:
    told: list[tuple[str, bool, str]] = []
    serving = Serving(lambda key, able, words: told.append((key.server, able, words)))
    serving.recall([B])
    for why in (None, "silent", "refused", None, None):
        serving.judge(A, why, "200 OK")
        serving.judge(B, why or "down before", "200 OK")
    assert told == [("a", False, "silent"), ("a", True, "200 OK")]
    serving.keep_to([A])
    serving.judge(B, None, "another B")
    assert len(told) == 2
