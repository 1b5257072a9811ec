"""`shunt demo` as a new user runs it: on real frames, twice at once, and interrupted."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shunt.lab import reaper

pytestmark = [pytest.mark.lab, pytest.mark.bpf]
DEMO = [str(Path(sys.executable).with_name("shunt")), "demo"]


def run(*options: str) -> tuple[str, dict[str, Any]]:
    """Return the laboratory's name and the document of a demonstration that went well."""
    command = [*DEMO, "--json", "--requests", "500", "--connections", "16", "--seconds", "1"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    named = re.search(r"laboratory (\w+)", done.stderr)
    assert named
    return named[1], json.loads(done.stdout)


def check(found: dict[str, Any], mode: str) -> None:
    assert found["ok"] is True
    for server in found["servers"].values():
        assert server["share"] == pytest.approx(server["wanted_share"], abs=0.03)
    frames = found["frames"]
    assert frames["requests_into_dispatcher"] == frames["requests_out_of_dispatcher"] > 1000
    assert frames["replies_through_dispatcher"] == 0
    assert frames["replies_to_client_from"]["dispatcher"] == 0
    assert min(frames["replies_to_client_from"][name] for name in found["servers"]) > 0
    claims = found["claims"]
    assert claims["unprepared"]["192.0.2.10"] == ["a", "b", "c"]
    assert set(map(tuple, claims["prepared"].values())) == {()}
    assert set(map(tuple, claims["dispatched"].values())) == {("dispatcher",)}
    assert found["cost"]["mode"] == mode
    assert found["cost"]["packets"] >= frames["requests_into_dispatcher"]


def test_two_demonstrations_at_once_do_not_meet() -> None:
    with ThreadPoolExecutor() as pool:
        native, generic = pool.map(run, ("--native", "--generic"))
    check(native[1], "native")
    check(generic[1], "generic")
    for ident, _ in (native, generic):
        assert not reaper.namespaces_of(ident)
        assert not (reaper.BASE / ident).exists()


def test_an_interrupted_demonstration_leaves_nothing() -> None:
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        ident = ""
        for line in demo.stderr:
            if named := re.search(r"laboratory (\w+)", line):
                ident = named[1]
            if "load by wrk" in line:
                break
        assert reaper.namespaces_of(ident)
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert not reaper.namespaces_of(ident)
    assert not (reaper.BASE / ident).exists()
