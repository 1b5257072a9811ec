"""From the configuration to what one server shall be."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from shunt.errors import UsageError
from shunt.model.config import (
    Config,
    Dispatcher,
    Forward,
    Member,
    Protocol,
    Server,
    Service,
)
from shunt.servers.wish import wish_for


def _config(*services: tuple[str, Forward, str]) -> Config:
    return Config(
        Dispatcher(("eth0",)),
        tuple(
            Service("c", ip_address(a), Protocol.TCP, number, (Member(server, 1),), forward)
            for number, (a, forward, server) in enumerate(services, 80)
        ),
        {name: Server(name, ()) for name in ("a", "b")},
    )


def test_each_forwarding_method_has_its_addresses() -> None:
    config = _config(
        ("192.0.2.10", Forward.MAC, "a"),
        ("192.0.2.11", Forward.NAT, "a"),
        ("192.0.2.12", Forward.MAC, "b"),
        ("192.0.2.10", Forward.MAC, "a"),
    )
    wish = wish_for(config, "a")
    assert wish.clusters == (ip_address("192.0.2.10"),)
    assert wish.bare == (ip_address("192.0.2.11"),)
    assert wish.forward is Forward.MAC


@pytest.mark.parametrize("forward", [Forward.NAT, Forward.ENCAP])
def test_the_method_of_a_server_that_has_only_one(forward: Forward) -> None:
    wish = wish_for(_config(("192.0.2.10", forward, "a")), "a")
    assert wish.forward is forward
    assert bool(wish.clusters) == (forward is Forward.ENCAP)


def test_every_cluster_not_named_means_every_one_that_is() -> None:
    config = _config(("192.0.2.10", Forward.MAC, "b"), ("0.0.0.0", Forward.MAC, "a"))
    assert wish_for(config, "a").clusters == (ip_address("192.0.2.10"),)


def test_every_cluster_means_every_one_of_the_family() -> None:
    config = _config(
        ("192.0.2.10", Forward.MAC, "b"),
        ("2001:db8::10", Forward.MAC, "b"),
        ("0.0.0.0", Forward.MAC, "a"),
    )
    assert wish_for(config, "a").clusters == (ip_address("192.0.2.10"),)
    config = replace(
        config,
        services=(*config.services[:2], replace(config.services[2], address=ip_address("::"))),
    )
    assert wish_for(config, "a").clusters == (ip_address("2001:db8::10"),)


def test_dispatchers_are_passed_on() -> None:
    dispatchers = (ip_address("192.0.2.1"),)
    assert wish_for(_config(), "a", dispatchers).dispatchers == dispatchers


def test_an_address_with_and_without_an_alias_is_refused() -> None:
    config = _config(("192.0.2.10", Forward.MAC, "a"), ("192.0.2.10", Forward.NAT, "a"))
    with pytest.raises(UsageError, match="in a nat service and in another"):
        wish_for(config, "a")


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="no server 'z'") as caught:
        wish_for(_config(), "z")
    assert caught.value.hint == "known: a, b"
