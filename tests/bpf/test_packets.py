"""Packets as data: verdict, every output byte and the one counter of each row in `cases/`."""

from __future__ import annotations

import pytest

from tests.bpf.cases.tables import CASES
from tests.bpf.world import Tally, World

pytestmark = pytest.mark.bpf


@pytest.mark.parametrize("name", CASES)
def test_a_packet(segment: World, name: str) -> None:
    case = CASES[name]
    segment.forget("fragments")
    for earlier in case.before:
        assert segment.send(bytes(earlier)).cause.startswith("forwarded")
    sent, tallies = segment.send_counting(case.frame)
    assert (sent.verdict, sent.cause) == (case.verdict, case.cause)
    assert sent.frame.hex() == case.out.hex()
    counted = {}
    if case.server is not None:
        counted[case.server.name] = Tally(1, len(case.frame), case.opened, case.closed)
    if case.loops is not None:
        counted[case.loops.name] = Tally(0, 0, 0, 0, loops=1)
    assert tallies == counted
