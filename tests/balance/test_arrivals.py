"""Draws and bids: against the definition, one draw at a time in plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.balance.arrivals import SERVER_BITS, UNIT, draw, server_of

MASK = (1 << 64) - 1
SIZE = 1 << 10


def mixed(seed: int, counter: int) -> int:
    bits = (seed + (counter + 1) * 0x9E3779B97F4A7C15) & MASK
    bits = ((bits ^ bits >> 30) * 0xBF58476D1CE4E5B9) & MASK
    bits = ((bits ^ bits >> 27) * 0x94D049BB133111EB) & MASK
    return bits ^ bits >> 31


def first_draws(seeds: list[int], weights: list[int]) -> list[dict[int, int]]:
    """Return, for each slot, the cost of each server that draws it in seven units of time."""
    costs: list[dict[int, int]] = [{} for _ in range(SIZE)]
    for server, (seed, weight) in enumerate(zip(seeds, weights, strict=True)):
        gap = min(SIZE << 20, (sum(weights) << 20) // weight)
        for nth in range((7 * SIZE << 20) // gap + 1):
            chance = mixed(seed, nth)
            cost = ((nth << 16 | chance & 0xFFFF) * gap) >> (10 + 16 + 20 - 24)
            costs[chance >> 54].setdefault(server, cost)
    return costs


@given(
    weights=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    seed=st.integers(0, MASK),
)
@settings(deadline=None, max_examples=20)
def test_bids_are_the_first_draws_that_come_close_to_the_least(
    weights: list[int], seed: int
) -> None:
    seeds = [mixed(seed, n) for n in range(len(weights))]
    many = np.full(len(weights), 10_000)
    slot, bid = draw(np.array(seeds, dtype=np.uint64), np.array(weights), many, SIZE)
    got: list[dict[int, int]] = [{} for _ in range(SIZE)]
    for place, cost, server in zip(slot, bid >> SERVER_BITS, server_of(bid), strict=True):
        got[place][int(server)] = int(cost)
    for here, drawn in zip(got, first_draws(seeds, weights), strict=True):
        near = {
            server: cost
            for server, cost in drawn.items()
            if cost << 16 | server <= (min(drawn.values()) + UNIT // 4) << 16 | 0xFFFF
        }
        sure = {server: c for server, c in near.items() if c < min(drawn.values()) + UNIT // 4}
        assert not drawn or sure.items() <= here.items() <= near.items()
        assert here  # slots that nobody drew in time have bids, too


def test_rows_are_sorted_and_a_server_bids_once_for_a_slot() -> None:
    seeds = np.arange(1, 4, dtype=np.uint64)
    slot, bid = draw(seeds, np.array([5, 1, 1]), np.array([5, 2, 2]), SIZE)
    rows = list(zip(slot.tolist(), bid.tolist(), strict=True))
    assert rows == sorted(rows)
    pairs = [(place, offer & 0xFFFF) for place, offer in rows]
    assert len(pairs) == len(set(pairs))
    assert {place for place, _ in pairs} == set(range(SIZE))


def test_a_light_server_bids_for_several_slots() -> None:
    seeds = np.arange(1, 3, dtype=np.uint64)
    _, bid = draw(seeds, np.array([65_535, 1]), np.array([SIZE - 1, 1]), SIZE)
    assert np.count_nonzero(server_of(bid) == 1) >= 4
