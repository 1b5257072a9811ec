"""What still needs a server is told by its address: who left a service has no name there."""

from __future__ import annotations

from typing import Any

import pytest

from shunt.cli.server_runtime import members_of, remaining, weight
from shunt.dispatcher import control
from shunt.errors import ControlError

WEB, TLS = "192.0.2.10:80/tcp", "192.0.2.10:443/tcp"


def row(server: str | None = "a", address: str = "192.0.2.21", **more: Any) -> dict[str, Any]:
    return {"server": server, "address": address, "share": 0.0, "elder_slots": 0, "exceptions": 0,
            "rates": {"packets": 3.0}} | more  # fmt: skip


def status(**services: list[dict[str, Any]]) -> dict[str, Any]:
    return {"services": [{"name": name, "servers": rows} for name, rows in services.items()]}


def test_a_server_is_watched_in_the_services_that_are_meant() -> None:
    seen = status(**{WEB: [row(), row("b", "192.0.2.22")], TLS: [row()]})
    assert members_of(seen, "a", None) == {(WEB, "192.0.2.21"), (TLS, "192.0.2.21")}
    assert members_of(seen, "a", [TLS]) == {(TLS, "192.0.2.21")}


def test_who_has_left_the_service_is_still_watched() -> None:
    members = {(WEB, "192.0.2.21")}
    (words,) = remaining(status(**{WEB: [row(None, elder_slots=8152)]}), members)
    assert words == f"{WEB}: 8,152 slots with older flows; 3 packets a second"
    (words,) = remaining(status(**{WEB: [row(exceptions=None)]}), members)
    assert "not counted yet" in words
    assert remaining(status(**{WEB: [row("b", "192.0.2.22", share=1.0)]}), members) == []


def test_a_weight_is_answered_with_both_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = {"service": WEB, "server": "a", "before": 10, "after": 5}
    monkeypatch.setattr(control, "request", lambda *_, **__: {"changed": [changed], "moved": 7})
    assert weight("a", 5) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"a in {WEB}: weight 10 -> 5"
    assert second == "7 slots changed hands"


def test_of_a_service_that_has_gone_nothing_can_be_told() -> None:
    with pytest.raises(ControlError, match="has gone: whether"):
        remaining(status(**{TLS: [row()]}), {(WEB, "192.0.2.21")})
