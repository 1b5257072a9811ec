"""What stands in the kernel's maps: tables, services, and which local number each server has.

The maps are the truth; the ledger is read from them at a take-over, so that nothing has to be
kept in a file beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.dataplane.plane import address_key, address_of
from shunt.dispatcher.arena import Region
from shunt.model.addresses import Address
from shunt.model.config import Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shunt.dataplane.maps import Map
    from shunt.dataplane.plane import Plane
    from shunt.dispatcher.wishes import Claim
    from shunt.model.config import Service

Place = tuple[Address, Protocol, int]
"""What names a service to the kernel: address, protocol, port."""

Shares = tuple[tuple[bytes, int], ...]
"""(identity, weight) of each server, sorted: what a slot table is made of."""

UNUSED = bytes(16)


@dataclass(slots=True, eq=False)
class Table:
    """A slot table; services with equal servers and weights share one.

    `locals` has a local number for each identity. `made_for` is what the slots were last made of,
    and the identities that no flow is kept on; None: not known, make them again.
    """

    slots: Region
    locals: dict[bytes, int] = field(default_factory=dict)
    made_for: tuple[Shares, frozenset[bytes]] | None = None

    def number_of(self, identity: bytes) -> int:
        """Return the identity's local number, a free one if it has none yet."""
        if identity not in self.locals:
            used = set(self.locals.values())
            self.locals[identity] = next(n for n in range(len(used) + 1) if n not in used)
        return self.locals[identity]


@dataclass(slots=True, eq=False)
class Placed:
    """A service in the kernel.

    Attributes:
        service, claims: of the last change that was applied.
        by_client: what chooses a slot is the client, not the flow: affinity is in force.
        before: the number of the service whose flows are being taken over; 0: none.
        hashed_as_before: the file's `sticky` would send flows to other slots, and is not in force.
    """

    place: Place
    number: int
    affinity: int
    table: Table
    members: Region
    service: Service | None = None
    claims: tuple[Claim, ...] = ()
    hashed_as_before: bool = False
    by_client: bool = False
    before: int = 0


def place_of(service: Service) -> Place:
    """Return what names a service to the kernel."""
    return (service.address, service.protocol, service.port)


def shares_of(claims: Iterable[Claim]) -> Shares:
    """Return what a slot table for these claims is made of."""
    return tuple(sorted((claim.identity, claim.weight) for claim in claims))


def services_map(plane: Plane, place: Place) -> Map:
    """Return the map that holds a service: IPv4 and IPv6 have one each."""
    return plane.maps[f"services{place[0].version}"]


def service_key(plane: Plane, place: Place) -> Any:
    """Return `struct service4_key` or `service6_key`."""
    address, protocol, port = place
    struct = f"service{address.version}_key"
    key = plane.record(struct, port=port, protocol=protocol.number)
    if address.version == 4:
        key["address"] = np.frombuffer(address.packed, np.uint8)
    else:
        key["address"]["halves"] = address_key(address)
    return key


def read_ledger(plane: Plane) -> dict[Place, Placed]:
    """Return what stands in the maps, in the order in which the services came."""
    tables: dict[int, Table] = {}
    placed = {}
    members = plane.maps["members"].view()
    for key, value in sorted(_services(plane), key=lambda item: int(item[1]["number"])):
        region = Region(int(value["members_base"]), int(value["members_size"]))
        base = int(value["slots_base"])
        table = tables.setdefault(base, Table(Region(base, int(value["slots_mask"]) + 1)))
        identities = np.ascontiguousarray(members[region.span]["address"]["halves"])
        for local, halves in enumerate(identities):
            if halves.any():
                table.locals[address_of(halves)] = local
        place = _place(key)
        placed[place] = Placed(
            place, int(value["number"]), int(value["affinity"]), table, region,
            by_client=bool(value["sticky"]), before=int(value["before"]),
        )  # fmt: skip
    return placed


def _services(plane: Plane) -> Iterator[tuple[Any, Any]]:
    for version in (4, 6):
        yield from zip(*plane.maps[f"services{version}"].items(), strict=True)


def _place(key: Any) -> Place:
    protocol = Protocol.TCP if key["protocol"] == Protocol.TCP.number else Protocol.UDP
    return (ip_address(key["address"].tobytes()), protocol, int(key["port"]))


def mask_of(service: Service) -> bytes:
    """Return the 16 bytes that a client's address is masked with for affinity."""
    if service.sticky is None:
        return UNUSED
    if isinstance(service.address, IPv4Address):
        bits = 96 + service.sticky.mask4
    else:
        bits = service.sticky.mask6
    return IPv6Address(((1 << bits) - 1) << (128 - bits)).packed
