"""What the dispatcher does at this moment, as one document: `shunt status --json` prints it whole.

The document is made of what the kernel's maps hold, so that it can be made without a daemon, too;
what only the daemon knows (reasons, rates) is left out then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.balance import transitions
from shunt.dataplane.plane import sentences
from shunt.model.addresses import Mac, unpacked16

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shunt.dispatcher.balancer import Balancer
    from shunt.dispatcher.ledger import Place, Table
    from shunt.dispatcher.sweep import Report
    from shunt.dispatcher.wishes import Claim
    from shunt.model.config import Service

_BYTES_PER_SLOT = 4 + 8  # the slot and its sight
COUNTERS = ("packets", "bytes", "opened", "closed", "loops")


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters at a time.

    Attributes:
        at: seconds of the monotonic clock.
        members: (members, counters) sums over all CPUs, in the order of COUNTERS.
        causes: packets by cause.
    """

    at: float
    members: NDArray[np.uint64]
    causes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Swept:
    """A sweep's report, and how many slots had changed hands by then."""

    report: Report
    moved: int

    def holds(self, balancer: Balancer) -> Report | None:
        """Return the report; None if slots have changed hands since: it says who was elder before.

        For the worker thread.
        """
        return self.report if self.moved == balancer.moved else None


def sample(balancer: Balancer, at: float) -> Sample:
    """Read every counter."""
    indices, tallies = balancer.plane.maps["tallies"].items()
    members = np.zeros((len(indices), len(COUNTERS)), np.uint64)
    for column, name in enumerate(COUNTERS):
        members[indices, column] = tallies[name].sum(axis=1)
    return Sample(at, members, balancer.plane.causes())


def rates(now: Sample, before: Sample | None) -> NDArray[np.float64]:
    """Return what each member's counters grew by per second since an earlier sample, or zeros."""
    if before is None or now.at <= before.at or before.members.shape != now.members.shape:
        return np.zeros(now.members.shape)
    grown = np.where(now.members > before.members, now.members - before.members, 0)
    return grown / (now.at - before.at)


@dataclass(frozen=True, slots=True)
class Context:
    """What a document is made of.

    Attributes:
        now: counters.
        growth: of the counters, per second.
        report: of the last sweep; None without a daemon.
        names: of servers by identity, where the configuration has them.
        pinned: identities of those whose MAC the configuration pins.
    """

    now: Sample
    growth: NDArray[np.float64] | None = None
    report: Report | None = None
    names: Mapping[bytes, str] = field(default_factory=dict)
    pinned: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class _Slots:
    """What a slot table says: slots by local number, and how many are not settled."""

    counts: NDArray[np.int64]
    size: int
    unsettled: int


@dataclass(frozen=True, slots=True)
class _Service:
    """A service as it stood; its claims and its table's numbers cannot change any more."""

    place: Place
    service: Service | None
    claims: Mapping[bytes, Claim]
    locals: tuple[tuple[bytes, int], ...]  # (identity, local number), by number
    base: int
    slots: _Slots


@dataclass(frozen=True, slots=True)
class Taken:
    """All that a document needs, of one moment; nobody writes to it."""

    context: Context
    services: tuple[_Service, ...]
    members: NDArray[Any]
    words: Mapping[str, str]
    memory: Mapping[str, Any]


def take(balancer: Balancer, context: Context) -> Taken:
    """Read what a document is made of; for the thread that writes. Short: it copies, no more."""
    tables: dict[int, tuple[_Slots, tuple[tuple[bytes, int], ...]]] = {}
    services = []
    for placed in balancer.placed.values():
        found = tables.get(id(placed.table))
        if found is None:
            found = tables[id(placed.table)] = _table(balancer, placed.table)
        slots, local = found
        claims = {claim.identity: claim for claim in placed.claims}
        services.append(
            _Service(placed.place, placed.service, claims, local, placed.members.base, slots)
        )
    plane = balancer.plane
    return Taken(
        context, tuple(services), plane.maps["members"].view().copy(),
        sentences(plane.layouts, "cause"), memory(balancer),
    )  # fmt: skip


def _table(balancer: Balancer, table: Table) -> tuple[_Slots, tuple[tuple[bytes, int], ...]]:
    words = balancer.slots_of(table)
    local = tuple(sorted(table.locals.items(), key=lambda item: item[1]))
    counts = np.bincount(
        transitions.current_of(words), minlength=1 + max((n for _, n in local), default=0)
    )
    unsettled = int((transitions.elder_of(words) != transitions.SETTLED).sum())
    return _Slots(counts, len(words), unsettled), local


def document(taken: Taken) -> dict[str, Any]:
    """Return services with their servers, and the causes with their sentences; for any thread.

    The services are an iterator: of ten thousand, one is made at a time, and encoded, and dropped.
    All of them at once would have the interpreter look for garbage among a million objects.
    """
    return {
        "services": (_service(taken, each) for each in taken.services),
        "causes": {
            name: {"packets": count, "meaning": taken.words[name]}
            for name, count in taken.context.now.causes.items()
        },
        "memory": taken.memory,
    }


def _service(taken: Taken, placed: _Service) -> dict[str, Any]:
    slots, service = placed.slots, placed.service
    address, protocol, port = placed.place
    servers = [
        _member(taken, placed, identity, local) | {"share": int(slots.counts[local]) / slots.size}
        for identity, local in placed.locals
    ]
    return {
        "name": name_of(placed.place),
        "cluster": service.cluster if service else None,
        "address": str(address),
        "protocol": str(protocol),
        "port": port,
        "forward": str(service.forward) if service else None,
        "track": str(service.track) if service else None,
        "slots": slots.size,
        "unsettled": slots.unsettled,
        "exceptions": sum(row["exceptions"] for row in servers) if taken.context.report else None,
        "servers": servers,
    }


def _member(taken: Taken, placed: _Service, identity: bytes, local: int) -> dict[str, Any]:
    context, report = taken.context, taken.context.report
    index = placed.base + local
    claim = placed.claims.get(identity)
    mac = taken.members[index]["mac"].tobytes()
    key = (placed.place, identity)
    return {
        "server": claim.server if claim else context.names.get(identity),
        "address": str(unpacked16(identity)),
        "weight": claim.weight if claim else None,
        "configured_weight": claim.configured if claim else None,
        "mac": str(Mac(mac)) if any(mac) else None,
        "mac_pinned": identity in context.pinned,
        "reason": _reason(placed, claim),
        "exceptions": report.exceptions[key] if report else None,
        "elder_slots": report.elder_slots[key] if report else None,
        **dict(zip(COUNTERS, context.now.members[index].tolist(), strict=True)),
        "rates": {}
        if context.growth is None
        else dict(zip(COUNTERS, context.growth[index].tolist(), strict=True)),
    }


def _reason(placed: _Service, claim: Claim | None) -> str | None:
    if claim is not None:
        return claim.reason
    return "left the service: its flows finish" if placed.service else None


def name_of(place: Place) -> str:
    """Return a service's name, as messages and commands write it."""
    address, protocol, port = place
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"{host}:{port or 'any'}/{protocol}"


def memory(balancer: Balancer) -> dict[str, Any]:
    """Return bytes: of each big map in the kernel, and of each service's own part."""
    tables: dict[int, int] = {}
    for placed in balancer.placed.values():
        tables[id(placed.table)] = tables.get(id(placed.table), 0) + 1
    maps = balancer.plane.maps
    tallies = maps["tallies"]
    member = maps["members"].value.itemsize + tallies.value.itemsize * tallies.cpus
    return {
        "maps": {name: shared.memory() for name, shared in maps.items()},
        "services": {
            name_of(placed.place): {
                "slots": placed.table.slots.size * _BYTES_PER_SLOT,
                "shared_by": tables[id(placed.table)],
                "members": placed.members.size * member,
            }
            for placed in balancer.placed.values()
        },
    }
