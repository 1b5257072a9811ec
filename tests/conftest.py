"""Fixtures for every room's tests."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from shunt.lab import topology
from shunt.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.topology import Topology

# `dev` looks a little at each run, `ci` longer; both at random, and both print how to replay.
settings.register_profile("dev", max_examples=100, deadline=None, print_blob=True)
settings.register_profile(
    "ci",
    max_examples=300,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure() -> None:
    """Take signals and the terminal in the same way, whoever started us; children inherit both."""
    os.environ["TTY_COMPATIBLE"] = "0"  # rich writes for no terminal, unless a test has made one
    for name in ("FORCE_COLOR", "COLUMNS", "LINES"):
        os.environ.pop(name, None)
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            default = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


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
