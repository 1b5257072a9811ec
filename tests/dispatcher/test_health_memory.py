"""What the checks found outlives the daemon, whatever the file looks like."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from shunt.balance.manager_streak import MEMORY, Streak
from shunt.dispatcher.health_jobs import Key
from shunt.dispatcher.health_memory import Memory, keep, recall, worth_keeping

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = (Key("[2001:db8::10]:80/tcp", name) for name in "abc")
NOW, WALL = 1000.0, 1_800_000_000.0


def test_what_is_kept_is_recalled_at_another_time_of_another_clock(tmp_path: Path) -> None:
    file = tmp_path / "health.json"
    streaks = {
        A: Streak(up=False, since=NOW - 50, falls=3, words="refused", known=True),
        B: Streak(up=True, since=NOW - 4, falls=1, words="200 OK", known=True, load=1.0),
    }
    keep(file, Memory(streaks, frozenset({A.service})), NOW, WALL)
    found = recall(file, 70.0, WALL + 10)
    assert found.alerts == {A.service}
    assert found.streaks == {
        A: Streak(up=False, since=10.0, falls=3, words="refused"),
        B: Streak(up=True, since=56.0, falls=1, words="200 OK"),
    }
    assert recall(file, 5.0, WALL + 10).streaks[A].since > 0, "0 would say that it always was so"


def test_only_what_a_restart_must_know_is_kept() -> None:
    streaks = {
        A: Streak(up=False, since=1.0),
        B: Streak(up=True, since=NOW - 10),
        C: Streak(up=True, since=NOW - MEMORY - 1),
    }
    assert worth_keeping(streaks, NOW, 0).keys() == {A, B}
    assert worth_keeping(streaks, NOW, MEMORY + 2).keys() == {A, B, C}
    assert worth_keeping({A: Streak(known=True)}, 10.0, 0) == {}


@pytest.mark.parametrize(
    "text",
    ["", "[", "{}", "[]", "null", json.dumps([["s", "a", "words"]]),
     json.dumps({"servers": [{"service": "s"}], "alerts": []}),
     json.dumps({"servers": [{"service": "s", "server": "a", "up": False, "since": float("nan"),
                              "falls": 0, "words": ""}], "alerts": []}),
     json.dumps({"servers": 7, "alerts": 8})],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_as_none(text: str, tmp_path: Path) -> None:
    file = tmp_path / "health.json"
    assert recall(file, NOW, WALL) == Memory()
    file.write_text(text)
    assert recall(file, NOW, WALL) == Memory()
