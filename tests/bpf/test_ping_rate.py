"""So many pings are answered in a second, on each processor; others have a cause of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scapy.layers.inet import ICMP

from tests.bpf.segment import V4, WEB, ether

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bpf.world import World

pytestmark = pytest.mark.bpf
RATE = 1000  # PINGS_RATE in abi.h


@pytest.fixture
def stopped(segment: World) -> Iterator[World]:
    """The segment on one processor, where no second passes by itself."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    segment.settings(clock_offset=10**15, clock_stopped=1)
    try:
        yield segment
    finally:
        segment.settings(clock_offset=0, clock_stopped=0)
        os.sched_setaffinity(0, before)


def test_pings_beyond_the_rate_are_not_answered_until_the_next_second(stopped: World) -> None:
    ping = np.frombuffer(bytes(ether() / V4.ip(WEB) / ICMP(type=8)), np.uint8)
    wrong = np.frombuffer(bytes(ether() / V4.ip(WEB) / ICMP(type=8, chksum=1)), np.uint8)

    def asked(frame: np.ndarray, count: int) -> dict[str, int]:
        _, causes = stopped.send_many(np.tile(frame, (count, 1)), [len(frame)] * count)
        return dict(causes)

    for _ in range(2):
        stopped.wait(1)
        assert asked(wrong, 10) == {"dropped_malformed": 10}, "what is broken spends nothing"
        assert asked(ping, RATE + 7) == {"answered_ping": RATE, "dropped_ping_rate": 7}
