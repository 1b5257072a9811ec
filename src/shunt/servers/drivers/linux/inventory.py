"""What a Linux host has that a removal must not take with it."""

from __future__ import annotations

import shlex
from itertools import pairwise
from typing import TYPE_CHECKING

from shunt.servers.drivers.linux import files
from shunt.servers.drivers.linux.commands import dotted, ip
from shunt.servers.steps import Item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address
    from shunt.servers.drivers.linux.observed import Held, Host, Link, Route

_JUDGED = ("arp_ignore", "arp_announce", "rp_filter")


def items(host: Host) -> Iterator[Item]:
    """Yield every address, route, rule and setting."""
    for link in host.links:
        yield from (_address(link, held) for held in link.addresses)
    for route in host.routes:
        yield _route(route)
        if route.source is not None:
            yield _source(route, route.source)
    for rule in host.rules:
        yield Item(f"the IPv{rule.version} rule {rule.priority} to table {rule.table}")
    for path, value in host.values.items():
        if path.rsplit("/", 1)[1] in _JUDGED:
            steps = frozenset(
                (f"silence:{path}", f"rp_filter:{path}", f"tunnel:{path.split('/')[2]}")
            )
            what = f"{dotted(path)} = {value}"
            yield Item(what, steps=frozenset(steps), restore=f"sysctl -w {dotted(path)}={value}")


def _address(link: Link, held: Held) -> Item:
    scope = f" scope {held.scope}" if held.address.version == 4 else ""
    there = f"{held.address}/{held.length} dev {link.name}"
    restore = f"{ip(held.address)} address replace {there}{scope}"
    return Item(f"the address {there}", frozenset((held.address,)), _of(link.name), restore)


def _route(route: Route) -> Item:
    words = shlex.join(route.without_source)
    first = route.destination.network_address
    single = route.destination.prefixlen == route.destination.max_prefixlen
    made = single and ("proto", "kernel") in pairwise(route.words)
    steps = _of(route.device) if route.device else frozenset[str]()
    if (route.device, route.table) == ("lo", "main"):
        steps |= {f"persist:{files.PROFILE}"}  # NetworkManager 1.52 adds such a one to a profile's
    return Item(
        f"the route {words}",
        frozenset((first,)) if made else frozenset(),
        steps,
        f"{ip(first)} route replace {words}",
    )


def _source(route: Route, source: Address) -> Item:
    """Return the preferred source of a route: it may go with its address, the route may not."""
    return Item(
        f"the source {source} of the route {shlex.join(route.without_source)}",
        frozenset((source,)),
        _route(route).steps,
        f"{ip(source)} route replace {shlex.join(route.words)}",
    )


def _of(device: str) -> frozenset[str]:
    """Return the step that brings up a device: with it goes what it has."""
    return frozenset((f"tunnel:{device}",))
