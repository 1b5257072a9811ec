"""A daemon that nothing stops: operators, servers and strangers do all at once what they can.

By a seed: SHUNT_DAEMON_STORM_SEED; for so many seconds: SHUNT_DAEMON_STORM_SECONDS (3600 is the
long one, in which no check may be later than its interval: give it a quiet machine).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ControlError
from tests.dispatcher.scene import Scene, configuration, eventually
from tests.dispatcher.storm.commotion import HOSTILE, Commotion, resident, start_hostile, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = os.environ.get("SHUNT_DAEMON_STORM_SEED", "1")
SECONDS = float(os.environ.get("SHUNT_DAEMON_STORM_SECONDS", "15"))
IS_LONG = SECONDS >= 600
DOWNS = 200 if IS_LONG else 2
pytestmark = [
    pytest.mark.lab, pytest.mark.bpf, pytest.mark.timeout(SECONDS * 2 + 60 * (5 + DOWNS / 4)),
]  # fmt: skip

INTERVAL = 1.0
GROWTH = 10 << 20  # bytes of memory
LOG = 1 << 20  # bytes of log a minute
ADVISOR = f", advisor: {{type: http, interval: {INTERVAL}, connect_timeout: 1, receive_timeout: 1}}"
PATTERN = (
    f"      - {{port: {HOSTILE}, servers: [a, b, c], advisor: {{type: http, body: '\\w+ up', "
    f"interval: {INTERVAL}, connect_timeout: 1, receive_timeout: 1}}}}\n"
)


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene.made() as made:
        made.lab.segment("spare")
        made.lab.join(made.dispatcher, "spare", interface="eth2")
        yield made
        made.down()


def file(weights: dict[str, int], interfaces: str = "[eth0, eth2]") -> str:
    text = configuration(weights, options=ADVISOR, dispatcher=f"interface: {interfaces}")
    return text.replace("servers:\n  a:", f"{PATTERN}servers:\n  a:", 1)


def test_the_daemon_lives_and_checks_whatever_is_done_to_it(scene: Scene) -> None:
    usual = file({"a": 10, "b": 10, "c": 10})
    files = [usual, file({"a": 1, "b": 30}), file({"c": 5, "a": 7}, "eth0"), "clusters: 7\n"]
    start_hostile(scene, SEED)
    process = scene.up(usual)
    memory: list[int] = []
    late: list[float] = []

    def look() -> None:
        assert process.status is None, scene.said()[-5000:]
        memory.append(resident(process.pid))
        try:
            status = scene.ask("status")
        except ControlError as error:
            assert "others ask at this moment" in error.message  # noqa: PT017 - one of two ends
        else:
            late.append(status["health"]["latest"])
            assert not status["daemon"]["loops"]["checks"]["overdue"]

    with Commotion(scene, SEED, files) as commotion:
        wait_for(SECONDS, look)
    said = scene.said()
    course = [each >> 20 for each in memory[:: max(1, len(memory) // 12)]]
    sys.stdout.write(
        f"seed {SEED}, {SECONDS:.0f} s: {commotion.done}; memory {course} MB; "
        f"latest check {max(late):.2f} s; log {len(said) >> 10} KB\n"
    )
    assert process.status is None
    assert commotion.done.keys() >= {"_weigh", "_reload", "_read", "_hold", "_flap", "_claim"}
    assert not [each for each in commotion.faults if "at this moment" not in each]
    assert "Traceback" not in said
    assert "unforeseen" not in said
    assert memory[-1] - memory[len(memory) // 3] < GROWTH
    assert len(said) < LOG * max(1.0, SECONDS / 60)
    assert not IS_LONG or max(late) <= INTERVAL
    as_it_was(scene, usual)
    for _ in range(DOWNS):
        scene.down()
        assert scene.carried() is None
        scene.up(usual)


def as_it_was(scene: Scene, usual: str) -> None:
    """All that was changed is taken back, and all goes well again."""
    eventually(lambda: "eth2" in scene.dispatcher.ip("link"), "the interface is there")
    scene.reload(usual)
    for name in "abc":
        scene.ask("unquiesce", server=name)
        scene.ask("weight", server=name, weight=None)
    eventually(lambda: {r["weight"] for r in scene.servers().values()} == {10}, "all are up")
    eventually(lambda: scene.fetch(60).keys() == {"a", "b", "c"}, "all are asked")
