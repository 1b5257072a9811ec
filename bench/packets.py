"""Nanoseconds per packet, beside a bare program and one that only looks a service up.

Method: BPF_PROG_TEST_RUN repeats a wrapper that restores the frame, numbers the flow and tail-calls
the program under test; what the same wrapper takes around `return XDP_TX` is subtracted.
"""

from __future__ import annotations

import struct
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

from bench.figures import Figure, Plot, Row, interleaved
from bench.world import OWN, Carousel, claim, plane, service
from shunt.dataplane.kernel import Verdict
from shunt.dataplane.plane import Sizes
from shunt.dataplane.testrun import run as test_run
from shunt.model.config import Protocol

if TYPE_CHECKING:
    from shunt.dataplane.program import Program

FLOWS = (1, 1_000, 100_000, 900_000)
REPEAT = 2_000_000
ROUNDS = 5
CLUSTERS = {4: "192.0.2.10", 6: "2001:db8::10"}
TARGET_NS, TARGET_GROWTH = 35.0, 1.3


def frame(version: int, protocol: Protocol, *, flags: int = 0x10) -> bytes:
    """Return a packet of an established flow to the cluster address, without payload."""
    if protocol is Protocol.TCP:
        transport = struct.pack(">HHIIBBHHH", 1024, 80, 1, 1, 5 << 4, flags, 1024, 0, 0)
    else:
        transport = struct.pack(">HHHH", 1024, 80, 8, 0)
    cluster = ip_address(CLUSTERS[version]).packed
    if version == 4:
        client = ip_address("198.18.0.0").packed
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(transport), 1, 0, 64, protocol.number, 0)
        packet = head + client + cluster
    else:
        client = ip_address("2001:db8:1::").packed
        packet = struct.pack(">IHBB", 6 << 28, len(transport), protocol.number, 64)
        packet += client + cluster
    kind = 0x0800 if version == 4 else 0x86DD
    return OWN.octets + bytes.fromhex("020000000001") + struct.pack(">H", kind) + packet + transport


def cost(carousel: Carousel, program: Program, repeat: int = REPEAT) -> float:
    """Return the nanoseconds of one run of the wrapper around a program."""
    carousel.loaded.map("under_test").put(0, program.fd)
    result = test_run(carousel.loaded.program("carousel"), bytes(80), repeat=repeat)
    if result.verdict is not Verdict.TX:
        raise SystemExit(f"bench: {program.name} gave {result.verdict!r}, so nothing was measured")
    return float(result.duration_ns)


def run(*, quick: bool = False) -> list[Figure]:
    """Measure every protocol and IP version at every number of flows."""
    flows, rounds = (FLOWS[:3], 2) if quick else (FLOWS, ROUNDS)
    servers = tuple(claim(number) for number in range(1, 11))
    wishes = [
        service(cluster, 80, servers, protocol)
        for cluster in CLUSTERS.values()
        for protocol in Protocol
    ]
    rows: list[Row] = []
    with plane(Sizes()) as balancer:
        balancer.apply(wishes)
        carousel = Carousel.load()
        for wish in wishes:
            carousel.know(wish.service.address, wish.service.protocol, 80)
        for version in CLUSTERS:
            for protocol in Protocol:
                for count in flows:
                    carousel.fill(frame(version, protocol), count, version=version)
                    taken = _measure(carousel, balancer.plane.program, rounds)
                    rows.append(_row(f"IPv{version}/{protocol.upper()}", count, taken))
    title = "Nanoseconds per packet over a bare program"
    return [Figure(title, rows, _verdicts(rows), _plot(rows))]


def _measure(carousel: Carousel, program: Program, rounds: int) -> dict[str, float]:
    programs = {
        "bare": carousel.loaded.program("bare"),
        "lookup": carousel.loaded.program("lookup"),
        "shunt": program,
    }
    measures = {name: partial(cost, carousel, each) for name, each in programs.items()}
    return interleaved(measures, rounds, min)


def _row(packet: str, flows: int, taken: dict[str, float]) -> Row:
    over = {name: taken[name] - taken["bare"] for name in ("lookup", "shunt")}
    return {
        "packet": packet,
        "flows": f"{flows:,}",
        "bare with wrapper": taken["bare"],
        "one look-up": over["lookup"],
        "Shunt": over["shunt"],
        "Shunt : look-up": f"{over['shunt'] / max(over['lookup'], 0.1):.1f}",
    }


def _plot(rows: list[Row]) -> Plot:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        flows = float(str(row["flows"]).replace(",", ""))
        series.setdefault(f"Shunt, {row['packet']}", []).append((flows, float(str(row["Shunt"]))))
        if row["packet"] == "IPv4/TCP":
            series.setdefault("one look-up, IPv4/TCP", []).append(
                (flows, float(str(row["one look-up"])))
            )
    return Plot("packets", "flows", "nanoseconds over a bare program", series)


def _verdicts(rows: list[Row]) -> list[str]:
    tcp4 = [float(str(row["Shunt"])) for row in rows if row["packet"] == "IPv4/TCP"]
    growth = tcp4[-1] / tcp4[0]
    return [
        f"IPv4/TCP at most {max(tcp4):.1f} ns over bare (to reach: {TARGET_NS:.0f})",
        f"IPv4/TCP grows {growth:.2f} times from 1 flow to the most (to reach: {TARGET_GROWTH})",
    ]
