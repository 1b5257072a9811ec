"""A quiesced server is never said to be free while flows may be left on it."""

from __future__ import annotations

import pytest

from tests.dispatcher.scene import Scene, configuration, eventually

pytestmark = [pytest.mark.lab, pytest.mark.bpf]


def test_older_flows_are_not_forgotten_by_counts_from_before() -> None:
    with Scene.made() as scene:
        scene.up(configuration({"a": 1, "b": 1}))
        eventually(lambda: scene.servers()["a"]["elder_slots"] == 0, "a sweep counted")
        scene.ask("quiesce", server="a", services=[])
        row = scene.servers()["a"]
        assert row["share"] == 0
        assert row["elder_slots"] != 0, "nothing is said to be left, though older flows may be"
        eventually(lambda: scene.servers()["a"]["elder_slots"], "the next sweep counted")
