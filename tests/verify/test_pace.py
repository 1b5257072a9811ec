"""No second has more frames than asked for, and lateness is made up for."""

from __future__ import annotations

import random

import pytest

from shunt.verify.wire import Pace


def _sent(rate: float, delays: list[float]) -> list[float]:
    """Return when frames go if each wake-up comes late by the next of `delays`."""
    pace, now, times = Pace(rate), 100.0, []
    for delay in delays:
        now += pace.wait(now)
        now += delay
        pace.spend(now)
        times.append(now)
    return times


@pytest.mark.parametrize("rate", [5, 200, 1_000])
@pytest.mark.parametrize("late", [0.0, 0.0005, 0.03])
def test_no_second_has_more_frames_than_the_rate(rate: int, late: float) -> None:
    chance = random.Random(rate)
    times = _sent(rate, [chance.choice((0.0, 0.0, late)) for _ in range(3 * rate + 20)])
    first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        assert last - first + 1 <= rate


def test_small_delays_cost_nothing() -> None:
    times = _sent(200, [0.002] * 1000)
    assert times[-1] - times[0] < 1000 / 200 * 1.03
