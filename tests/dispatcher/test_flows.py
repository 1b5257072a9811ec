"""The remembered flows and what was refused, as commands show them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.dispatcher.flows import Filter, Index, budgets, flows
from shunt.dispatcher.wishes import Flag
from shunt.model.config import Protocol
from tests.bpf.flows import ACK, SYN, Flow
from tests.dispatcher.making import ONE, identity, wish

if TYPE_CHECKING:
    from tests.bpf.world import World

pytestmark = pytest.mark.bpf

CLIENT = ip_address("198.51.100.7")
NAMES = {identity(1): "alpha", identity(2): "beta"}
AVOID = Flag.READY | Flag.AVOID


def test_all_flows_are_shown_and_what_was_refused_is_counted(world: World) -> None:
    def send(first: int, flags: int) -> None:
        for port in range(first, first + 5):
            world.send(Flow(Protocol.TCP, CLIENT, port, ip_address(ONE), 80).frame(flags))

    world.balancer.apply([wish(weights={1: 1, 2: 0})])
    world.balancer.apply([wish(weights={1: 0, 2: 1}, flags={1: AVOID})])
    send(5000, SYN)
    world.settings(exceptions_rate=0)
    send(6000, SYN)
    assert budgets(world.balancer) == {
        "flows": {"recorded": 5, "refused": 5},
        "newcomers": {"recorded": 0, "refused": 0},
        "affinities": {"recorded": 0, "refused": 0},
        "pings": {"recorded": 0, "refused": 0},
    }
    found = flows(Index.of(world.balancer, NAMES), Filter())
    assert found["counts"] == [{"service": f"{ONE}:80/tcp", "server": "beta", "flows": 10}]
    assert {row["client_port"] // 1000 for row in found["flows"]} == {5, 6}
    world.settings(exceptions_rate=100)
    world.wait(2)
    send(6000, ACK)
    assert budgets(world.balancer)["newcomers"] == {"recorded": 5, "refused": 0}
    assert flows(Index.of(world.balancer, NAMES), Filter())["total"] == 10
