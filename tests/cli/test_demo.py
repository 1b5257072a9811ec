"""The demonstration: what it shows, what it calls a failure, and the whole of it on real frames."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import pytest

from shunt.cli.demo_view import bar, document, show
from shunt.cli.output import VisibleConsole
from shunt.lab.demonstration import DISPATCHED, PREPARED, UNPREPARED, Cost, Findings, Share
from shunt.lab.requests import Asked, Load
from shunt.lab.witness import Frames

FOUR, SIX = ip_address("192.0.2.10"), ip_address("2001:db8::10")
GOOD = Findings(
    shares={"a": Share(10, {FOUR: 600, SIX: 400}), "b": Share(30, {FOUR: 1500, SIX: 1500})},
    asked={address: Asked(Counter(a=1, b=3), Counter(), 0.5) for address in (FOUR, SIX)},
    loads={address: Load(1996, 2.0, 998.0, 0) for address in (FOUR, SIX)},
    frames=Frames(9000, 9000, 0, {"client": 0, "dispatcher": 0, "a": 3000, "b": 5900}),
    claims={
        UNPREPARED: {FOUR: ("a", "b"), SIX: ()},
        PREPARED: {FOUR: (), SIX: ()},
        DISPATCHED: {FOUR: ("dispatcher",), SIX: ("dispatcher",)},
    },
    configuration="clusters: [web]\n",
    cost=Cost("native", 9004, 123.4, 56.7),
    seconds=9.87,
)


def shown(findings: Findings, kept: str | None = None) -> str:
    console = VisibleConsole(file=io.StringIO(), width=80)
    show(console, findings, kept)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_good_run_has_no_failures() -> None:
    assert GOOD.failures == []
    text = shown(GOOD)
    for words in (
        "25.0%",
        "75.0%",
        "1,000",
        "9,000",
        "123 ns",
        "57 ns",
        "native",
        "clusters: [web]",
    ):
        assert words in text
    assert "✓ 4,000 requests, none failed" in text
    assert "lab down" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_kept_is_said_how_to_enter_and_remove(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/a/path" * 12])
    text = shown(GOOD, kept="abc123")
    assert " lab exec client --lab abc123 -- curl" in text
    assert " lab down abc123" in text


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"asked": {FOUR: Asked(Counter(), Counter(refused=2), 1)}}, "2 requests failed: refused"),
        ({"loads": {SIX: Load(1, 1, 1, 7)}}, "wrk counted 7 errors"),
        ({"frames": replace(GOOD.frames, replies_through=1)}, "1 replies passed through"),
        ({"shares": {"a": Share(10, {FOUR: 3})}}, "the servers logged 3 requests"),
        ({"cost": Cost("native", 0, 0, 0)}, "never ran"),
        (
            {"claims": {**GOOD.claims, DISPATCHED: {FOUR: ("a",), SIX: ()}}},
            "claimed by a (dispatched)",
        ),
        ({"claims": {**GOOD.claims, DISPATCHED: {FOUR: (), SIX: ()}}}, "claimed by nobody"),
        ({"claims": {**GOOD.claims, PREPARED: {FOUR: ("b",), SIX: ()}}}, "claimed by b (prepared)"),
    ],
)
def test_whatever_goes_wrong_is_said(broken: dict[str, object], words: str) -> None:
    findings = replace(GOOD, **broken)  # type: ignore[arg-type]  # one field each, of its own type
    assert any(words in failure for failure in findings.failures)
    text = shown(findings)
    assert words in " ".join(text.split())
    assert "✓" not in text


def test_the_document_is_json_and_agrees() -> None:
    found = json.loads(json.dumps(document(GOOD, "abc123")))
    assert found["ok"] is True
    assert found["lab"] == "abc123"
    assert found["servers"]["a"]["wanted_share"] == found["servers"]["a"]["share"] == 0.25
    assert found["servers"]["b"]["requests"] == {"192.0.2.10": 1500, "2001:db8::10": 1500}
    assert found["frames"]["replies_through_dispatcher"] == 0
    assert found["claims"]["unprepared"]["192.0.2.10"] == ["a", "b"]
    assert found["cost"] == {
        "mode": "native",
        "packets": 9004,
        "nanoseconds_per_packet": 123.4,
        "nanoseconds_of_an_empty_program": 56.7,
    }


def test_bars_grow_by_eighths() -> None:
    assert [bar(eighths / 8, width=1) for eighths in (0, 1, 4, 8)] == ["", "▏", "▌", "█"]
    assert bar(1) == "█" * 30
