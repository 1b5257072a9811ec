"""What just-enough tracking costs: time for each packet and memory for each flow.

    settled       the slot decides alone: nearly all traffic
    hit           the slot changed hands, the flow is remembered
    miss          the slot changed hands, the flow is older than the change
    all           `track: all`: every flow is remembered, as other balancers do
    a table       a program that does nothing but look the flow up in such a table: the baseline

Measured as in `bench.packets`. Slots change hands by the real balancer: all servers are replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench.figures import Figure, Plot, Row, interleaved
from bench.packets import CLUSTERS, FLOWS, ROUNDS, cost, frame
from bench.world import Carousel, claim, plane, service
from shunt.dataplane.plane import Sizes
from shunt.model.config import Protocol, Track

if TYPE_CHECKING:
    from shunt.dataplane.maps import Map
    from shunt.dispatcher.balancer import Balancer
    from shunt.dispatcher.wishes import Wish

SYN, ACK = 0x02, 0x10
FLOOD = 10_000_000
TARGET_SETTLED, TARGET_ALL = 40.0, 250.0
SIZES = Sizes(slots=1 << 17, flows=1 << 20)
_OLD, _NEW = range(1, 11), range(11, 21)  # server numbers before and after the change


@dataclass(frozen=True, slots=True)
class Mode:
    """A state that packets can meet."""

    name: str
    track: Track = Track.AUTO
    changed: bool = False  # the slots have changed hands and not settled
    remembered: bool = False  # the flows began after that, or all are remembered


MODES = (
    Mode("settled"),
    Mode("hit", changed=True, remembered=True),
    Mode("miss", changed=True),
    Mode("all", track=Track.ALL, remembered=True),
)


def run(*, quick: bool = False) -> list[Figure]:
    """Measure; about two minutes."""
    flows = FLOWS[:3] if quick else FLOWS
    rounds = 2 if quick else ROUNDS
    taken = {mode.name: _measured(mode, flows, rounds) for mode in MODES}
    taken["a table"] = _table(flows, rounds)
    rows: list[Row] = [
        {"flows": f"{count:,}", **{name: over[count] for name, over in taken.items()}}
        for count in flows
    ]
    plot = Plot(
        "tracking", "flows", "nanoseconds over a bare program",
        {name: list(over.items()) for name, over in taken.items()},
    )  # fmt: skip
    notes = (
        f"settled at most {max(taken['settled'].values()):.0f} ns (to reach: {TARGET_SETTLED:.0f})",
        f"all, {flows[-1]:,} flows: {taken['all'][flows[-1]]:.0f} ns (to reach: {TARGET_ALL:.0f})",
        f"a table alone, without any balancing: {taken['a table'][flows[-1]]:.0f} ns",
    )
    return [
        Figure("Nanoseconds per IPv4/TCP packet over a bare program", rows, notes, plot),
        _memory(),
        _flood(FLOOD // 10 if quick else FLOOD),
    ]


def wish(mode: Mode, numbers: range) -> Wish:
    """Return the wish for the service that all packets are for."""
    servers = tuple(claim(number) for number in numbers)
    return service(CLUSTERS[4], 80, servers, track=mode.track)


def load(balancer: Balancer) -> Carousel:
    """Return a carousel for the balancer's program."""
    carousel = Carousel.load()
    carousel.loaded.map("under_test").put(0, balancer.plane.program.fd)
    return carousel


def _measured(mode: Mode, flows: tuple[int, ...], rounds: int) -> dict[int, float]:
    """Return nanoseconds over the bare program by number of flows."""
    over = {}
    with plane(SIZES) as balancer:
        balancer.apply([wish(mode, _OLD)])
        if mode.changed:
            balancer.apply([wish(mode, _NEW)])
        carousel = load(balancer)
        programs = {"bare": carousel.loaded.program("bare"), "shunt": balancer.plane.program}
        for count in flows:
            if mode.remembered:
                carousel.fill(frame(4, Protocol.TCP, flags=SYN), count, version=4)
                cost(carousel, balancer.plane.program, repeat=max(2, count))
            _check(mode, count, balancer.plane.maps["flows"])
            carousel.fill(frame(4, Protocol.TCP, flags=ACK), count, version=4)
            measures = {name: partial(cost, carousel, each) for name, each in programs.items()}
            taken = interleaved(measures, rounds, min)
            over[count] = taken["shunt"] - taken["bare"]
    return over


def _table(flows: tuple[int, ...], rounds: int) -> dict[int, float]:
    """Return what one look-up in a table of all flows takes, over the bare program."""
    carousel = Carousel.load(SIZES.flows)
    programs = {name: carousel.loaded.program(name) for name in ("bare", "table")}
    over = {}
    for count in flows:
        carousel.fill(frame(4, Protocol.TCP, flags=ACK), count, version=4)
        cost(carousel, programs["table"], repeat=max(2, count))
        measures = {name: partial(cost, carousel, each) for name, each in programs.items()}
        taken = interleaved(measures, rounds, min)
        over[count] = taken["table"] - taken["bare"]
    return over


def _check(mode: Mode, count: int, flows: Map) -> None:
    """Make sure that the packets will meet what they are said to meet."""
    found = sum(len(keys) for keys, _ in flows.items_batch(1 << 16))
    if not (0.99 * count <= found if mode.remembered else found == 0):
        raise SystemExit(f"bench: {mode.name}: {found:,} flows are remembered, of {count:,}")


def _memory() -> Figure:
    """Say what a flow costs in memory: of the map's own account, by its number of entries."""
    with plane(SIZES) as balancer:
        maps = balancer.plane.maps
        flow = maps["flows"].memory() / maps["flows"].max_entries
        slots = maps["slots"].memory() + maps["sights"].memory()
        table = slots / maps["sights"].max_entries * (1 << 16)
        rows: list[Row] = [
            {"mode": mode.name, "bytes per flow": flow if mode.remembered else 0.0}
            for mode in MODES
        ]
    notes = (
        f"a table of 65,536 slots takes {table:,.0f} bytes, whatever the number of flows",
        f"the map has {flow:.0f} bytes for each flow that there is room for, from the start",
    )
    return Figure("Memory", rows, notes)


def _flood(number: int) -> Figure:
    """Send distinct SYNs into settled slots: nothing is to be remembered."""
    mode = MODES[0]
    with plane(SIZES) as balancer:
        balancer.apply([wish(mode, _OLD)])
        carousel = load(balancer)
        taken = {}
        for flows in (1, number):
            carousel.fill(frame(4, Protocol.TCP, flags=SYN), flows, version=4)
            programs = {"bare": carousel.loaded.program("bare"), "shunt": balancer.plane.program}
            measures = {
                name: partial(cost, carousel, each, number) for name, each in programs.items()
            }
            nanoseconds = interleaved(measures, 2, min)
            taken[flows] = nanoseconds["shunt"] - nanoseconds["bare"]
        _check(mode, number, balancer.plane.maps["flows"])
    rows: list[Row] = [
        {"distinct SYNs": f"{flows:,}", "ns per packet": over, "flows remembered": 0}
        for flows, over in taken.items()
    ]
    return Figure("A flood of new connections in settled slots", rows)
