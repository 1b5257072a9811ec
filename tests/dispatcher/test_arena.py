"""Room in an array: regions never overlap, and room that was given back is given out again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.dispatcher.arena import Region, find_room, power_of_two

TOTAL = 64
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 40)), st.tuples(st.just("free"), st.integers(0))
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=300)
@given(STEPS)
def test_what_is_given_out_is_free_and_inside(steps: list[tuple[str, int]]) -> None:
    taken: list[Region] = []
    owner = [False] * TOTAL
    for what, number in steps:
        if what == "free":
            if taken:
                gone = taken.pop(number % len(taken))
                owner[gone.span] = [False] * gone.size
            continue
        found = find_room(taken, number, TOTAL)
        free = "".join("x" if cell else "." for cell in owner)
        if found is None:
            assert "." * number not in free
            continue
        assert found.size == number
        assert found.base == free.index("." * number), "room is taken from the front"
        owner[found.span] = [True] * number
        taken.append(found)


@pytest.mark.parametrize(
    ("number", "least"),
    [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1024, 1024), (1025, 2048)],
)
def test_powers_of_two(number: int, least: int) -> None:
    assert power_of_two(number) == least
