"""Ring buffers: records in the order of their coming, to asyncio too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from shunt.dataplane.events import Events
from shunt.dataplane.testrun import run
from shunt.errors import DataplaneError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shunt.dataplane.object import Object

pytestmark = pytest.mark.bpf


def test_records_come_once_and_in_order(shapes: Object) -> None:
    with shapes.map("ring") as ring, shapes.program("shapes") as program:
        events = Events(ring, shapes.layouts.dtype("event"))
        run(program, bytes(64), repeat=3)
        records = events.drain_array()
        assert records["number"].tolist() == [1, 2, 3]
        assert records["port"].tolist() == [80, 80, 80]
        assert events.drain() == []
        events.close()
        events.close()
        with pytest.raises(ValueError, match="closed"):
            events.drain()


async def test_the_loop_is_woken(shapes: Object) -> None:
    seen: list[int] = []
    woken = asyncio.Event()

    def take(records: NDArray[Any]) -> None:
        seen.extend(records["number"].tolist())
        woken.set()

    with shapes.map("ring") as ring, shapes.program("shapes") as program:
        with Events(ring, shapes.layouts.dtype("event")) as events:
            events.watch(asyncio.get_running_loop(), take)
            for expected in ([1, 2], [1, 2, 3]):
                run(program, bytes(64), repeat=expected[-1] - len(seen))
                await asyncio.wait_for(woken.wait(), 10)
                woken.clear()
                assert seen == expected
            descriptor = events.fileno()
        assert not asyncio.get_running_loop().remove_reader(descriptor)  # `close` did it


def test_records_of_another_size_are_refused(shapes: Object) -> None:
    record = shapes.layouts.dtype("record")
    with (
        shapes.map("ring") as ring,
        shapes.program("shapes") as program,
        Events(ring, record) as events,
    ):
        run(program, bytes(64))
        with pytest.raises(DataplaneError, match=r"records of \[8\] bytes, not 32"):
            events.drain_array()
    with shapes.map("table") as table, pytest.raises(DataplaneError, match="no ring buffer"):
        Events(table)
