"""The unit file for systemd says what the daemon's exit codes mean."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from shunt.dispatcher.notify import fed_every
from shunt.errors import UsageError

UNIT = Path(__file__).parents[2] / "setup" / "shunt.service"


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]  # its own documented way
    parsed.read_string(UNIT.read_text())
    return parsed


def test_a_wrong_file_is_not_tried_again_and_a_crash_always_is(
    unit: configparser.ConfigParser,
) -> None:
    service = unit["Service"]
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == str(UsageError.exit_code)
    assert unit["Unit"]["StartLimitIntervalSec"] == "0", "no limit of starts is ever met"


def test_a_daemon_that_does_not_check_any_more_is_started_anew(
    unit: configparser.ConfigParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signs of life come several times within what systemd waits."""
    service = unit["Service"]
    assert service["Type"] == "notify"
    seconds = int(service["WatchdogSec"])
    monkeypatch.setenv("WATCHDOG_USEC", str(seconds * 1_000_000))
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    every = fed_every()
    assert every is not None
    assert every <= seconds / 3


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_understands_it(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/usr/local/bin/shunt", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", str(copy)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert copy.name not in done.stderr, done.stderr
