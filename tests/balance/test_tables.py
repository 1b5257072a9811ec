"""Slot tables: what dispatchers rely on, and the figures that are promised."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.balance.tables import LEAST, MOST, NONE, Share, build, table_size
from shunt.balance.weights import least_moves, moved, shares, slots_held
from shunt.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY = bytes(range(16))
SHARES = st.lists(
    st.builds(Share, st.binary(min_size=1, max_size=16), st.integers(0, 65_535)),
    min_size=1,
    max_size=20,
    unique_by=lambda share: share.identity,
)


def servers(weights: list[int]) -> list[Share]:
    return [Share(b"server %d" % n, weight) for n, weight in enumerate(weights)]


def mixed(number: int) -> list[int]:
    chance = random.Random(number)
    return [chance.randint(1, 20) for _ in range(number)]


@given(members=SHARES, power=st.integers(10, 13))
@settings(deadline=None, max_examples=100)
def test_slots_go_to_servers_with_a_weight_and_each_gets_one(
    members: list[Share], power: int
) -> None:
    table = build(members, 1 << power, KEY)
    assert table.dtype == np.uint16
    assert len(table) == 1 << power
    used = set(table.tolist())
    assert used == {n for n, member in enumerate(members) if member.weight} or used == {NONE}
    assert (used == {NONE}) == (not any(member.weight for member in members))


@given(members=SHARES, order=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_the_order_of_servers_makes_no_difference(
    members: list[Share], order: random.Random
) -> None:
    shuffled = order.sample(members, len(members))
    table, other = build(members, 1 << 11, KEY), build(shuffled, 1 << 11, KEY)
    names = [member.identity for member in members] + [b""]
    others = [member.identity for member in shuffled] + [b""]
    assert [names[min(n, len(members))] for n in table] == [
        others[min(n, len(members))] for n in other
    ]


@given(weights=st.lists(st.integers(0, 300), min_size=1, max_size=10), times=st.integers(1, 200))
@settings(deadline=None, max_examples=40)
def test_only_the_proportion_of_weights_counts(weights: list[int], times: int) -> None:
    scaled = servers([weight * times for weight in weights])
    assert np.array_equal(build(servers(weights), LEAST, KEY), build(scaled, LEAST, KEY))


def test_servers_without_a_weight_make_no_difference() -> None:
    with_idle = build(servers([3, 0, 5, 0]), 1 << 12, KEY)
    without = build([Share(b"server 0", 3), Share(b"server 2", 5)], 1 << 12, KEY)
    assert np.array_equal(with_idle, without * 2)


def test_another_key_gives_an_unrelated_table() -> None:
    here, there = (
        build(servers([1] * 10), 1 << 14, KEY),
        build(servers([1] * 10), 1 << 14, bytes(16)),
    )
    assert 0.85 < moved(here, there) / len(here) < 0.95


@pytest.mark.parametrize(
    ("weights", "size", "digest"),
    [
        ([1, 2, 3], 1 << 14, "c3ae6088ed7162ac"),
        (mixed(100), 1 << 16, "81ad3662fb80ed8c"),
        ([65_535, 1, 0, 300], 1 << 10, "8a1492f97d496afd"),
    ],
)
def test_every_machine_gets_the_same_bits(weights: list[int], size: int, digest: str) -> None:
    table = build(servers(weights), size, KEY)
    assert hashlib.sha256(table.astype("<u2").tobytes()).hexdigest()[:16] == digest


@given(weights=st.lists(st.integers(1, 65_535), min_size=1, max_size=60))
@settings(deadline=None, max_examples=40)
def test_shares_are_within_one_percent_or_one_slot(weights: list[int]) -> None:
    assert_shares(build(servers(weights), table_size(len(weights)), KEY), weights)


def assert_shares(table: NDArray[np.uint16], weights: list[int]) -> None:
    ideal = np.array(weights) * len(table) / sum(weights)
    off = np.abs(slots_held(table, len(weights)) - ideal)
    assert (off <= np.maximum(ideal / 100, 1)).all()


def ratios(weights: list[int], changed: list[int]) -> tuple[list[float], list[float]]:
    """Return the moves as multiples of the least, where servers come or go, and where they halve.

    The least is what the weights demand: the sum of the shares' growth.
    """
    size = table_size(len(weights))
    table = build(servers(weights), size, KEY)
    assert_shares(table, weights)
    going: list[float] = []
    halving: list[float] = []
    for who in changed:
        for result, weight in ((going, 0), (halving, weights[who] // 2)):
            after = [weight if n == who else other for n, other in enumerate(weights)]
            growth = np.array(after) / sum(after) - np.array(weights) / sum(weights)
            moves = moved(table, build(servers(after), size, KEY))
            result.append(moves / (size * growth[growth > 0].sum()))
    return going, halving


@pytest.mark.parametrize(("number", "limit"), [(2, 1.1), (3, 1.1), (10, 1.1), (100, 1.5)])
def test_a_change_among_equal_servers_moves_few_slots(number: int, limit: float) -> None:
    going, halving = ratios([10] * number, list(range(min(number, 6))))
    assert max(going + halving) <= limit


@pytest.mark.parametrize(("number", "limit"), [(2, 1.1), (3, 1.1), (10, 1.1), (100, 1.5)])
def test_a_change_among_mixed_servers_moves_few_slots(number: int, limit: float) -> None:
    weights = mixed(number)
    going, halving = ratios(weights, list(range(min(number, 10))))
    assert np.mean(going) <= limit
    assert np.mean(halving) <= limit
    average = sum(weights) / number
    heavy = [
        both
        for both, weight in zip(zip(going, halving, strict=True), weights, strict=False)
        if weight >= average
    ]
    assert max(max(both) for both in heavy) <= limit


@pytest.mark.parametrize("weights", [[10] * 1000, mixed(1000)], ids=["equal", "mixed"])
def test_a_change_among_a_thousand_servers_moves_few_slots(weights: list[int]) -> None:
    going, halving = ratios(weights, [weights.index(10)])
    assert max(going + halving) <= 2


def test_a_server_that_comes_back_finds_its_slots() -> None:
    before = build(servers([5, 6, 7]), 1 << 12, KEY)
    build(servers([5, 0, 7]), 1 << 12, KEY)
    assert np.array_equal(build(servers([5, 6, 7]), 1 << 12, KEY), before)


def test_table_sizes_are_powers_of_two_that_grow_with_the_servers() -> None:
    sizes = [table_size(number) for number in range(3000)]
    assert sizes == sorted(sizes)
    assert all(LEAST <= size <= MOST and not size & (size - 1) for size in sizes)
    assert (sizes[3], sizes[10], sizes[100], sizes[1000]) == (1 << 14, 1 << 14, 1 << 16, 1 << 20)


@pytest.mark.parametrize(
    ("members", "size", "key", "message"),
    [
        (servers([1]), 1000, KEY, "power of two"),
        (servers([1]), 1 << 21, KEY, "power of two"),
        (servers([1]), 1 << 10, b"short", "16 bytes"),
        (servers([-1]), 1 << 10, KEY, "weight -1"),
        (servers([65_536]), 1 << 10, KEY, "weight 65536"),
        (servers([1]) + servers([2]), 1 << 10, KEY, "identity"),
        (servers([1] * 1025), 1 << 10, KEY, "1025 servers"),
        (servers([0] * 65_535), 1 << 20, KEY, "65535 servers"),
    ],
)
def test_wrong_arguments_are_refused(
    members: list[Share], size: int, key: bytes, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build(members, size, key)


def test_no_servers_give_a_table_of_none() -> None:
    assert set(build([], LEAST, KEY).tolist()) == {NONE}


def test_as_many_servers_as_slots_get_one_each() -> None:
    table = build(servers([1 + n % 7 for n in range(LEAST)]), LEAST, KEY)
    assert sorted(table.tolist()) == list(range(LEAST))


def test_figures_about_tables() -> None:
    before = np.array([0, 0, 1, NONE], dtype=np.uint16)
    after = np.array([1, 0, 1, 0], dtype=np.uint16)
    assert shares(before, 3).tolist() == [0.5, 0.25, 0]
    assert slots_held(after, 3).tolist() == [2, 2, 0]
    assert moved(before, after) == 2
    assert least_moves(before, after) == 1
