"""The table of checks says who is up, why not, and what the manager made of it."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group

from shunt.cli.status_health import tables

ROW: dict[str, Any] = {
    "up": True, "checked": True, "at": "cluster", "words": "HTTP/1.1 200 [OK]", "load": 1.25,
    "falls": 0, "untold": False, "weight": 14, "reason": None, "factor": 1.4,
    "parts": {"active": 1.8, "new": 1.0}, "active": 12.0, "new": 3.5, "machine": "load 40",
}  # fmt: skip


def test_every_fact_is_shown() -> None:
    rows = {
        "a": ROW,
        "b": ROW | {"up": False, "words": "refuses", "falls": 3, "at": "server", "parts": {}},
        "d": ROW | {"untold": True, "words": "not checked: no route"},
        "c": ROW | {"checked": False, "up": None, "load": None, "falls": 1},
    }
    alert = "every server is down: traffic is spread over all of them"
    health = {"services": {"[2001:db8::10]:80/tcp": {"alert": alert, "servers": rows}}}
    console = Console(width=200)
    with console.capture() as shown:
        console.print(Group(*tables(health, health["services"].keys())))
    head, _, first, second, unknown, third = shown.get().splitlines()
    assert "checks of [2001:db8::10]:80/tcp  every server is down" in head
    assert all(
        word in first for word in ("up", "1.2", "12", "3.5", "load 40", "1.40", "14", "[OK]")
    )
    assert all(word in second for word in ("down (own address)", "refuses; fell 3 times"))
    assert all(word in unknown for word in ("up?", "not checked: no route"))
    assert "none yet" in third
    assert "fell once" in third
