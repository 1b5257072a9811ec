"""Kill -9 at any point of a start, a reload and an end: no request fails, and nothing is left.

The points are spread evenly over the time that each takes, the more the longer the load lasts:
SHUNT_KILLS_SECONDS (600 is the long one).
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ShuntError
from tests.dispatcher.load import Load
from tests.dispatcher.scene import SHUNT, Scene, configuration
from tests.dispatcher.test_lifetime import trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.processes import Process

SECONDS = int(os.environ.get("SHUNT_KILLS_SECONDS", "16"))
ENDS = max(4, SECONDS // 6)
GOLDEN = 0.6180339887498949  # of each number, the parts behind the point are spread evenly
pytestmark = [pytest.mark.lab, pytest.mark.bpf, pytest.mark.timeout(SECONDS * 6 + 240)]
FILES = [configuration({"a": 10, "b": 20, "c": 30}), configuration({"a": 30, "b": 10})]


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene.made() as made:
        yield made
        made.down()


def points() -> Iterator[float]:
    """Yield parts of a duration, from 0 to 1, that fill it ever more closely."""
    number = 0
    while True:
        number += 1
        yield number * GOLDEN % 1.0


def started(scene: Scene) -> Process:
    """Start the daemon, and do not wait."""
    command = [SHUNT, "up", "-c", str(scene.file), "--root", str(scene.root)]
    return scene.dispatcher.start(command)


def asked(scene: Scene, command: str) -> threading.Thread:
    """Ask the daemon, and do not wait."""

    def body() -> None:
        with contextlib.suppress(ShuntError):  # it is killed before it answers
            scene.ask(command)

    thread = threading.Thread(target=body)
    thread.start()
    return thread


def timed(scene: Scene) -> tuple[float, float]:
    """Return the seconds that a take-over and a reload take here and now."""
    scene.kill()
    began = time.monotonic()
    scene.up()
    up = time.monotonic() - began
    began = time.monotonic()
    scene.reload(FILES[1])
    return up, time.monotonic() - began


def test_no_request_fails_wherever_a_start_or_a_reload_is_killed(scene: Scene) -> None:
    scene.up(FILES[0])
    starting, reloading = timed(scene)
    starts = reloads = 0
    at = points()
    with Load(scene, SECONDS) as load:
        while load.is_running:
            scene.kill()
            process = started(scene)
            time.sleep(next(at) * starting)
            process.kill()
            starts += 1
            scene.up()
            scene.file.write_text(FILES[reloads % 2])
            asking = asked(scene, "reload")
            time.sleep(next(at) * reloading)
            scene.kill()
            asking.join()
            reloads += 1
            scene.up()
    found = load.result
    sys.stdout.write(f"{starts} starts and {reloads} reloads, {found.requests} requests\n")
    assert min(starts, reloads) > 0
    assert found.requests > 1000
    assert found.errors == 0


def test_an_end_that_is_killed_is_finished_by_the_next_one(scene: Scene) -> None:
    scene.root.mkdir(exist_ok=True)
    scene.file.write_text(FILES[0])
    before = trace(scene)
    scene.up()
    began = time.monotonic()
    scene.down()
    ending = time.monotonic() - began
    at = points()
    for _ in range(ENDS):
        scene.up()
        asking = asked(scene, "down")
        time.sleep(next(at) * ending)
        assert scene.process is not None
        scene.process.kill()
        asking.join()
        scene.down()
        assert trace(scene) == before
