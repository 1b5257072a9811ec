"""Settles slots and forgets what is over: exceptions, affinities, servers that have left.

Runs now and then in the balancer's thread. It reads the exceptions after the slots were last
written, which is what `transitions.settle` asks for: there is one writer, and this is it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.balance import transitions
from shunt.dispatcher.ledger import service_key, services_map
from shunt.dispatcher.wishes import Flag
from shunt.model.config import Protocol, Track

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from shunt.dataplane.maps import Map
    from shunt.dispatcher.balancer import Balancer
    from shunt.dispatcher.ledger import Place, Placed, Table

FLOWS = ("flows", "newcomers")  # the maps of `struct flow`: exceptions, and those beyond the rate
FIN = 60  # seconds that a finished connection is remembered: Dispatcher's fintimeout
_READ = 1 << 12  # entries read at once: few, for a CPU may run nothing else meanwhile
_BATCH = 1 << 16  # flows worked on at once: many, for each table looks at each batch


@dataclass(slots=True)
class Report:
    """What a sweep found and did.

    Attributes:
        exceptions: live remembered flows by (place, identity).
        unsettled: slots not settled by place.
        elder_slots: slots whose elder a server is and was needed as of late, by (place, identity).
        current_slots: slots that give a server their new flows, likewise.
        settled: slots that were settled now.
        forgotten: flows and affinities that were forgotten now.
        left: servers that left their service for good, now.
    """

    exceptions: Counter[tuple[Place, bytes]] = field(default_factory=Counter)
    unsettled: Counter[Place] = field(default_factory=Counter)
    elder_slots: Counter[tuple[Place, bytes]] = field(default_factory=Counter)
    current_slots: Counter[tuple[Place, bytes]] = field(default_factory=Counter)
    settled: int = 0
    forgotten: int = 0
    left: int = 0

    def is_quiet(self, place: Place, identity: bytes) -> bool:
        """Return whether a server had no flow in a service, and was to get none."""
        key = (place, identity)
        return not (self.exceptions[key] or self.elder_slots[key] or self.current_slots[key])


@dataclass(slots=True)
class _Flows:
    """Live flows: arrays of one length; `which` is the service's place in the list of services."""

    keys: NDArray[Any]
    which: NDArray[np.int64]
    slot: NDArray[np.int64]
    member: NDArray[np.uint16]


class _Services:
    """The services as arrays, for look-ups of a million flows at once."""

    def __init__(self, balancer: Balancer) -> None:
        self.placed = sorted(
            (p for p in balancer.placed.values() if p.service is not None), key=lambda p: p.number
        )
        self.numbers = np.array([p.number for p in self.placed], np.int64)
        self.masks = np.array([p.table.slots.size - 1 for p in self.placed], np.int64)
        self.idle = np.array([_idle(p) for p in self.placed], np.int64)
        self.sticky = [_sticky(balancer, placed) for placed in self.placed]
        self.gone = np.zeros((len(self.placed), transitions.NONE + 1), np.bool_)
        for row, placed in enumerate(self.placed):
            for claim in placed.claims:
                if claim.flags & Flag.MOVE:
                    self.gone[row, placed.table.locals[claim.identity]] = True


def _find(
    known: NDArray[np.int64], numbers: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return each number's place in the ascending list `known`, and whether it is there at all."""
    if not len(known):
        return np.zeros(len(numbers), np.int64), np.zeros(len(numbers), np.bool_)
    at = np.searchsorted(known, numbers).clip(max=len(known) - 1)
    return at, known[at] == numbers


def _idle(placed: Placed) -> int:
    """Return after how many seconds without a packet a flow of the service is forgotten."""
    service = placed.service
    assert service is not None
    return service.stale if service.protocol is Protocol.TCP else service.udp_idle


def _sticky(balancer: Balancer, placed: Placed) -> int:
    """Return the seconds of client affinity that are in force, 0 for none."""
    if placed.hashed_as_before:
        services = services_map(balancer.plane, placed.place)
        return int(services.get(service_key(balancer.plane, placed.place))["sticky"])
    assert placed.service is not None
    return placed.service.sticky.time if placed.service.sticky else 0


def sweep(balancer: Balancer, *, fin: int = FIN) -> Report:
    """Forget dead exceptions and affinities, settle slots, and let servers leave.

    Raises:
        DataplaneError: the kernel refused to read or delete.
    """
    report = Report()
    services = _Services(balancer)
    now = balancer.plane.now()
    flows = list(_joined(_live_flows(balancer, services, now, fin, report)))
    clients = list(_joined(_live_affinities(balancer, services, now, report)))
    for table in balancer.tables:
        _settle(balancer, table, services, [*flows, *clients], now, report)
    for batch in flows:
        _forget_needless(balancer, services, batch, report)
    for table in balancer.tables:
        _let_leave(balancer, table, services, [*flows, *clients], report)
    return report


def _live_flows(
    balancer: Balancer, services: _Services, now: int, fin: int, report: Report
) -> Iterator[_Flows]:
    for flows, keys, values in _remembered(balancer):
        at, known = _find(services.numbers, values["service"])
        age = now - values["seen"].astype(np.int64)
        limit = services.idle[at] if len(services.idle) else np.zeros(len(at), np.int64)
        limit = np.where(values["closed"] != 0, np.minimum(limit, fin), limit)
        gone = services.gone[at, values["member"]] if len(services.placed) else ~known
        live = known & (age <= limit) & ~gone
        report.forgotten += flows.delete_batch(keys[~live])
        yield _kept(keys, values, at, live, services, report)


def _remembered(balancer: Balancer) -> Iterator[tuple[Map, NDArray[Any], NDArray[Any]]]:
    for name in FLOWS:
        flows = balancer.plane.maps[name]
        for keys, values in flows.items_batch(_READ):
            yield flows, keys, values


def _live_affinities(
    balancer: Balancer, services: _Services, now: int, report: Report
) -> Iterator[_Flows]:
    """Affinities count as flows of each table whose services share them."""
    affinities = balancer.plane.maps["affinities"]
    sharing = _Sharing(services)
    for keys, values in affinities.items_batch(_READ):
        group, known = _find(sharing.numbers, keys["affinity"])
        if not known.any():
            report.forgotten += affinities.delete_batch(keys)
            continue
        age = now - values["seen"].astype(np.int64)
        kept = np.zeros(len(keys), np.bool_)
        for rows in sharing.services:
            at = rows[group]
            kept |= (at >= 0) & ~services.gone[at, values["member"]]
        live = known & (age <= sharing.limits[group]) & kept
        report.forgotten += affinities.delete_batch(keys[~live])
        for rows in sharing.tables:
            at = rows[group]
            yield _kept(keys, values, at, live & (at >= 0), services, report)


class _Sharing:
    """Which services share affinities of one number, as arrays by group.

    Most groups stand on one table; those whose services have been unlinked may have several.

    Attributes:
        numbers: ascending, (groups,).
        limits: seconds after which an affinity is forgotten, (groups,).
        services: in each array a service's place for each group, -1 for none, (groups,).
        tables: likewise, but no two places of a group stand on one table.
    """

    def __init__(self, services: _Services) -> None:
        limits: dict[int, int] = {}
        users: dict[int, list[int]] = {}
        tables: dict[int, dict[Table, int]] = {}
        for row, placed in enumerate(services.placed):
            if not services.sticky[row]:
                continue
            limit = max(_idle(placed), services.sticky[row])
            limits[placed.affinity] = max(limit, limits.get(placed.affinity, 0))
            users.setdefault(placed.affinity, []).append(row)
            tables.setdefault(placed.affinity, {}).setdefault(placed.table, row)
        self.numbers = np.array(sorted(limits), np.int64)
        self.limits = np.array([limits[number] for number in sorted(limits)], np.int64)
        self.services = _columns(users[number] for number in sorted(users))
        self.tables = _columns(tables[number].values() for number in sorted(tables))


def _columns(rows: Iterable[Iterable[int]]) -> list[NDArray[np.int64]]:
    return [np.array(column, np.int64) for column in zip_longest(*rows, fillvalue=-1)]


def _joined(batches: Iterable[_Flows]) -> Iterator[_Flows]:
    """Put batches together until they have _BATCH flows or more."""
    waiting: list[_Flows] = []
    for batch in batches:
        waiting.append(batch)
        if sum(len(each.which) for each in waiting) >= _BATCH:
            yield _one(waiting)
            waiting = []
    if waiting:
        yield _one(waiting)


def _one(batches: Sequence[_Flows]) -> _Flows:
    return _Flows(
        np.concatenate([batch.keys for batch in batches]),
        np.concatenate([batch.which for batch in batches]),
        np.concatenate([batch.slot for batch in batches]),
        np.concatenate([batch.member for batch in batches]),
    )


def _kept(
    keys: NDArray[Any],
    values: NDArray[Any],
    at: NDArray[np.int64],
    live: NDArray[np.bool_],
    services: _Services,
    report: Report,
) -> _Flows:
    which, member = at[live], values["member"][live]
    slot = values["hash"][live].astype(np.int64) & services.masks[which]
    pairs, counts = np.unique(which * (transitions.NONE + 1) + member, return_counts=True)
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        placed = services.placed[pair >> 16]
        identity = _identity(placed.table, pair & 0xFFFF)
        if identity is not None:
            report.exceptions[placed.place, identity] += count
    return _Flows(keys[live], which, slot, member)


def _identity(table: Table, local: int) -> bytes | None:
    return next((i for i, number in table.locals.items() if number == local), None)


def _settle(
    balancer: Balancer,
    table: Table,
    services: _Services,
    flows: list[_Flows],
    now: int,
    report: Report,
) -> None:
    slots, sights = balancer.slots_of(table).copy(), balancer.sights_of(table).copy()
    elders = transitions.elder_of(slots)
    needed = elders
    if (elders != transitions.SETTLED).any():
        foreign = np.zeros(len(slots), np.bool_)
        own = np.array([placed.table is table for placed in services.placed], np.bool_)
        for batch in flows:
            mine = own[batch.which]
            foreign |= transitions.foreign_slots(batch.slot[mine], batch.member[mine], slots)
        users = balancer.services_of(table)
        stale = max(_idle(placed) for placed in users if placed.service is not None)
        change = transitions.settle(slots, sights, foreign, now, stale)
        balancer.write(table, change)
        report.settled += len(change.indices)
        elders[change.indices] = transitions.SETTLED
        unseen = transitions.unseen(sights, now, stale)
        needed = np.where(unseen, np.uint16(transitions.SETTLED), elders)
    unsettled = int((elders != transitions.SETTLED).sum())
    as_elder, as_current = _counted(needed), _counted(transitions.current_of(slots))
    for placed in balancer.services_of(table):
        report.unsettled[placed.place] += unsettled
        for identity, number in table.locals.items():
            report.elder_slots[placed.place, identity] += int(as_elder[number])
            report.current_slots[placed.place, identity] += int(as_current[number])


def _counted(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many slots name each number; a table of a thousand servers has a million slots."""
    return np.bincount(numbers, minlength=transitions.NONE + 1)


def _forget_needless(
    balancer: Balancer, services: _Services, flows: _Flows, report: Report
) -> None:
    """Forget the exceptions in settled slots that name the slot's own server."""
    needless = np.zeros(len(flows.which), np.bool_)
    for row, placed in enumerate(services.placed):
        service = placed.service
        # Beside an affinity, an exception says more than its slot does.
        if service is None or service.track is Track.ALL or services.sticky[row]:
            continue
        mine = np.flatnonzero(flows.which == row)
        words = balancer.slots_of(placed.table)[flows.slot[mine]]
        needless[mine] = words == transitions.word(flows.member[mine], transitions.SETTLED)
    for name in FLOWS:
        report.forgotten += balancer.plane.maps[name].delete_batch(flows.keys[needless])


def _let_leave(
    balancer: Balancer,
    table: Table,
    services: _Services,
    flows: list[_Flows],
    report: Report,
) -> None:
    """Free the numbers of servers that have left and that no slot and no flow names any more."""
    users = balancer.services_of(table)
    claimed = {claim.identity for placed in users for claim in placed.claims}
    leaving = {i: n for i, n in table.locals.items() if i not in claimed}
    if not leaving or any(placed.service is None for placed in users):
        return
    named = set(transitions.in_use(balancer.slots_of(table)).tolist())
    own = np.array([placed.table is table for placed in services.placed], np.bool_)
    for batch in flows:
        named |= set(np.unique(batch.member[own[batch.which]]).tolist())
    members = balancer.plane.maps["members"]
    for identity, number in leaving.items():
        if number in named:
            continue
        for placed in users:
            members.store(placed.members.base + number, np.zeros(1, members.value))
        del table.locals[identity]
        report.left += 1
