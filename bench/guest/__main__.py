"""Measure the ways that are named: `python -m guest ROUNDS WAY...`; one line of JSON a figure."""

from __future__ import annotations

import json
import sys
import traceback
from statistics import median

from .ways import WAYS
from .wire import ACK, SERVERS, Wire, frames, standing

COUNTS = {1: 20_032, 1_000: 20_032, 100_000: 50_048}  # flows: frames that are timed
NEW = 50_048


def main(rounds: int, names: list[str]) -> None:
    """Take each way in turn, a fresh pair of namespaces for each number of flows."""
    for name in names:
        for flows, count in COUNTS.items():
            costs = [measure(name, flows, count) for _ in range(rounds)]
            say(way=name, flows=str(flows), cost=median(costs), spread=max(costs) - min(costs))
        if name != "drop":
            say(way=name, flows="new", cost=measure_new(name), spread=0.0)


def measure(name: str, flows: int, count: int) -> float:
    """Return what a frame of an established flow costs."""
    way, first = WAYS[name]
    with standing() as wire, way(wire):
        wire.begin(frames(flows, first))
        cost = wire.send(frames(flows, ACK), count)
        check(name, wire, flows)
    return cost


def measure_new(name: str) -> float:
    """Return what the first frame of a flow costs: each is another flow's."""
    way, first = WAYS[name]
    with standing() as wire, way(wire):
        cost = wire.send(frames(NEW + 2_048, first), NEW)
        check(name, wire, NEW)
    return cost


def check(name: str, wire: Wire, flows: int) -> None:
    """Refuse a figure of which not every frame went its whole way.

    Raises:
        AssertionError: what arrived is not what was sent, or not at the servers.
    """
    if name == "drop":
        return
    arrived, sent = wire.arrived(), wire.sent()
    known = {int(mac[-2:], 16) for mac in SERVERS.values()}
    assert sum(arrived.values()) == sent, f"{name}: {arrived} of {sent} frames arrived"
    assert set(arrived) <= known, f"{name}: frames went to {arrived}"
    spreads = name not in {"hop", "forward"} and flows >= 1_000
    assert not spreads or set(arrived) == known, f"{name}: not all servers got frames: {arrived}"


def say(**figure: object) -> None:
    """Print a figure on a line of its own."""
    print("figure:", json.dumps(figure), flush=True)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), sys.argv[2:] or list(WAYS))
        print("figures end", flush=True)
    except Exception:  # noqa: BLE001 - the console is all that is left of this machine
        traceback.print_exc()
