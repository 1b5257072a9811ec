"""The probe path on real packets: a mark leads to its server, at an address that nobody holds."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from shunt.advisors.advisor import Target
from shunt.advisors.check import make
from shunt.advisors.run import run
from shunt.dataplane.probe import Probe, ProbeWay, marks
from shunt.lab import nginx, topology
from shunt.model.addresses import Mac
from shunt.network.placeholder import Placeholder, confirm, forget, way_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shunt.advisors.dialogue import Verdict
    from shunt.lab.topology import Topology
    from shunt.model.addresses import Address

    Ask = Callable[[Address, str, str], Verdict]

pytestmark = [pytest.mark.lab, pytest.mark.bpf]

NUMBERS = {"a": 0, "b": 1, "c": 65535}


@pytest.fixture
def ask(direct_return: Topology) -> Iterator[Ask]:
    """Asks for http, or what else, at an address, at a server; the probe path is set up."""
    dispatcher = direct_return.dispatcher
    eth0 = dispatcher.interface("eth0")
    probe = Probe.load()
    macs = {name: host.interface("eth0").mac for name, host in direct_return.servers.items()}
    probe.route({NUMBERS[name]: ProbeWay(mac, eth0.mac, eth0.index) for name, mac in macs.items()})
    entries = [Placeholder(address, eth0.index, eth0.mac) for address in topology.CLUSTERS]
    dispatcher.call(lambda: probe.attach([eth0.index]))
    dispatcher.call(lambda: confirm(entries))

    def function(address: Address, server: str, kind: str = "http") -> Verdict:
        made = make(
            kind,
            {"connect_timeout": "1s", "receive_timeout": "1s"}
            | ({"request": "/", "body": f"^{server}$"} if kind == "http" else {}),
            port=80,
        )
        mark = marks()[NUMBERS[server]]
        target = Target(address, 80)
        return dispatcher.call(lambda: asyncio.run(run(made, target, mark=mark)))

    yield function
    dispatcher.call(lambda: forget(entries))
    dispatcher.call(probe.close)
    left = json.loads(dispatcher.ip("-json", "neighbour", "show") or "[]")
    assert not {str(address) for address in topology.CLUSTERS} & {row["dst"] for row in left}


def test_a_mark_leads_to_its_server_by_both_families_and_protocols(
    direct_return: Topology, ask: Ask
) -> None:
    nginx.start_all(direct_return)
    for address in topology.CLUSTERS:
        for server in direct_return.servers:
            assert ask(address, server, "http").up, (address, server)
            assert ask(address, server, "ping").up, (address, server)
    assert direct_return.dispatcher.call(lambda: way_out(topology.CLUSTERS[0]))[1]


def test_a_lost_alias_and_a_service_at_the_own_address_alone_are_seen(
    direct_return: Topology, ask: Ask
) -> None:
    servers = direct_return.servers
    cluster = topology.CLUSTERS[0]
    own = servers["b"].interface("eth0").addresses[0].ip
    nginx.start(servers["a"], [(cluster, 80)])
    nginx.start(servers["b"], [(own, 80)])
    assert ask(cluster, "a", "http").up
    assert "nothing listens" in ask(cluster, "b", "http").words
    topology.drop_alias(servers["a"])
    assert "no connection" in ask(cluster, "a", "http").words


def test_other_frames_are_left_alone_and_marks_without_a_server_go_nowhere(
    direct_return: Topology,
) -> None:
    dispatcher = direct_return.dispatcher
    eth0 = dispatcher.interface("eth0")
    nginx.start_all(direct_return)
    probe = Probe.load()
    dispatcher.call(lambda: probe.attach([eth0.index]))
    own = direct_return.servers["a"].interface("eth0").addresses[0].ip
    nobody = ProbeWay(Mac(b"\x02" * 6), eth0.mac, eth0.index)

    def up(mark: int) -> bool | None:
        made = make("ping", {"connect_timeout": "1s", "receive_timeout": "300ms"})
        target = Target(own, 0)
        return dispatcher.call(lambda: asyncio.run(run(made, target, mark=mark))).up

    assert up(0)
    assert up(7)
    assert not up(marks()[3])
    probe.route({3: nobody})
    assert up(marks()[3]) is False
    probe.route({})
    dispatcher.call(probe.close)
    assert up(marks()[3])
