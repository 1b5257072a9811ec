"""Steps and findings that are the same on every Unix; the words come from the system's driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.drivers import default_route
from shunt.servers.drivers.unix.words import (
    false_is_right,
    held,
    listed,
    shown,
    unless,
    when,
)
from shunt.servers.routes.delete import deletion
from shunt.servers.routes.rule import Surroundings, extra_routes, surroundings
from shunt.servers.routes.sight import blind_spots, command
from shunt.servers.steps import Command, Finding, Item, Plan, Severity, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shunt.model.addresses import Address
    from shunt.model.config import OperatingSystem
    from shunt.servers.drivers.unix.observed import Held, Host
    from shunt.servers.routes.rows import Listing
    from shunt.servers.routes.rule import Extra
    from shunt.servers.wish import Wish

NO_ALIAS_FOR_NAT = "the server would reply from an address to which its client never spoke"


def fitness(host: Host, wish: Wish, remove: Callable[[Held], str]) -> Plan:
    """Return what is wrong and must be decided by a person."""
    found: list[Finding] = []
    if not wish.clusters and not wish.bare:
        found.append(
            Finding(
                Severity.WARNING,
                "no service uses this server",
                "there is no cluster address that it could hold",
                "name it in a service of the configuration",
            )
        )
    for address in wish.clusters:
        if address in wish.server.addresses:
            found.append(
                Finding(
                    Severity.ERROR,
                    f"{address} is the server's own address",
                    "a cluster address belongs to every server, so it can be nobody's own",
                    "give the cluster an address of its own",
                )
            )
            continue
        found += [_on_the_wire(held, remove(held)) for held in _elsewhere(host, address)]
        if address in host.published:
            found.append(_published(address))
    for address in wish.bare:
        if f"alias:{address}" not in host.record.ids:
            found += [
                Finding(
                    Severity.ERROR,
                    f"{address} is held by {held.interface}, but its service is of kind nat",
                    NO_ALIAS_FOR_NAT,
                    remove(held),
                )
                for held in host.holders(address)
            ]
    return Plan(findings=tuple(found))


def _elsewhere(host: Host, address: Address) -> tuple[Held, ...]:
    return tuple(held for held in host.holders(address) if not held.silent)


def _on_the_wire(held: Held, command_line: str) -> Finding:
    return Finding(
        Severity.ERROR,
        f"{held.address} is on {held.interface}, which answers ARP for it",
        "clients and routers then send to this server instead of the dispatcher",
        f"{command_line}, also where it is kept for the next boot",
    )


def _published(address: Address) -> Finding:
    return Finding(
        Severity.ERROR,
        f"{address} is published in this host's ARP table",
        "the host answers ARP for it whatever interface holds it",
        f"arp -d {address}, and look for the `arp -s ... pub` that made it",
    )


def narrow(held: Held, remove: str, restore: str, listing: str) -> Step:
    """Return the step that takes an alias with too wide a mask away; the alias comes after it."""
    there = shown(held.address, listing, prefix=held.prefix)
    return Step(
        id=f"narrow:{held.address}/{held.prefix}",
        what=f"take {held.address} with the mask /{held.prefix} from {held.interface}",
        why="its mask makes a route that keeps traffic for its neighbours in this host",
        do=(when(there, remove, asked=listing),),
        check=(false_is_right(there, asked=listing),),
        undo=(unless(there, restore, asked=listing),),
        note="look for the mask where the address is kept, or it will be back after a reboot",
    )


def routes(
    listings: Sequence[Listing],
    wish: Wish,
    system: OperatingSystem,
    listing_of: Callable[[int], str],
    interfaces: str,
) -> Plan:
    """Return the deletion of every extra route, and what the listings could not show.

    `interfaces` are the words that list every address.
    """
    steps: list[Step] = []
    found: list[Finding] = []
    for listing in listings:
        clusters = [a for a in wish.clusters if listing.of_family(a.version)]
        seen = surroundings(listing, clusters)
        gateway = (wish.server.gateway,) if wish.server.gateway else seen.gateways
        around = Surroundings(wish.server.addresses or seen.own, gateway, wish.dispatchers)
        for extra in extra_routes(listing, clusters, around):
            if default_route.is_alone(listing, extra.route, extra.cluster):
                words = "route add default ROUTER, when the other one is deleted"
                found.append(default_route.finding(extra.cluster, words))
            else:
                rows = listing_of(extra.route.address.version)
                steps.append(_delete(extra, system, rows, interfaces))
        found += [
            Finding(
                Severity.ERROR,
                f"extra routes of {blind.cluster} cannot be told: {blind.why}",
                "an extra route keeps replies in this host",
                f"look at the output of: {command(system, blind.cluster.version)}",
            )
            for blind in blind_spots(listing, system, clusters)
        ]
    return Plan(tuple(steps), tuple(found))


def networks(listings: Sequence[Listing]) -> tuple[Item, ...]:
    """Return the rows that are no hosts, as what must not be lost."""
    return tuple(
        Item(
            f"the route to {route.written} by {route.gateway or route.interface}",
            frozenset((route.gateway,)) if route.gateway else frozenset(),
        )
        for listing in listings
        for route in listing.routes
        if not route.is_host
    )


def _delete(extra: Extra, system: OperatingSystem, listing: str, interfaces: str) -> Step:
    """Return the step that deletes an extra route.

    It is given back only while the address is held that it leads to: else the address comes back
    later, and brings its route.
    """
    how = deletion(system, extra.route, extra.cluster)
    there = listed(extra.route, listing)
    covered = ", ".join(f"{what} {address}" for what, address in extra.covers)
    name = extra.route.written
    words = " && ".join(how.commands)
    return Step(
        id=f"route:{name}@{extra.route.gateway or extra.route.interface}",
        what=f"delete the extra route to {name}",
        why=f"{extra.rule}; it covers {covered or 'addresses that the server must reach'}",
        do=(when(there, words, asked=listing),),
        check=(false_is_right(there, asked=listing),),
        undo=(_give_back(extra, there, _undeleted(words), listing, interfaces),),
        note=how.note,
    )


def _give_back(extra: Extra, there: str, words: str, listing: str, interfaces: str) -> Command:
    if extra.route.gateway != extra.cluster:
        return unless(there, words, asked=listing)
    grouped = f"{{ {interfaces}; }}"
    back = f"{listing} >/dev/null || exit 1; {there} || {words}"
    return when(held(extra.cluster, grouped), back, asked=grouped)


def _undeleted(words: str) -> str:
    return words.replace("route delete", "route add").replace("inet6 delete", "inet6 add")
