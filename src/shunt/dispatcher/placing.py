"""Which service stands on which table; pure.

Services with equal servers and weights share a table from the start, and a table is split when
its services come to differ. Tables are never joined: slots on their way to settling differ.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from shunt.dispatcher.ledger import Placed, Shares, Table, place_of, shares_of
from shunt.dispatcher.wishes import Flag
from shunt.model.config import Track

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shunt.dispatcher.ledger import Place
    from shunt.dispatcher.wishes import Claim, Wish

Spec = tuple[Shares, frozenset[bytes], frozenset["Place"]]
"""What a table is made for: shares, identities that no flow is kept on, linked services."""


@dataclass(frozen=True, slots=True)
class Split:
    """These services leave `table` for a copy of their own."""

    table: Table
    services: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """What is to be done before slots are written.

    `removed` services go, `splits` take place, and each group of `added` gets a new table; but
    those of `heirs` begin with a copy of what a less exact service has, for it has their flows.
    """

    removed: tuple[Placed, ...]
    splits: tuple[Split, ...]
    added: tuple[tuple[Wish, ...], ...]
    heirs: tuple[tuple[Wish, Placed], ...] = ()


def linked(wishes: Sequence[Wish]) -> dict[Place, frozenset[Place]]:
    """Return, for each service, all that share affinity with it, itself included."""
    groups: dict[Place, set[Place]] = {place_of(wish.service): set() for wish in wishes}
    for wish in wishes:
        place = place_of(wish.service)
        groups[place].add(place)
        for port in wish.service.sticky.cross if wish.service.sticky else ():
            other = (place[0], place[1], port)
            if other in groups and groups[other] is not groups[place]:
                joined = groups[place] | groups[other] | {other}
                for member in joined:
                    groups[member] = joined
    return {place: frozenset(group) for place, group in groups.items()}


def apart(wishes: Sequence[Wish], placed: Mapping[Place, Placed]) -> frozenset[frozenset[Place]]:
    """Return the groups that shall share affinity and cannot: they stand on different tables.

    A table is shared from the start only, and by services with the same servers.
    """
    groups = set(linked(wishes).values())
    return frozenset(
        group for group in groups if len({id(placed[place].table) for place in group}) > 1
    )


def agreed(wishes: Sequence[Wish]) -> dict[Place, tuple[Claim, ...]]:
    """Return each service's claims; linked services agree on who gets how many new flows.

    That is the least weight of each server, and whether it is to be avoided: a client that is kept
    on one server for all of them must not be sent where one is down. What becomes of the flows that
    a server has is each service's own matter: a server that is down in one may be well in another.
    """
    groups = linked(wishes)
    by_place = {place_of(wish.service): wish.claims for wish in wishes}
    result = {}
    for place, claims in by_place.items():
        if len(groups[place]) == 1:
            result[place] = claims
            continue
        others = defaultdict(list)
        for other in sorted(groups[place], key=str):
            for claim in by_place[other]:
                others[claim.identity].append(claim)
        result[place] = tuple(_agreed(claim, others[claim.identity]) for claim in claims)
    return result


def _agreed(own: Claim, all_of_server: Sequence[Claim]) -> Claim:
    """Return a claim as the linked services agree on it; its own reason goes first."""
    least = min((own, *all_of_server), key=lambda claim: claim.weight)
    avoid = Flag(0)
    for claim in all_of_server:
        avoid |= claim.flags & Flag.AVOID
    return replace(own, weight=least.weight, reason=least.reason, flags=own.flags | avoid)


def gone(services: Iterable[Wish]) -> frozenset[bytes]:
    """Return the identities on which none of a table's services keeps its flows.

    A server that is gone for some of them only stays elder of its slots, for the others. A service
    with `track: none` keeps flows on none. So its slots never have an elder, and when it comes to
    remember flows one day, its flows are where the slots say.
    """
    leaving = [
        frozenset(
            claim.identity
            for claim in wish.claims
            if claim.flags & Flag.MOVE or wish.service.track is Track.NONE
        )
        for wish in services
    ]
    return frozenset.intersection(*leaving) if leaving else frozenset()


def _specs(
    groups: Mapping[Place, frozenset[Place]], wishes: Mapping[Place, Wish]
) -> dict[Place, Spec]:
    """Return for each service what its table is made for."""
    none: frozenset[Place] = frozenset()
    return {
        place: (
            shares_of(wishes[place].claims),
            gone(wishes[other] for other in group),
            group if len(group) > 1 else none,
        )
        for place, group in groups.items()
    }


def plan(wishes: Sequence[Wish], placed: Mapping[Place, Placed]) -> Placement:
    """Compare the services in the kernel with the wished ones."""
    groups = linked(wishes)
    claims = agreed(wishes)
    wanted = {place_of(wish.service): wish for wish in wishes}
    specs = _specs(groups, {p: replace(wish, claims=claims[p]) for p, wish in wanted.items()})
    removed = tuple(there for place, there in placed.items() if place not in wanted)

    standing: dict[int, dict[Spec, list[Placed]]] = defaultdict(lambda: defaultdict(list))
    tables: dict[int, Table] = {}
    fresh: dict[Spec, list[Wish]] = defaultdict(list)
    heirs: list[tuple[Wish, Placed]] = []
    staying = {place: there for place, there in placed.items() if place in wanted}
    for place, wish in wanted.items():
        wished = specs[place]
        if place in placed:
            table = placed[place].table
            tables[id(table)] = table
            standing[id(table)][wished].append(placed[place])
        elif (wider := _wider(place, staying)) is not None and wish.service.sticky is None:
            heirs.append((wish, wider))
        else:
            fresh[wished].append(wish)
    splits = []
    for identity, by_spec in standing.items():
        leaving = sorted(by_spec.values(), key=len)[:-1]
        splits += [Split(tables[identity], tuple(services)) for services in leaving]
    added = tuple(tuple(group) for group in fresh.values())
    return Placement(removed, tuple(splits), added, tuple(heirs))


def _wider(place: Place, placed: Mapping[Place, Placed]) -> Placed | None:
    """Return the service that takes a place's packets while there is none for the place itself.

    None if there is no such service, or it cannot be inherited: its slots are those of clients.
    """
    address, protocol, port = place
    every = ip_address("0.0.0.0" if address.version == 4 else "::")  # noqa: S104 - a service's name
    for found in ((address, protocol, 0), (every, protocol, port), (every, protocol, 0)):
        if found in placed:
            return None if placed[found].by_client else placed[found]
    return None
