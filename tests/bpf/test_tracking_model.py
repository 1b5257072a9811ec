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
"""How many histories of each kind; always the same ones, unless a number is asked for."""


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
        yield made


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_live_flow_changes_its_server(world: World, kind: Kind) -> None:
    machine = type("Machine", (Histories,), {"world": world, "kinds": (kind,)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=40,
            deadline=None,
            derandomize="SHUNT_HISTORIES" not in os.environ,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes
        ),
    )
