"""The market: shares end within their bounds, whatever the candidates are."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.balance.arrivals import SERVER_BITS, UNIT, Candidates
from shunt.balance.prices import clear
from shunt.balance.quotas import quotas

SIZE = 1 << 10


def cleared(bids: list[list[tuple[int, int]]], weights: list[int]) -> list[int]:
    """Return the slots that servers get; `bids` are (server, cost) for each slot."""
    rows = [
        (place, cost << SERVER_BITS | server)
        for place, offers in enumerate(bids)
        for server, cost in sorted(offers, key=lambda offer: (offer[1], offer[0]))
    ]
    candidates = Candidates(
        np.array([place for place, _ in rows], dtype=np.int32),
        np.array([bid for _, bid in rows], dtype=np.int64),
    )
    wanted = quotas(
        np.array(weights, dtype=np.int64), SIZE, np.arange(len(weights), dtype=np.uint64)
    )
    table = clear(candidates, wanted, SIZE)
    count = np.bincount(table, minlength=len(weights))
    assert (count >= wanted.least).all()
    assert (count <= wanted.most).all()
    return [int(server) for server in table]


def test_slots_go_to_the_least_cost_if_shares_allow() -> None:
    bids = [[(slot % 2, 10), (1 - slot % 2, UNIT)] for slot in range(SIZE)]
    assert cleared(bids, [1, 1]) == [slot % 2 for slot in range(SIZE)]


def test_a_server_that_everybody_likes_keeps_the_slots_that_like_it_most() -> None:
    step = UNIT // SIZE
    bids = [[(0, 0), (1, (slot + 1) * step)] for slot in range(SIZE)]
    table = cleared(bids, [1, 1])
    cut = table.index(0)
    assert abs(cut - SIZE // 2) <= SIZE // 100
    assert table == [1] * cut + [0] * (SIZE - cut)


def test_equal_bids_are_shared_out_all_the_same() -> None:
    cleared([[(0, 5), (1, 5), (2, 5)]] * SIZE, [1, 2, 3])


def test_slots_that_only_one_server_bids_for_are_taken_away_from_it() -> None:
    cleared([[(0, 5)]] * SIZE, [1, 1, 2])


@given(
    weights=st.lists(st.integers(1, 65_535), min_size=2, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=30)
def test_shares_hold_for_random_candidates(weights: list[int], seed: int) -> None:
    chance = np.random.default_rng(seed)
    bids = [
        [
            (int(server), int(chance.integers(UNIT)))
            for server in chance.choice(len(weights), chance.integers(1, 4) % len(weights) + 1)
        ]
        for _ in range(SIZE)
    ]
    cleared([list(dict(offers).items()) for offers in bids], weights)
