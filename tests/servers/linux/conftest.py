"""A server in a namespace, and a machine of the same segment that asks it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers.linux.asking import Asker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab


@pytest.fixture
def server(lab: Lab) -> Iterator[Host]:
    """A host with one NIC, 10.9.0.5 and 2001:db8:9::5, as fresh as the kernel makes it."""
    lab.segment("lan")
    host = lab.host("server")
    host.ip("link", "set", "lo", "up")
    lab.join(host, "lan", addresses=["10.9.0.5/24", "2001:db8:9::5/64"])
    yield host
    for path in Path("/run/shunt").glob(f"netns-{host.path.stat().st_ino}-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def asker(lab: Lab, server: Host) -> Iterator[Asker]:
    """Another machine of the segment, with raw frames only."""
    machine = lab.host("asker")
    lab.join(machine, "lan")
    with Asker(machine, server) as asker:
        yield asker
