"""An interface that goes away between a look and the next step is no failure of anything else."""

from __future__ import annotations

import errno
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.dispatcher.engine import Engine
from shunt.errors import DataplaneError, NetworkError
from shunt.model.addresses import Mac
from shunt.model.config import Config, Dispatcher
from shunt.network import addresses
from shunt.network.links import Link, links

if TYPE_CHECKING:
    from tests.bpf.world import World

CONFIG = Config(Dispatcher(("eth7",)), (), {})
GONE = Link(60, "eth7", Mac.parse("02:00:00:00:00:07"), up=True, running=True, mtu=1500)


@pytest.mark.bpf
def test_tables_are_written_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([(*links(), GONE), links()])
    monkeypatch.setattr("shunt.dispatcher.engine.links", lambda: next(looks))
    engine = Engine(CONFIG, world.balancer, fresh=True)
    assert engine.apply(engine.inputs({})) == 0
    assert next(looks, None) is None, "it was looked for again"


@pytest.mark.bpf
def test_what_the_kernel_refuses_of_one_that_is_there_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shunt.dispatcher.engine.links", lambda: (*links(), GONE))
    engine = Engine(CONFIG, world.balancer, fresh=True)
    with pytest.raises(DataplaneError, match="devices"):
        engine.apply(engine.inputs({}))


def test_the_other_addresses_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {each.address for each in addresses.addresses()}
    assert ip_address("127.0.0.1") in known

    def gone(index: int) -> str:
        if index == 1:
            return "lo"
        raise NetworkError(f"interface {index} went away", errno=errno.ENXIO)

    monkeypatch.setattr(addresses, "interface_name", gone)
    assert {each.interface for each in addresses.addresses()} == {"lo"}

    def unable(index: int) -> str:
        raise NetworkError("too many open files", errno=errno.EMFILE)

    monkeypatch.setattr(addresses, "interface_name", unable)
    with pytest.raises(NetworkError, match="open files"):
        addresses.addresses()
