"""With no server left, clients of a service that answers with resets hear it at once."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from shunt.lab.topology import CLUSTERS
from tests.dispatcher.scene import DEADLINE, Scene, configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.bpf]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Scene.made() as made:
        made.up(configuration({"a": 1, "b": 1}, options=", on_down: reset"))
        yield made


def test_clients_are_refused_while_nobody_serves_and_served_again_after(scene: Scene) -> None:
    def refused() -> None:
        for cluster in CLUSTERS:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((str(cluster), 80), timeout=DEADLINE)

    for server in "ab":
        scene.ask("weight", server=server, weight=0)
    scene.client.call(refused)
    for server in "ab":
        scene.ask("weight", server=server, weight=None)
    assert scene.fetch().keys() == {"a", "b"}


def test_connections_that_stand_are_kept_while_nobody_takes_new_ones(scene: Scene) -> None:
    """Weight 0 takes no new connections; the old ones are not reset for it."""

    def talk() -> bytes:
        with socket.create_connection((str(CLUSTERS[0]), 80), timeout=DEADLINE) as standing:
            for server in "ab":
                scene.ask("weight", server=server, weight=0)
            standing.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return standing.makefile("rb").readline()

    try:
        assert scene.client.call(talk).startswith(b"HTTP/1.1 200")
    finally:
        for server in "ab":
            scene.ask("weight", server=server, weight=None)
