"""Whatever strangers say on the segment, what it seems to mean makes few lines in the log."""

from __future__ import annotations

from typing import Any, cast

from structlog.testing import capture_logs

from shunt.config import parse
from shunt.dispatcher.engine import Engine
from shunt.dispatcher.wishes import Way
from shunt.model.addresses import Mac

SERVERS = [f"s{number}" for number in range(20)]
CONFIG = parse(
    "dispatcher: {interface: eth0}\nclusters:\n  web:\n    address: 192.0.2.10\n"
    f"    ports: [{{port: 80, servers: [{', '.join(SERVERS)}]}}]\nservers:\n"
    + "".join(f"  {name}: {{address: 192.0.2.{100 + n}}}\n" for n, name in enumerate(SERVERS)),
    "shunt.yaml",
)
MINUTE = 60
CHANGES = 50  # a second: each gathers what came within 20 ms


def test_servers_that_share_macs_in_ever_new_ways_are_told_in_bounds() -> None:
    now = [0.0]
    engine = Engine(CONFIG, cast("Any", None), fresh=False)
    engine.limited.clock = lambda: now[0]
    with capture_logs() as lines:
        for change in range(MINUTE * CHANGES):
            now[0] = change / CHANGES
            engine.ways = {
                name: Way(Mac((2 + (n + change) % 10 * 256).to_bytes(6, "big")), 2)
                for n, name in enumerate(SERVERS[change % 7 :])
            }
            engine.diagnose(CONFIG)
            assert engine.diagnoses, "all of it is in the status"
        now[0] += MINUTE
        engine.ways = {name: Way(Mac(b"\2\0\0\0\0\7"), 2) for name in SERVERS}
        engine.diagnose(CONFIG)
    assert 1 < len(lines) <= 20
    assert lines[-1]["left_out"] > 500, "what was not written is counted"
