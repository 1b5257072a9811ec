"""Numbers for names: stable, given back, and never one number for two names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.dispatcher.numbers import Numbers
from shunt.errors import UsageError

LIMIT = 5
names = st.sampled_from("abcdefgh")


def test_a_number_that_was_let_go_is_given_last() -> None:
    numbers = Numbers(3)
    assert [numbers.of(name) for name in "aba"] == [0, 1, 0]
    numbers.keep({"b"})
    assert "a" not in numbers
    assert [numbers.of(name) for name in "cdb"] == [2, 0, 1]
    with pytest.raises(UsageError, match="no more than 3"):
        numbers.of("e")
    assert numbers.of("c") == 2


@given(steps=st.lists(st.one_of(names, st.frozensets(names))))
@settings(max_examples=300, deadline=None)
def test_no_two_names_have_one_number(steps: list[str | frozenset[str]]) -> None:
    numbers = Numbers(LIMIT)
    known: dict[str, int] = {}
    for step in steps:
        if isinstance(step, frozenset):
            numbers.keep(step)
            known = {name: number for name, number in known.items() if name in step}
        elif step in known or len(known) < LIMIT:
            found = numbers.of(step)
            assert known.setdefault(step, found) == found
            assert 0 <= found < LIMIT
        assert len(set(known.values())) == len(known)
