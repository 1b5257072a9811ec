"""Kernel maps for this room's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shunt.dataplane.plane import Sizes
from tests.bpf.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOMY = Sizes(slots=1 << 20, members=1 << 10, flows=1 << 12, affinities=1 << 10, ports=64)
TIGHT = Sizes(slots=1 << 14, members=8, flows=1 << 12, affinities=1 << 10, ports=64)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A data plane with room to spare, and nothing in it."""
    with World.made(tmp_path, ROOMY) as made:
        yield made


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[World]:
    """A data plane whose arrays hold one small service, and must grow for anything more."""
    with World.made(tmp_path, TIGHT) as made:
        yield made
