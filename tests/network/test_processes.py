"""Who listens on a local socket, and in which network namespace."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from shunt.network.processes import listens_here

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.lab.lab import Lab

_LISTEN = """
import socket, sys, time
with socket.socket(socket.AF_UNIX) as listening:
    listening.bind(sys.argv[1])
    listening.listen()
    print("listening", flush=True)
    time.sleep(600)
"""


def test_a_socket_of_this_namespace_and_one_that_was_left(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    assert not listens_here(path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        assert listens_here(path)
    assert path.exists()
    assert not listens_here(path)


@pytest.mark.lab
def test_a_process_in_another_namespace_is_not_here(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    lab.host("a").start([sys.executable, "-c", _LISTEN, str(path)]).wait_until_says("listening")
    assert not listens_here(path)
