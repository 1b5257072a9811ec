"""Counters of the servers that are checked: whose they are, and what they grew by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from shunt.dispatcher.health_counts import Counts, Reading
from shunt.dispatcher.health_jobs import Key
from tests.dispatcher.making import wish

if TYPE_CHECKING:
    from tests.bpf.world import World

A, B = Key("192.0.2.10:80/tcp", "a"), Key("192.0.2.10:80/tcp", "b")


def reading(keys: tuple[Key, ...], *rows: tuple[int, int, int]) -> Reading:
    return Reading(1.0, keys, np.array(rows, np.int64), 0.0)


def test_growth_is_of_those_who_opened_and_of_the_same_servers() -> None:
    keys = (A, B)
    before = reading(keys, (10, 2, 1), (5, 1, 0))
    assert list(reading(keys, (13, 3, 1), (9, 1, 0)).growth_since(before)) == [(A, (3, 1, 0))]
    assert list(reading(keys, (1, 1, 0), (6, 2, 0)).growth_since(before)) == [(B, (1, 1, 0))]
    others = (B, A)
    assert list(reading(others, (99, 99, 0), (99, 99, 0)).growth_since(before)) == []
    assert before.by_key() == {A: (10, 2, 1), B: (5, 1, 0)}


@pytest.mark.bpf
def test_counters_are_found_where_the_services_are_now(world: World) -> None:
    def checked(**options: object) -> None:
        made = wish(**options)  # type: ignore[arg-type]  # passed on as they came
        world.balancer.apply((made,))

    checked(weights={1: 10, 2: 20})
    counts, names = Counts(world.balancer), frozenset({wish().service.name})
    first = counts.read(1.0, names)
    assert len(first.keys) == 2
    assert first.counts.shape == (2, 3)
    assert counts.read(2.0, names).keys is first.keys
    checked(weights={1: 10, 2: 20, 3: 30})
    assert len(counts.read(3.0, names).keys) == 3
    assert counts.read(4.0, frozenset()).keys == ()
    assert counts.read(4.0, frozenset()).counts.shape == (0, 3)
