"""The counters of the servers that are checked, by service and server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from shunt.dispatcher import snapshot
from shunt.dispatcher.health_jobs import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.dispatcher.balancer import Balancer


class Counters(NamedTuple):
    """What the data plane has counted of one server in one service."""

    packets: int
    opened: int
    closed: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at a time, seconds of the monotonic clock; `cost` in seconds of a processor."""

    at: float
    counters: Mapping[Key, Counters]
    cost: float


def read(balancer: Balancer, at: float) -> Reading:
    """Read the counters of every service that has an advisor; runs in the worker thread."""
    begin = time.thread_time()
    members = snapshot.sample(balancer, at).members
    packets, opened, closed = (snapshot.COUNTERS.index(name) for name in Counters._fields)
    found = {}
    for placed in balancer.placed.values():
        if placed.service is None or placed.service.advisor is None:
            continue
        for claim in placed.claims:
            local = placed.table.locals.get(claim.identity)
            if local is not None:
                row = members[placed.members.base + local].tolist()
                key = Key(placed.service.name, claim.server)
                found[key] = Counters(row[packets], row[opened], row[closed])
    return Reading(at, found, time.thread_time() - begin)
