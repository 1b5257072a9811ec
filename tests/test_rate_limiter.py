"""Few at once, and for long no more than the rate; whoever asks, and however often."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shunt.rate_limiter import RateLimiter


def test_defences_follow_closely_for_a_burst_and_a_second_apart_for_long() -> None:
    limiter = RateLimiter(1.0, burst=5, gap=0.1)
    made = [100.0]
    limiter.spend(100.0)
    while made[-1] < 160.0:
        made.append(limiter.due(made[-1]))
        limiter.spend(made[-1])
    gaps = [round(later - sooner, 3) for sooner, later in pairwise(made)]
    assert gaps[:4] == [0.1] * 4
    assert gaps[4] == 0.6
    assert set(gaps[5:]) == {1.0}
    assert limiter.due(170.0) == 170.0
    limiter.spend(170.0)
    assert limiter.due(170.0) == 170.1, "it has been earned again"


@given(st.integers(1, 8), st.lists(st.integers(0, 400), max_size=200))
def test_no_span_of_time_has_more_than_was_saved_and_earned(burst: int, pauses: list[int]) -> None:
    limiter, now, allowed = RateLimiter(1.0, burst), 0, []
    for pause in pauses:
        now += pause
        if limiter.allows(now / 100):
            allowed.append(now)
    for first, begin in enumerate(allowed):
        for last in range(first, len(allowed)):
            earned = (allowed[last] - begin) / 100
            assert last - first + 1 <= burst + earned + 0.01


def test_what_is_not_allowed_costs_nothing() -> None:
    limiter = RateLimiter(10.0)
    assert limiter.allows(0.0)
    assert not any(limiter.allows(now / 10) for now in range(1, 100))
    assert limiter.allows(10.0)
