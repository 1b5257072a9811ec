"""One data plane with the segment of the cases, for all tests of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bpf.segment import populate
from tests.bpf.world import World
from tests.dataplane.conftest import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The segment's data plane; made once, for hundreds of frames that change no table."""
    elsewhere = Namespace()
    try:
        elsewhere.ip("link", "add", "left", "type", "veth", "peer", "name", "right")
        far = elsewhere.ifindex("left")
        with World.made(tmp_path_factory.mktemp("segment")) as world:
            populate(world, far)
            elsewhere.call(world.plane.maps["devices"].put, far, far)
            yield world
    finally:
        elsewhere.close()
