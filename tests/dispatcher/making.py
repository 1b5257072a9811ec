"""Services, claims and wishes for tests that need no configuration file."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from shunt.dispatcher.wishes import Flag, Wish
from shunt.model.config import Member, Service
from tests.bpf.world import Server, service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.dispatcher.wishes import Claim

ONE, TWO, SIX = "192.0.2.10", "192.0.2.11", "2001:db8::10"


def wish(
    address: str = ONE,
    port: int = 80,
    weights: Mapping[int, int] | None = None,
    flags: Mapping[int, Flag] | None = None,
    **options: Any,
) -> Wish:
    """Return the wish for a service whose servers' numbers have these weights (and flags)."""
    weights = {1: 10, 2: 20, 3: 30} if weights is None else weights
    flags = flags or {}
    return Wish(
        service(address, port, **options),
        tuple(
            claim(number, weight, (flags or {}).get(number)) for number, weight in weights.items()
        ),
    )


def claim(number: int, weight: int = 10, flags: Flag | None = None) -> Claim:
    """Return the claim of server 10.0.0.`number`."""
    return Server.numbered(number).claim(weight, Flag.READY if flags is None else flags)


def identity(number: int) -> bytes:
    """Return what names server 10.0.0.`number` in tables."""
    return claim(number).identity


def with_members(made: Service, *names: str, weight: int = 10) -> Service:
    """Return the service with these servers."""
    return replace(made, members=tuple(Member(name, weight) for name in names))


CLUSTER = ip_address(ONE)
