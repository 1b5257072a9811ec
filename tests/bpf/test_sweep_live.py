"""Sweeps that settle slots while another process's packets go on: nobody tells them when to come.

What `test_sweep_races.py` does at every step, this does as it happens.
"""

from __future__ import annotations

import os
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from shunt.dispatcher.sweep import sweep
from shunt.model.config import Protocol
from tests.bpf.flood import AT_ONCE, CLIENT, Flood, of_clients
from tests.bpf.flows import ACK, SYN
from tests.bpf.test_avoided import Site
from tests.bpf.world import World

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.bpf

STALE = 300
SYNS = int(os.environ.get("SHUNT_SYNS", "10000"))
MANY_SYNS = int(os.environ.get("SHUNT_SYNS", "300000"))
"""How many connections are refused while sweeps run."""


def moved(folder: Path, syns: int) -> tuple[int, int, int]:
    """Refuse connections while sweeps settle; return how many, slots that settled, flows moved."""
    refused = settled = found = 0
    with World.made(folder) as world:
        site = Site(world, Protocol.TCP)
        site.has("s1")
        world.settings(exceptions_rate=0)
        syn, ack = site.flow(0).frame(SYN), site.flow(0).frame(ACK)
        first = int.from_bytes(syn[CLIENT])
        pins = folder / "bpf" / "pins"
        with Flood.begun(pins, syn, first, folder / "macs") as flood:
            for taker in cycle(("s2", "s3", "s1")):
                site.has(taker)
                world.wait(STALE + 1)
                begin = flood.count() + AT_ONCE  # those under way began before the wait
                settled += sweep(world.balancer).settled
                end = flood.wait_for(begin + 1)
                refused += end - begin
                again, _ = world.send_many(
                    of_clients(ack, first + begin, end - begin), np.full(end - begin, len(ack))
                )
                went = flood.macs(begin, end)
                found += int((again.frames[:, :6] != went).any(axis=1).sum())
                if refused >= syns:
                    break
    return refused, settled, found


def test_connections_refused_meanwhile_stay_where_they_went(tmp_path: Path) -> None:
    refused, settled, found = moved(tmp_path, SYNS)
    assert refused >= SYNS
    assert settled > 0
    assert found == 0


@pytest.mark.long
def test_many_connections_refused_meanwhile_stay_where_they_went(tmp_path: Path) -> None:
    refused, settled, found = moved(tmp_path, MANY_SYNS)
    assert refused >= MANY_SYNS
    assert settled > 0
    assert found == 0
