"""Rounding: against the definition, done seat by seat with fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.balance.quotas import apportion, quotas

WEIGHTS = st.lists(st.integers(1, 65_535), min_size=1, max_size=12)


def rounded(weights: list[int], size: int) -> list[int]:
    tie_break = np.arange(len(weights), dtype=np.uint64)
    return [int(n) for n in apportion(np.array(weights, dtype=np.int64), size, tie_break)]


def seat_by_seat(weights: list[int], size: int) -> list[int]:
    """Return Webster's apportionment from its definition, one slot each to begin with."""
    slots = [1] * len(weights)
    for _ in range(size - len(weights)):
        claims = [Fraction(w, 2 * s + 1) for w, s in zip(weights, slots, strict=True)]
        slots[claims.index(max(claims))] += 1
    return slots


@given(weights=WEIGHTS, size=st.integers(12, 80))
@settings(deadline=None, max_examples=200)
def test_slots_go_by_the_largest_claims(weights: list[int], size: int) -> None:
    assert rounded(weights, size) == seat_by_seat(weights, size)


@given(weights=WEIGHTS, lighter=st.integers(0, 11), power=st.integers(10, 20))
@settings(deadline=None, max_examples=200)
def test_no_server_loses_because_another_becomes_lighter(
    weights: list[int], lighter: int, power: int
) -> None:
    who = lighter % len(weights)
    less = [w // 2 or 1 if n == who else w for n, w in enumerate(weights)]
    before, after = rounded(weights, 1 << power), rounded(less, 1 << power)
    assert all(b <= a for n, (b, a) in enumerate(zip(before, after, strict=True)) if n != who)


@pytest.mark.parametrize("size", [1 << 10, 1 << 20])
def test_extreme_weights_get_their_slots(size: int) -> None:
    assert rounded([65_535], size) == [size]
    assert rounded([65_535] + [1] * 9, size)[1:] == [max(1, round(size / 65_544))] * 9
    assert sum(rounded([1] * 999, size)) == size


def test_equal_claims_go_by_the_tie_break() -> None:
    weights, order = np.full(3, 7, dtype=np.int64), np.array([5, 1, 3], dtype=np.uint64)
    assert apportion(weights, 1024, order).tolist() == [341, 342, 341]


@given(weights=WEIGHTS, power=st.integers(10, 20))
@settings(deadline=None, max_examples=200)
def test_bounds_hold_the_rounded_number_and_one_percent_around_the_weight(
    weights: list[int], power: int
) -> None:
    size = 1 << power
    got = quotas(np.array(weights, dtype=np.int64), size, np.arange(len(weights), dtype=np.uint64))
    for n, weight in enumerate(weights):
        ideal = Fraction(weight * size, sum(weights))
        least, slots, most = int(got.least[n]), int(got.rounded[n]), int(got.most[n])
        assert 1 <= least <= slots <= most
        assert least == slots or least >= ideal * Fraction(99, 100)
        assert most == slots or most <= ideal * Fraction(101, 100)
        assert ideal < 100 or least < slots or most > slots
