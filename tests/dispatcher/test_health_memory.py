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
NOW, BOOT = 1000.0, "this start"


def test_what_is_kept_is_recalled(tmp_path: Path) -> None:
    file = tmp_path / "health.json"
    streaks = {
        A: Streak(up=False, since=NOW - 50, falls=3, words="refused", known=True),
        B: Streak(up=True, since=NOW - 4, falls=1, words="200 OK", known=True, load=1.0),
    }
    keep(file, Memory(streaks, frozenset({A.service})), BOOT)
    found = recall(file, NOW + 10, BOOT)
    assert found.alerts == {A.service}
    assert found.streaks == {
        A: Streak(up=False, since=NOW - 50, falls=3, words="refused"),
        B: Streak(up=True, since=NOW - 4, falls=1, words="200 OK"),
    }


def test_no_clock_that_somebody_sets_has_a_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is set back by an hour would keep slow start at its beginning for an hour."""
    file = tmp_path / "health.json"
    keep(file, Memory({B: Streak(up=True, since=NOW - 4)}), BOOT)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert recall(file, NOW, BOOT).streaks[B].since == NOW - 4
    assert recall(file, NOW - 100, BOOT).streaks[B].since == NOW - 100, "never in the future"


def test_after_another_start_of_the_machine_only_who_was_down_is_known(tmp_path: Path) -> None:
    file = tmp_path / "health.json"
    streaks = {A: Streak(up=False, since=NOW, falls=2), B: Streak(up=True, since=NOW)}
    keep(file, Memory(streaks), BOOT)
    assert recall(file, 7.0, "another").streaks == {
        A: Streak(up=False, since=7.0, falls=2, words="not checked yet")
    }


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
     json.dumps({"servers": [{"service": "s"}], "alerts": [], "boot": BOOT}),
     json.dumps({"servers": [{"service": "s", "server": "a", "up": False, "since": float("nan"),
                              "falls": 0, "words": ""}], "alerts": [], "boot": BOOT}),
     json.dumps({"servers": 7, "alerts": 8, "boot": BOOT})],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_as_none(text: str, tmp_path: Path) -> None:
    file = tmp_path / "health.json"
    assert recall(file, NOW, BOOT) == Memory()
    file.write_text(text)
    assert recall(file, NOW, BOOT) == Memory()
