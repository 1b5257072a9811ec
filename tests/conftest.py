"""Fixtures for every room's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shunt.lab import topology
from shunt.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.topology import Topology


@pytest.fixture
def lab() -> Iterator[Lab]:
    """An empty laboratory, removed after the test; mark the test with `lab`."""
    with Lab.create() as made:
        yield made


@pytest.fixture
def direct_return(lab: Lab) -> Topology:
    """Client, dispatcher and three servers prepared for direct return; nothing runs on them yet.

    `nginx.start_all` and `daemon.start` of `shunt.lab` bring them to life.
    """
    standing = topology.build(lab)
    for server in standing.servers.values():
        topology.prepare(server)
    return standing
