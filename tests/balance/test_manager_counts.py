"""Connections estimated from counters of one direction."""

from __future__ import annotations

import pytest

from shunt.balance.manager_counts import Connections, Suspicion, suspicious


def test_what_opens_and_closes_is_balanced_and_fades() -> None:
    first = Connections(100, 40, 10.0).read(110, 44, 12.0, fades=300)
    assert (first.active, first.new) == (6.0, 5.0)
    later = first.read(110, 44, 312.0, fades=300)
    assert later.active == pytest.approx(6.0 / 2.718281828)
    assert later.new == 0
    assert later.read(110, 90, 313.0, fades=300).active == 0


def test_counters_that_begin_anew_begin_anew() -> None:
    assert Connections(100, 40, 10.0, 5.0).read(3, 1, 11.0, 300) == Connections(3, 1, 11.0)
    same = Connections(100, 40, 10.0, 5.0)
    assert same.read(200, 40, 10.0, 300) is same


@pytest.mark.parametrize(
    ("opened", "packets", "closed", "expected"),
    [(0, 0, 0, False), (1, 1, 0, True), (5, 5, 0, True), (1, 3, 0, False), (1, 4, 2, False),
     (2, 4, 2, True), (0, 9, 0, False)],
)  # fmt: skip
def test_connections_without_a_second_packet_are_suspicious(
    opened: int, packets: int, closed: int, *, expected: bool
) -> None:
    assert suspicious(opened, packets, closed) is expected


def test_a_suspicion_that_lasts_costs_a_check_a_second_and_begins_at_once() -> None:
    suspicion, checks = Suspicion(), list[float]()
    for glance in range(200):
        at = 100 + glance / 20
        if at >= suspicion.due:
            suspicion = suspicion.checked(at)
            checks.append(at)
    assert checks[:3] == pytest.approx([100.0, 100.1, 100.3])
    assert 12 <= len(checks) <= 14
    assert checks[-1] - checks[-2] == pytest.approx(1.0, abs=0.06)
