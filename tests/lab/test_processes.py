"""Children of a laboratory take signals, however their parent was started."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from shunt.errors import HostError
from shunt.lab.processes import run

CHILD = (
    "import re, sys; print(re.search(r'SigIgn:\\s*(\\w+)', open('/proc/self/status').read())[1])"
)
PARENT = f"""
import pathlib, signal, sys, tempfile
signal.signal(signal.{{ignored}}, signal.SIG_IGN)
from shunt.lab.processes import Process, run
child = [sys.executable, "-c", {CHILD!r}]
print(run(child).stdout, end="")
with tempfile.TemporaryDirectory() as folder:
    process = Process(child, log=pathlib.Path(folder) / "log")
    process.wait()
    print(process.output(), end="")
"""


@pytest.mark.parametrize(("ignored", "number"), [("SIGINT", 2), ("SIGHUP", 1), ("SIGTERM", 15)])
def test_a_signal_that_the_parent_ignores_is_not_ignored_by_children(
    ignored: str, number: int
) -> None:
    """A shell without job control starts `make test &` with SIGINT ignored."""
    done = subprocess.run(
        [sys.executable, "-c", PARENT.format(ignored=ignored)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    masks = [int(line, 16) for line in done.stdout.split()]
    assert len(masks) == 2
    assert not any(mask & 1 << (number - 1) for mask in masks)


def test_an_absent_command_is_named_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)
    with pytest.raises(HostError, match="the command `absent-command`, which is not installed"):
        run(["absent-command", "x"])
