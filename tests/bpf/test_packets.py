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
    if case.server is None:
        assert not tallies
    else:
        tally = Tally(1, len(case.frame), case.opened, case.closed)
        assert tallies == {case.server.name: tally}
