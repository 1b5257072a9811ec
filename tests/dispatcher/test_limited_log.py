"""Few log lines, however often something happens: of one kind, and of all kinds together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from shunt.advisors.agent import judged
from shunt.config import parse
from shunt.dispatcher.events import Events, Kind
from shunt.dispatcher.health import HealthWatch
from shunt.dispatcher.health_jobs import METRIC, Key
from shunt.dispatcher.hooks import Hooks
from shunt.dispatcher.limited_log import LimitedLog

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from pathlib import Path
    from typing import Any

TEXT = """\
dispatcher: {interface: eth0}
clusters: {web: {address: 192.0.2.10, ports: [{port: 80, servers: [a, b]}]}}
servers: {a: {address: 192.0.2.21}, b: {address: 192.0.2.22}}
"""
MINUTE = 60.0


class Clock:
    """Stands still until it is put on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _counted(lines: Sequence[MutableMapping[str, Any]]) -> int:
    return sum(1 + line.get("left_out", 0) for line in lines)


def test_lines_of_one_kind_are_few_and_the_rest_is_counted() -> None:
    clock = Clock()
    limited = LimitedLog(burst=3, clock=clock)
    with capture_logs() as lines:
        for _ in range(1000):
            limited.warning("it happened", "a")
        assert len(lines) == 3
        limited.warning("it happened", "b")
        assert len(lines) == 4, "another kind"
        clock.now += MINUTE
        limited.warning("it happened", "a")
    assert lines[-1]["left_out"] == 997
    assert _counted(lines) == 1002


def test_lines_of_all_kinds_together_are_bounded() -> None:
    """However many kinds there are: more than are remembered, and each of them new."""
    clock = Clock()
    limited = LimitedLog(burst=3, clock=clock)
    with capture_logs() as lines:
        for number in range(5000):
            limited.warning("it happened", str(number))
        assert len(lines) == 500
        lines.clear()
        for minute in range(10):
            for number in range(1000):
                limited.warning("it happened", f"{minute} {number}")
            clock.now += MINUTE
    assert len(lines) <= 10 * 60


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(Hooks(tmp_path))


def test_a_service_that_comes_and_goes_writes_few_lines(events: Events) -> None:
    (service,) = parse(TEXT, "shunt.yaml").services
    with capture_logs() as lines:
        for number in range(1000):
            events.happened(Kind.MANAGER_ALERT, service, reason=f"reason {number}")
            events.happened(Kind.MANAGER_CLEAR, service)
            events.happened(Kind.SERVER_DOWN, service, "a", "192.0.2.21", f"reason {number}")
            events.happened(Kind.SERVER_UP, service, "a", "192.0.2.21", f"reason {number}")
        events.happened(Kind.SERVER_DOWN, service, "b", "192.0.2.22", "refuses")
    assert len(lines) <= 4 * 30 + 1
    assert lines[-1]["server"] == "b", "one server's lines do not hide another's"
    assert events.counts[Kind.MANAGER_ALERT] == events.counts[Kind.SERVER_UP] == 1000


def _watch() -> HealthWatch:
    """Return as much of a watch as its log lines need."""
    watch = HealthWatch.__new__(HealthWatch)
    watch._warned = {}
    watch._log = LimitedLog(10.0, 3)
    return watch


@pytest.mark.parametrize("service", ["web", METRIC])
def test_an_agent_with_another_word_each_time_writes_few_lines(service: str) -> None:
    watch = _watch()
    with capture_logs() as lines:
        for number in range(1000):
            verdict = judged(f"up word{number}")
            watch._say_warning(Key(service, "a"), verdict.warning)
        watch._say_warning(Key(service, "b"), verdict.warning)
    assert len(lines) == 4
    assert "word0" in lines[0]["warning"]
    assert lines[-1]["server"] == "b"
