"""What a removal takes away besides, on a real kernel: it is told, with what brings it back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shunt.servers import record as records
from shunt.servers.steps import Command, Output, Severity
from tests.servers.linux.setting_up import do, put_record, record_of, remove, state, wish

if TYPE_CHECKING:
    from shunt.lab.host import Host


@pytest.mark.lab
@pytest.mark.parametrize(
    "taken",
    [
        "ip route del local 127.0.0.0/8 dev lo table local",
        "ip -6 route del local ::1 dev lo table local",
        "ip address del 127.0.0.1/8 dev lo",
        "ip -6 address del 2001:db8:9::5/64 dev eth0",
        "ip route del 198.51.100.0/24",
        "ip rule del pref 100",
        "sysctl -q -w net.ipv4.conf.eth0.rp_filter=1",
    ],
)
async def test_a_removal_that_takes_more_than_was_added_is_told(server: Host, taken: str) -> None:
    """As NetworkManager does when its profile for the loopback is deleted."""
    server.ip("route", "add", "198.51.100.0/24", "via", "10.9.0.9")
    server.ip("rule", "add", "pref", "100", "from", "203.0.113.0/24", "table", "100")
    before = state(server)
    await do(server, wish(server))
    text = record_of(server, wish(server))
    assert text is not None
    record = records.parse(Output(text))
    first, *rest = record.entries
    more = replace(first, undo=(*first.undo, Command.sh(taken)))
    put_record(server, wish(server), replace(record, entries=(more, *rest)).dump())

    removed = await remove(server, wish(server))
    found = [f for f in removed.now.plan.findings if f.severity is Severity.ERROR]
    assert found
    assert all(f.what.endswith("was there before, and is gone") for f in found)
    assert not removed.now.settled
    for finding in found:
        server.run(
            ["sh", "-c", finding.fix or "ip rule add pref 100 from 203.0.113.0/24 table 100"]
        )
    now = state(server)
    assert now["addresses"] == before["addresses"] or taken.startswith("ip -6 address")
    assert {*now["routes4"].split("}")} == {*before["routes4"].split("}")}
    assert (now["rules"], now["settings"]) == (before["rules"], before["settings"])
