"""Which servers each slot can go to, and how eagerly: the keyed chance in a slot table.

Every server draws slots from its own endless keyed sequence, at a pace proportional to its weight.
The time at which it first draws a slot is its cost there. Giving each slot to the server of least
cost would be weighted rendezvous hashing; drawing is the quick way to do it, since the draws of all
servers together are a few for each slot, where scores would be one for each slot and server.

Costs are integers: `UNIT` is the time in which each slot is drawn once on average. Nothing but
integer arithmetic is used, so that every machine gets the same bits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SERVER_BITS = 16
_TIME_BITS = 28  # with 16 bits of server and at most 20 of slot they fill 64
_UNIT_BITS = 24
UNIT = 1 << _UNIT_BITS
_HORIZON = 7  # units of time in which servers draw; e^-7 of the slots are not drawn by then
_FRACTION_BITS = 16  # of the place of a draw within its interval
_PACE_BITS = 20
_CHUNK = 1 << 17  # draws at a time, so that they stay in the cache
_NEVER = np.iinfo(np.int64).max


class Candidates(NamedTuple):
    """Servers that may get a slot. Sorted by slot, then by cost; one row a slot and server.

    `slot` is int32. `bid` is int64: cost << SERVER_BITS | server, so that bids of a slot compare
    as their costs do, and equal costs by server.
    """

    slot: NDArray[np.int32]
    bid: NDArray[np.int64]


def draw(
    seeds: NDArray[np.uint64], weights: NDArray[np.int64], quotas: NDArray[np.int64], size: int
) -> Candidates:
    """Return, for each slot, the server of least cost and those that come close to it.

    Close is what the market of `prices.py` can make a difference of: a quarter of a unit among
    servers of many slots, more for a server of few, whose luck varies more.

    Args:
        seeds: a secret number for each server.
        weights: one integer from 1 to 65,535 for each server.
        quotas: the slots each server is to have, at least 1.
        size: slots, a power of two up to 2^20.
    """
    reach = np.array([_reach(int(quota)) for quota in quotas], dtype=np.int64) << SERVER_BITS
    gaps = _gaps(weights, size)
    best = np.full(size, _NEVER, dtype=np.int64)

    def close(slot: NDArray[np.int64], bid: NDArray[np.int64]) -> NDArray[np.int64]:
        winner = best[slot]
        margin = np.maximum(reach[server_of(bid)], reach[server_of(winner)])
        return np.flatnonzero(bid - winner <= margin)

    slots, bids = [], []
    for source in (_drawn(seeds, gaps, size), _late(seeds, gaps, best)):
        for slot, bid in source:
            np.minimum.at(best, slot, bid)
            chosen = close(slot, bid)
            slots.append(slot[chosen])
            bids.append(bid[chosen])
    slot, bid = np.concatenate(slots), np.concatenate(bids)
    chosen = close(slot, bid)
    return _sorted_once(slot[chosen], bid[chosen])


def server_of(bid: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the servers that made these bids."""
    return bid & np.int64((1 << SERVER_BITS) - 1)


def _reach(quota: int) -> int:
    """Return how much dearer than the best a bid may be and still matter, in cost.

    By chance alone a server wins quota ± sqrt(quota) slots. Evening that out moves its costs by
    about 1 / sqrt(quota) units; four such deviations are as good as all.
    """
    return max(UNIT // 4, 4 * UNIT // math.isqrt(quota))


def _gaps(weights: NDArray[np.int64], size: int) -> NDArray[np.uint64]:
    """Return the time between two draws of each server: fixed point, _PACE_BITS after it.

    A server too light for one slot draws as if it deserved one, since it will get one.
    """
    total = int(weights.sum()) << _PACE_BITS
    slowest = size << _PACE_BITS
    return np.array([min(slowest, total // int(weight)) for weight in weights], dtype=np.uint64)


def _drawn(
    seeds: NDArray[np.uint64], gaps: NDArray[np.uint64], size: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield slots and bids of every server's draws up to the horizon, in chunks by time.

    The early draws come first, so that nearly all of the late ones are known to be too dear at
    once. The k-th draw falls at a random place within the k-th gap.
    """
    bits = size.bit_length() - 1
    shift = np.uint64(bits + _FRACTION_BITS + _PACE_BITS - _UNIT_BITS)
    chunks = max(1, _HORIZON * size // _CHUNK)
    begin = np.zeros(len(seeds), dtype=np.int64)
    for chunk in range(1, chunks + 1):
        end = (_HORIZON * size * chunk // chunks << _PACE_BITS) // gaps.astype(np.int64) + 1
        count = end - begin
        server = np.repeat(np.arange(len(seeds)), count)
        first = begin - (np.cumsum(count) - count)
        begin = end
        nth = (np.arange(len(server)) + first[server]).astype(np.uint64)
        chance = _mixed(seeds[server], nth)
        slot = (chance >> np.uint64(64 - bits)).astype(np.int64)
        within = chance & np.uint64((1 << _FRACTION_BITS) - 1)
        cost = ((nth << np.uint64(_FRACTION_BITS) | within) * gaps[server]) >> shift
        yield slot, cost.astype(np.int64) << SERVER_BITS | server


def _late(
    seeds: NDArray[np.uint64], gaps: NDArray[np.uint64], best: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield bids of every server, after the horizon, for every slot that none has drawn."""
    missed = np.flatnonzero(best == _NEVER)
    server = np.arange(len(seeds), dtype=np.int64)
    latest = np.uint64((1 << _TIME_BITS) - 1)
    rows = max(1, _CHUNK // len(seeds))
    for start in range(0, len(missed), rows):
        slot = np.repeat(missed[start : start + rows], len(seeds))
        who = np.tile(server, len(slot) // len(seeds))
        chance = _mixed(~seeds[who], slot.astype(np.uint64)) >> np.uint64(64 - _UNIT_BITS)
        wait = (chance * gaps[who]) >> np.uint64(_PACE_BITS)
        cost = np.minimum(np.uint64(_HORIZON * UNIT) + wait, latest)
        yield slot, cost.astype(np.int64) << SERVER_BITS | who


def _mixed(seed: NDArray[np.uint64], counter: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 random bits each: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) at a place."""
    bits: NDArray[np.uint64] = seed + (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _sorted_once(slot: NDArray[np.int64], bid: NDArray[np.int64]) -> Candidates:
    """Return the bids sorted by slot and cost, only the least of each server for a slot."""
    bid_bits = np.uint64(_TIME_BITS + SERVER_BITS)
    packed = np.sort(slot.astype(np.uint64) << bid_bits | bid.astype(np.uint64))
    pair = packed >> bid_bits << np.uint64(SERVER_BITS) | packed & np.uint64(0xFFFF)
    order = np.argsort(pair, kind="stable")  # by slot and server, then by cost
    repeated = np.zeros(len(packed), dtype=np.bool_)
    repeated[order[1:]] = pair[order[1:]] == pair[order[:-1]]
    packed = packed[~repeated]
    slots = (packed >> bid_bits).astype(np.int32)
    bids = (packed & ((np.uint64(1) << bid_bits) - np.uint64(1))).astype(np.int64)
    return Candidates(slots, bids)
