"""Changes while packets pass: weights written to the kernel, slots settled beside a busy loop.

A thousand services of a hundred servers each, of which one's weight changes everywhere. They share
one slot table when they have the same weights; without sharing, the tables' making is all there is,
so fewer services stand for the thousand.
"""

from __future__ import annotations

import asyncio
import hashlib
from ipaddress import ip_address
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from bench.figures import Figure, Row
from bench.packets import cost, frame
from bench.tracking import SYN
from bench.world import Carousel, claim, plane, service
from shunt.dataplane.plane import Sizes
from shunt.dispatcher.sweep import Report, sweep
from shunt.model.config import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.dispatcher.balancer import Balancer
    from shunt.dispatcher.wishes import Wish

SERVICES, SERVERS, TARGET_WRITING = 1000, 100, 1.0
UNSHARED = 20
EXCEPTIONS, TARGET_SETTLING, TARGET_GAP = 1_000_000, 2.0, 0.020
_STALE = 300  # seconds: the default
_NANOSECONDS = 1_000_000_000
_CLUSTER = int(ip_address("192.0.2.10"))


def run(*, quick: bool = False) -> list[Figure]:
    """Measure; about a minute."""
    return [_writing(SERVICES // 10 if quick else SERVICES), _settling(quick=quick)]


def _writing(services: int) -> Figure:
    rows = [
        _written(services, shared=True),
        _written(UNSHARED, shared=False),
    ]
    notes = (
        f"to reach: {TARGET_WRITING:.0f} s for {SERVICES:,} services of {SERVERS} servers",
        "each table of its own has to be made, and 65,536 slots are compared with those there are",
    )
    return Figure("One server's weight changes in every service", rows, notes)


def _written(services: int, *, shared: bool) -> Row:
    with plane(Sizes(slots=1 << 17, members=1 << 18, flows=1 << 10)) as balancer:
        balancer.apply(_wishes(services, weight=10, shared=shared))
        changed = _wishes(services, weight=5, shared=shared)
        seconds, moved = _timed(lambda: balancer.apply(changed))
        again, _ = _timed(lambda: balancer.apply(changed))
    return {
        "services": f"{services:,}",
        "tables": "one for all" if shared else "one each",
        "ms": seconds * 1000,
        "ms per service": seconds * 1000 / services,
        "slots changed": f"{moved:,}",
        "ms when nothing changed": again * 1000,
    }


def _wishes(services: int, weight: int, *, shared: bool) -> list[Wish]:
    """Return services of the same servers; without sharing, the last server's weight differs."""
    common = [claim(1, weight), *(claim(number) for number in range(2, SERVERS))]
    wishes = []
    for which in range(services):
        last = claim(SERVERS, 10 if shared else which + 11)
        wishes.append(service("192.0.2.10", which + 1, (*common, last)))
    return wishes


def _timed(work: Callable[[], int]) -> tuple[float, int]:
    begin = perf_counter()
    result = work()
    return perf_counter() - begin, result


def _settling(*, quick: bool) -> Figure:
    """Let every slot change hands, remember a million flows, wait until all is stale, sweep."""
    exceptions = EXCEPTIONS // 10 if quick else EXCEPTIONS
    rows: list[Row] = []
    with plane(Sizes(slots=1 << 17, flows=1 << 21)) as balancer:
        balancer.apply([_one(range(1, SERVERS + 1))])
        balancer.apply([_one(range(SERVERS + 1, 2 * SERVERS + 1))])
        carousel = Carousel.load()
        carousel.fill(frame(4, Protocol.TCP, flags=SYN), exceptions, version=4)
        cost(carousel, balancer.plane.program, repeat=exceptions)
        rows.append(_swept(balancer, "slots just changed: nothing settles"))
        balancer.change_settings(clock_offset=_STALE * _NANOSECONDS - _NANOSECONDS)
        cost(carousel, balancer.plane.program, repeat=exceptions)  # the flows live on
        balancer.change_settings(clock_offset=(_STALE + 10) * _NANOSECONDS)
        rows.append(_swept(balancer, "elders stale, flows alive: all settle"))
        rows.append(_swept(balancer, "nothing to do"))
    notes = (
        f"to reach: {TARGET_SETTLING:.0f} s; no gap longer than {TARGET_GAP * 1000:.0f} ms",
        "the loop beside it does nothing but sleep for a millisecond, over and over",
    )
    return Figure("A sweep in its thread, beside an event loop", rows, notes)


def _one(numbers: range) -> Wish:
    return service("192.0.2.10", 80, tuple(claim(number) for number in numbers))


def _swept(balancer: Balancer, state: str) -> Row:
    remembered = sum(len(keys) for keys, _ in balancer.plane.maps["flows"].items_batch(1 << 16))
    computing = asyncio.run(_longest_gap(_compute))[1]
    begin, spent = perf_counter(), process_time()
    report, gap = asyncio.run(_longest_gap(lambda: sweep(balancer)))
    seconds, spent = perf_counter() - begin, process_time() - spent
    assert isinstance(report, Report)
    return {
        "state": state,
        "exceptions": f"{remembered:,}",
        "slots settled": f"{report.settled:,}",
        "forgotten": f"{report.forgotten:,}",
        "ms": seconds * 1000,
        "of a processor, ms": spent * 1000,
        "loop's longest gap, ms": gap * 1000,
        "beside one that only computes, ms": computing * 1000,
    }


def _compute() -> None:
    """Keep a processor busy for a second or so, without Python's lock."""
    hashlib.pbkdf2_hmac("sha256", b"bench", b"bench", 1_000_000)


async def _longest_gap(work: Callable[[], object]) -> tuple[object, float]:
    """Run the work in a thread; return its result and the longest time the loop stood still."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        last = perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = perf_counter()
            longest, last = max(longest, now - last), now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.05)
    result = await asyncio.to_thread(work)
    await asyncio.sleep(0.05)
    ticking.cancel()
    return result, longest
