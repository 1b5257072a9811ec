"""No flow breaks: while weights change, servers come and go, and the daemon is killed and renewed.

Two hundred slow downloads, two hundred keep-alive clients and two hundred conversations by UDP live
through it. `SHUNT_UNBROKEN_SECONDS` makes it last longer than the default.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from shunt.lab.topology import CLUSTERS
from tests.dispatcher.crowd import Crowd
from tests.dispatcher.scene import FOUR, SIX, Scene, configuration, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.bpf]
SECONDS = float(os.environ.get("SHUNT_UNBROKEN_SECONDS", "14"))
EACH = 200
SIZE = 600_000  # bytes of a download, some fifteen seconds at its pace
IDLE = (
    8  # seconds after which slots settle: well above the clients' pauses, well below the defaults
)
OPTIONS = f", stale: {IDLE}, udp_idle: {IDLE}"


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene.made(keepalive=True) as made:
        yield made


def unsettled(scene: Scene) -> int:
    return sum(service["unsettled"] for service in scene.ask("status")["services"])


def exceptions(scene: Scene) -> int:
    return sum(service["exceptions"] or 0 for service in scene.ask("status")["services"])


def test_no_flow_breaks_whatever_changes(scene: Scene) -> None:
    data = random.Random(1).randbytes(SIZE)
    for web in scene.webs.values():
        (web.files / "slow").write_bytes(data)
    dice = random.Random(2)
    weights = {"a": 10, "b": 10, "c": 10}
    scene.up(configuration(weights, options=OPTIONS))
    programs = {scene.carried()}
    crowd = Crowd(
        scene.client, CLUSTERS, "/files/slow", hashlib.sha256(data).hexdigest(), SIZE, EACH
    )
    with crowd:
        assert not crowd.broken
        end = time.monotonic() + SECONDS
        step = 0
        while time.monotonic() < end or step < 8:
            began = time.monotonic()
            change(scene, weights, dice, step)
            programs.add(scene.carried())
            scene.fetch(3, FOUR if step % 2 else SIX)
            assert not crowd.broken, crowd.broken[:5]
            step += 1
            time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))  # the pace of the changes
        most = unsettled(scene)
        assert most > 1000
        eventually(lambda: exceptions(scene) > 0, "a sweep of the last daemon has counted flows")
        eventually(lambda: unsettled(scene) < most / 2, "slots settle among live flows")
    assert not crowd.broken, crowd.broken[:5]
    assert len(programs) >= 3, "the program was renewed more than once"
    assert crowd.downloads >= EACH
    assert crowd.answers > 2 * EACH * 10


def change(scene: Scene, weights: dict[str, int], dice: random.Random, step: int) -> None:
    """Do what an operator, or fate, does next."""
    match step % 8:
        case 0 | 4:  # new weights in the file
            for name in weights:
                weights[name] = dice.randint(1, 40)
            scene.reload(configuration(weights, options=OPTIONS))
        case 1:  # a server goes
            gone = dice.choice(sorted(weights))
            left = {name: weight for name, weight in weights.items() if name != gone}
            scene.reload(configuration(left, options=OPTIONS))
        case 2 | 6:  # the daemon is killed, and a new one brings its own program
            scene.kill()
            scene.up()
        case 3:  # and the server comes back, last of them now
            scene.reload(configuration(dict(reversed(weights.items())), options=OPTIONS))
        case 5:  # a server is quiesced at run time, another one gets a weight
            scene.ask("quiesce", server="b")
            scene.ask("weight", server="c", weight=dice.randint(1, 100))
        case _:  # and back
            scene.ask("unquiesce", server="b")
            scene.ask("weight", server="c", weight=None)
