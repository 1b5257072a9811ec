"""`shunt up`, `down` and `reload` as commands: their words and exit codes, without a kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shunt.cli import daemon
from shunt.dispatcher import control, ending

SHUNT = str(Path(sys.executable).with_name("shunt"))


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SHUNT, *words], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("up", ("--config", "--replace", "--root", "--json", "SIGHUP", "shunt up -c")),
        ("down", ("--root", "--json", "without a daemon")),
        ("reload", ("--root", "--json", "broken file changes nothing")),
        ("status", ("--watch", "--memory", "--json", "until Ctrl-C")),
    ],
)
def test_help_says_what_it_does(command: str, words: tuple[str, ...]) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    for word in words:
        assert word in text


def test_without_a_dispatcher_reload_fails_and_down_has_nothing_to_do(tmp_path: Path) -> None:
    refused = run("reload", "--root", str(tmp_path))
    assert refused.returncode == 1
    assert "no dispatcher runs here" in refused.stderr
    done = run("down", "--root", str(tmp_path / "none"), "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"ended": "nothing was there to end"})


@pytest.mark.parametrize("as_json", [False, True])
def test_results_are_printed_for_people_or_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    monkeypatch.setattr(control, "request", lambda *_: {"services": 6, "moved": 12, "before": 5})
    monkeypatch.setattr(ending, "end", lambda _: "the dispatcher has ended")
    assert daemon.reload(json=as_json) == 0
    text = capsys.readouterr().out
    if as_json:
        assert json.loads(text) == {"services": 6, "moved": 12, "before": 5}
    else:
        assert text == "reloaded: 6 services; 12 slots changed hands\n"
    assert daemon.down(json=as_json) == 0
    text = capsys.readouterr().out
    if as_json:
        assert json.loads(text) == {"ended": "the dispatcher has ended"}
    else:
        assert text == "the dispatcher has ended\n"
