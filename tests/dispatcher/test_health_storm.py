"""A storm of kills, hangs, lost aliases and false claims, by a seed: every failure has its cause.

The seed and the length can be given: SHUNT_STORM_SEED, SHUNT_STORM_SECONDS (1800 is the long one).
The logs of all daemons, and all faults, are left in the test's temporary folder.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ShuntError
from tests.dispatcher.storm import oracle
from tests.dispatcher.storm.doing import CLUSTER, Storm
from tests.dispatcher.storm.plan import plan

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.lab.topology import Topology

SEED = os.environ.get("SHUNT_STORM_SEED", "1")
SECONDS = float(os.environ.get("SHUNT_STORM_SECONDS", "20"))
pytestmark = [pytest.mark.lab, pytest.mark.bpf, pytest.mark.timeout(SECONDS * 3 + 120)]

ADVISOR = (
    f"advisor: {{type: http, request: /, interval: {oracle.INTERVAL:g}s, "
    f"connect_timeout: {oracle.CONNECT:g}s, receive_timeout: {oracle.RECEIVE:g}s}}"
)
AROUND = 3.0  # seconds of log that are shown around a fault
SHOWN = 5


def configuration(standing: Topology) -> str:
    """Return the laboratory's file with an advisor, for one cluster address."""
    text = standing.configuration().replace("[a, b, c]}", f"[a, b, c], {ADVISOR}}}")
    addresses = next(line for line in text.splitlines() if line.startswith("    address:"))
    return text.replace(addresses, f"    address: {CLUSTER}")


def test_every_failed_request_is_explained(direct_return: Topology, tmp_path: Path) -> None:
    acts = plan(SEED, SECONDS, sorted(direct_return.servers))
    storm = Storm(direct_return, configuration(direct_return))
    try:
        storm.run(acts, SECONDS)
    except ShuntError as error:
        pytest.fail(f"{error.message}\n{error.hint}")
    finally:
        (tmp_path / "daemons.log").write_text(storm.log())
    found = oracle.judge(storm.course)
    sys.stdout.write(f"{found.words()}\n")
    assert len(storm.course.troubles) == len(acts)
    assert found.asked > found.causes.total() * 2
    reports = [_report(storm.course, at, words) for at, words in found.faults]
    (tmp_path / "faults.txt").write_text("\n\n".join(reports))
    shown = "\n\n".join(reports[:SHOWN])
    assert not found.faults, f"seed {SEED}: {found.words()}\n{shown}\nthe rest: {tmp_path}"


def _report(course: oracle.Course, at: float, words: str) -> str:
    """Return a fault, what was done around it, and what the daemons said then."""
    done = [
        f"  {each.spell.begin - at:+.3f} to {each.spell.end - at:+.3f}: {each.host} {each.what}"
        for each in course.troubles
        if each.spell.begin - AROUND <= at <= each.spell.end + AROUND
    ]
    said = [
        f"  {line.at - at:+.3f}: {line.event} "
        + " ".join(f"{k}={v}" for k, v in line.facts.items() if k not in ("event", "timestamp"))
        for line in course.lines
        if abs(line.at - at) <= AROUND
    ]
    return "\n".join([words, " done:", *done, " said:", *said])
