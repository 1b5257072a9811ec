"""The kernel's accounting, on and off."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from shunt.dataplane.attach import attach
from shunt.dataplane.program import Program
from shunt.dataplane.stats import RunStats, enable_stats, program_stats
from shunt.errors import DataplaneError

if TYPE_CHECKING:
    from shunt.dataplane.object import Object
    from tests.dataplane.conftest import Namespace


@pytest.mark.bpf
def test_programs_describe_themselves(shapes: Object) -> None:
    with shapes.program("dropper") as program:
        info = program.info()
        assert (info.name, len(info.tag), info.kind) == ("dropper", 16, 6)
        with Program.by_id(info.id) as again:
            assert again.info().tag == info.tag
    with pytest.raises(DataplaneError, match="open program 4294967295: ENOENT"):
        Program.by_id(0xFFFFFFFF)


@pytest.mark.bpf
@pytest.mark.lab
def test_runs_are_counted_while_accounting_is_on(shapes: Object, namespace: Namespace) -> None:
    """Real packets: the kernel does not count test runs."""
    with shapes.program("dropper") as program:
        link = namespace.call(attach, namespace.ifindex("right"), program).link
        namespace.call(_send_frames, 3)
        assert program_stats(program).runs == 0
        with enable_stats():
            before = program_stats(program)
            namespace.call(_send_frames, 5)
            during = program_stats(program).since(before)
        assert during.runs >= 5
        assert during.time_ns > 0
        link.close()


def _send_frames(count: int) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("left", 0))
        for _ in range(count):
            sender.send(bytes(60))


def test_differences() -> None:
    difference = RunStats(500, 10).since(RunStats(100, 2))
    assert difference == (400, 8)
    assert difference.ns_per_run == 50
    assert RunStats(0, 0).ns_per_run is None
