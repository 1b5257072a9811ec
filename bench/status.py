"""`shunt status` of many services: how long the writer's thread, the loop and the client wait.

Each service has its own table of three servers, as unlike services have. The writer's thread reads
the maps; the document is made and encoded beside it, in pieces, so that the event loop's longest
wait is one piece. The baseline, in the same run, is the whole document encoded at once.
"""

from __future__ import annotations

import asyncio
import json
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bench.figures import Figure, Row
from bench.world import claim, plane, service
from shunt.dataplane.plane import Sizes
from shunt.dispatcher import snapshot
from shunt.dispatcher.control_server import encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.dispatcher.balancer import Balancer

SERVICES, SERVERS, TARGET, TARGET_GAP = 10_000, 3, 5.0, 0.1


def run(*, quick: bool = False) -> list[Figure]:
    """Measure; about a minute."""
    counts = (SERVICES // 10,) if quick else (SERVICES // 10, SERVICES)
    with plane(Sizes(slots=1 << 20, members=1 << 17, flows=1 << 10)) as balancer:
        rows = [row for services in counts for row in _rows(balancer, services)]
    notes = (
        f"to reach: {TARGET:.0f} s for {SERVICES:,} services",
        f"and no wait of the event loop beyond {TARGET_GAP * 1000:.0f} ms",
    )
    return [Figure("Status of many services", rows, notes)]


def _rows(balancer: Balancer, services: int) -> list[Row]:
    wished = [
        service(f"10.{which >> 8}.{which & 255}.1", 80, tuple(map(claim, range(1, SERVERS + 1))))
        for which in range(services)
    ]
    balancer.apply(wished)
    began = perf_counter()
    sample = snapshot.sample(balancer, 0.0)
    taken = snapshot.take(balancer, snapshot.Context(sample))
    writer = perf_counter() - began
    ways: dict[str, Callable[[], list[bytes]]] = {
        "in pieces": lambda: encoded(snapshot.document(taken)),
        "at once": lambda: [json.dumps(_whole(snapshot.document(taken))).encode()],
    }
    return [_row(services, name, way, writer) for name, way in ways.items()]


def _row(services: int, name: str, way: Callable[[], list[bytes]], writer: float) -> Row:
    reply, seconds, gap = asyncio.run(_beside_a_loop(way))
    return {
        "services": f"{services:,}",
        "encoded": name,
        "writer's thread, ms": writer * 1000,
        "made beside it, ms": seconds * 1000,
        "longest wait of the event loop, ms": gap * 1000,
        "reply, MB": sum(map(len, reply)) / 1e6,
    }


def _whole(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"services": list(document["services"])}


async def _beside_a_loop(way: Callable[[], list[bytes]]) -> tuple[list[bytes], float, float]:
    """Return what a thread makes, in how many seconds, and the loop's longest gap meanwhile."""
    began = last = perf_counter()
    longest = 0.0
    making = asyncio.create_task(asyncio.to_thread(way))
    while not making.done():
        await asyncio.sleep(0.001)
        now = perf_counter()
        longest, last = max(longest, now - last), now
    return making.result(), perf_counter() - began, longest
