"""What befalls whom, and when: a pure function of a seed."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STRAY = "stray"
_AT_ONCE = 2  # servers in trouble: one of three is always well
_REST = 0.2  # seconds that a server is well, at least, before something else befalls it
_GUST = 20.0  # seconds without a lull; after them servers have time to earn their return, at times


class What(StrEnum):
    """Kinds of trouble."""

    KILL = "kill"  # the web server is killed
    HANG = "hang"  # it is stopped: its kernel accepts, nobody answers
    ALIAS = "alias"  # the cluster address is taken from the server
    DAEMON = "daemon"  # Shunt's daemon is killed
    CLAIM = "claim"  # a host says that the cluster address is its own


@dataclass(frozen=True, slots=True)
class Act:
    """What befalls a host, `at` seconds after the storm has begun, for `lasting` seconds."""

    at: float
    host: str
    what: What
    lasting: float


def plan(seed: str, seconds: float, servers: Sequence[str]) -> tuple[Act, ...]:
    """Return the storm of a seed, in the order of time; a longer one begins like a shorter one."""
    acts = (
        *_troubles(Random(f"{seed} troubles"), seconds, servers),
        *_kills(Random(f"{seed} daemon"), seconds),
        *_claims(Random(f"{seed} claims"), seconds, servers),
    )
    return tuple(sorted(acts, key=lambda act: act.at))


def _troubles(chance: Random, seconds: float, servers: Sequence[str]) -> Iterator[Act]:
    """Yield servers' troubles: some short, some long enough to be noticed, up to two at once."""
    well = dict.fromkeys(servers, 0.0)  # from when on
    tracks = [chance.uniform(0.3, 1.5) for _ in range(_AT_ONCE)]
    while (at := heapq.heappop(tracks)) < seconds:
        name = chance.choice([name for name, since in well.items() if since <= at])
        what = chance.choice([What.KILL, What.HANG, What.ALIAS])
        lasting = chance.choice([chance.uniform(0.1, 1.0), chance.uniform(1.0, 4.0)])
        yield Act(at, name, what, lasting)
        well[name] = at + lasting + _REST
        lull = at > _GUST and chance.random() < 0.5
        pause = chance.uniform(5.0, 25.0) if lull else chance.uniform(0.0, 2.0)
        heapq.heappush(tracks, at + lasting + _REST + pause)


def _kills(chance: Random, seconds: float) -> Iterator[Act]:
    at = chance.uniform(2.0, 5.0)
    while at < seconds:
        lasting = chance.uniform(0.1, 2.0)
        yield Act(at, "dispatcher", What.DAEMON, lasting)
        at += lasting + chance.uniform(1.0, 9.0)


def _claims(chance: Random, seconds: float, servers: Sequence[str]) -> Iterator[Act]:
    at = chance.uniform(1.0, 4.0)
    while at < seconds:
        yield Act(at, chance.choice([STRAY, STRAY, *servers]), What.CLAIM, 0.0)
        at += chance.uniform(1.5, 6.0)
