"""What the program must know of the host's addresses: its own, and whence nothing can come."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from shunt.dispatcher.surroundings import host_addresses
from shunt.model.config import Config, Dispatcher
from shunt.network.addresses import LocalAddress
from tests.bpf.world import service

NAMED = Config(Dispatcher(("eth0",)), (service("192.0.2.10", 80),), {})
ANY = Config(Dispatcher(("eth0",)), (service("0.0.0.0", 80),), {})


def held(address: str, prefix: int) -> LocalAddress:
    return LocalAddress(ip_address(address), prefix, 2, "eth0")


@pytest.mark.parametrize(
    ("address", "prefix", "found"),
    [
        ("192.0.2.2", 24, {"192.0.2.255", "192.0.2.0"}),
        ("192.0.2.66", 26, {"192.0.2.127", "192.0.2.64"}),
        ("10.1.2.3", 8, {"10.255.255.255", "10.0.0.0"}),
        ("192.0.2.5", 30, {"192.0.2.7", "192.0.2.4"}),
        ("192.0.2.4", 31, set()),
        ("192.0.2.4", 32, set()),
        ("2001:db8::2", 64, set()),
    ],
)
def test_broadcast_addresses_are_those_of_the_subnets(
    address: str, prefix: int, found: set[str]
) -> None:
    told = host_addresses(NAMED, [held(address, prefix)])
    assert told == {ip_address(each): "ADDRESS_BROADCAST" for each in found}


def test_the_hosts_own_are_told_if_a_service_takes_any_address() -> None:
    told = host_addresses(ANY, [held("192.0.2.2", 24), held("2001:db8::2", 64)])
    own = {str(address) for address, flag in told.items() if flag == "ADDRESS_HOST"}
    assert own == {"192.0.2.2", "2001:db8::2"}


def test_an_address_that_the_host_holds_is_its_own_and_no_broadcast_address() -> None:
    told = host_addresses(ANY, [held("192.0.2.2", 24), held("192.0.2.255", 32)])
    assert told[ip_address("192.0.2.255")] == "ADDRESS_HOST"
