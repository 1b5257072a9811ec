"""The gateways of all routes, those with several ways too."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.network.gateways import gateways

if TYPE_CHECKING:
    from shunt.lab.lab import Lab


@pytest.mark.lab
def test_every_next_hop_is_found(lab: Lab) -> None:
    lab.segment("lan")
    host = lab.host("here")
    lab.join(host, "lan", addresses=["198.18.0.9/24", "2001:db8:9::9/64"])
    assert host.call(gateways) == set()
    host.route("default", via="198.18.0.1")
    host.ip("-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0")
    host.ip("route", "add", "203.0.113.0/24", "via", "inet6", "2001:db8:9::3", "dev", "eth0")
    host.ip(
        *("route", "add", "198.51.100.0/24", "table", "7"),
        *("nexthop", "via", "198.18.0.2", "nexthop", "via", "198.18.0.3"),
    )
    wanted = ("198.18.0.1", "198.18.0.2", "198.18.0.3", "fe80::1", "2001:db8:9::3")
    assert host.call(gateways) == set(map(ip_address, wanted))
