"""Random histories of flows and changes against the real program: no live flow changes server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from shunt.dispatcher import balancer
from tests.bpf.histories import Histories
from tests.bpf.kinds import CLUSTERS, KINDS, LEAST_SLOTS, Kind
from tests.bpf.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.bpf

HISTORIES = int(os.environ.get("SHUNT_HISTORIES", "8"))
MANY = int(os.environ.get("SHUNT_HISTORIES", "500"))
"""How many histories of each kind, other ones each time; 5,000 make 100,000 in all.

Each plays alike whenever it is played. One that fails is printed, with what `reproduce_failure`
takes, and is the first of the next run.
"""


def few_slots(servers: int) -> int:
    """As `table_size`, but so few that flows meet in a slot, and that five servers need more."""
    return LEAST_SLOTS if servers < 5 else 2 * LEAST_SLOTS


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        pytest.MonkeyPatch.context() as patch,
        World.made(tmp_path_factory.mktemp("tracking")) as made,
    ):
        patch.setattr(balancer, "table_size", few_slots)
        for cluster in CLUSTERS.values():
            made.address(str(cluster), "CLUSTER", "ACTIVE")
        before = os.sched_getaffinity(0)
        yield made
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_live_flow_changes_its_server(world: World, kind: Kind) -> None:
    play(world, kind, HISTORIES)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nor_does_it_in_many_histories(world: World, kind: Kind) -> None:
    play(world, kind, MANY)


def play(world: World, kind: Kind, histories: int) -> None:
    machine = type("Machine", (Histories,), {"world": world, "kinds": (kind,)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes
        ),
    )
