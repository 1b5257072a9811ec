"""Settles slots and forgets what is over: exceptions, affinities, servers that have left.

Runs now and then in the balancer's thread. It reads the exceptions after the slots were last
written, which is what `transitions.settle` asks for: there is one writer, and this is it.

Packets go on meanwhile, so nothing that was read is taken to be so any more:

- What looks over is looked at once more and removed only if it has not changed.
- Newcomers are read before flows: what moves there meanwhile is seen there.
- Slots are settled by sights that are read while no flow can begin at an elder (`SweepMaps.hold`).
- What was remembered after the reading for a slot that has settled is looked for afterwards.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.balance import transitions
from shunt.dispatcher.sweep_maps import FLOWS, SweepMaps
from shunt.dispatcher.sweep_services import Services, Sharing, find, idle_of
from shunt.model.config import Track

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from shunt.dispatcher.balancer import Balancer
    from shunt.dispatcher.ledger import Place, Table

FIN = 60  # seconds that `track: all` remembers a finished flow for which its slot says the same
_AGAIN = 128  # entries that are looked at again, and then removed, at once
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
    """Remembered flows, or clients: arrays of one length.

    Attributes:
        name: of the map that they were read from.
        which: the service's place in the list of services.
        done: finished so long ago that only a slot that says otherwise needs it.
    """

    name: str
    keys: NDArray[Any]
    which: NDArray[np.int64]
    slot: NDArray[np.int64]
    member: NDArray[np.uint16]
    done: NDArray[np.bool_]


@dataclass(slots=True)
class _Slots:
    """A table's slots as a sweep sees them.

    Attributes:
        stale: seconds after which an idle flow counts as dead; None: not known yet.
        foreign: slots that an exception keeps from settling.
        change: what is to be settled, and later what was.
    """

    table: Table
    stale: int | None
    words: NDArray[np.uint32]
    sights: transitions.Sights
    foreign: NDArray[np.bool_]
    change: transitions.Change


def sweep(balancer: Balancer, maps: SweepMaps | None = None) -> Report:
    """Forget dead exceptions and affinities, settle slots, and let servers leave.

    Args:
        balancer: whose tables these are.
        maps: what reads and writes them; the balancer's if None.

    Raises:
        DataplaneError: the kernel refused to read or delete.
    """
    report = Report()
    maps = maps or SweepMaps(balancer)
    maps.hold(on=False)  # a sweep that was killed may have left it on
    services = Services(balancer)
    now = maps.now()
    flows = list(_joined(_live_flows(maps, services, now, report)))
    clients = list(_joined(_live_affinities(maps, services, now, report)))
    remembered = [*flows, *clients]
    tables = [_observe(maps, table, services, remembered, now) for table in balancer.tables]
    _settle(maps, tables, now)
    for each in tables:
        _count_slots(balancer, each, now, report)
    again = _joined(_all_flows(maps, services, now)) if report.settled else flows
    for batch in again:
        _forget_needless(balancer, maps, services, batch, report)
    for table in balancer.tables:
        _let_leave(balancer, table, services, remembered, report)
    return report


# What is over.


def _live_flows(maps: SweepMaps, services: Services, now: int, report: Report) -> Iterator[_Flows]:
    for name in FLOWS:
        for keys, values in maps.read(name):
            at, known = find(services.numbers, values["service"])
            age = now - values["seen"].astype(np.int64)
            live = known & (age <= services.limits(at)) & ~services.is_gone(at, values["member"])
            removed, revived = _forget_dead(maps, name, keys[~live], values[~live])
            report.forgotten += removed
            for each_keys, each_values in ((keys[live], values[live]), revived):
                found = _flows(name, each_keys, each_values, services, now)
                _count(found, services, report)
                yield found


def _all_flows(maps: SweepMaps, services: Services, now: int) -> Iterator[_Flows]:
    for name in FLOWS:
        for keys, values in maps.read(name):
            yield _flows(name, keys, values, services, now)


def _live_affinities(
    maps: SweepMaps, services: Services, now: int, report: Report
) -> Iterator[_Flows]:
    """Affinities count as flows of each table whose services share them."""
    sharing = Sharing(services)
    for keys, values in maps.read("affinities"):
        group, known = find(sharing.numbers, keys["affinity"])
        live = known.copy()
        if known.any():
            age = now - values["seen"].astype(np.int64)
            kept = np.zeros(len(keys), np.bool_)
            for rows in sharing.services:
                at = rows[group]
                kept |= (at >= 0) & ~services.gone[at, values["member"]]
            live &= (age <= sharing.limits[group]) & kept
        removed, revived = _forget_dead(maps, "affinities", keys[~live], values[~live])
        report.forgotten += removed
        for each_keys, each_values in ((keys[live], values[live]), revived):
            group, known = find(sharing.numbers, each_keys["affinity"])
            for rows in sharing.tables if len(each_keys) else ():
                at = np.where(known, rows[group], -1)
                found = _clients(each_keys, each_values, at, services)
                _count(found, services, report)
                yield found


def _forget_dead(
    maps: SweepMaps, name: str, keys: NDArray[Any], values: NDArray[Any]
) -> tuple[int, tuple[NDArray[Any], NDArray[Any]]]:
    """Remove entries that were read as dead, unless they have changed since.

    Returns:
        How many were removed, and the keys and values of those that have changed: they live.
    """
    removed, alive_keys, alive_values = 0, [keys[:0]], [values[:0]]
    for start in range(0, len(keys), _AGAIN):
        some, read = keys[start : start + _AGAIN], values[start : start + _AGAIN]
        present, found = maps.look(name, some)
        unchanged = found & (present == read)
        some_removed, changed = maps.take(name, some[unchanged], present[unchanged])
        removed += int(some_removed.sum())
        for which in (found & ~unchanged, _spread(changed, unchanged)):
            alive_keys.append(some[which])
            alive_values.append(present[which])
    return removed, (np.concatenate(alive_keys), np.concatenate(alive_values))


def _spread(of_some: NDArray[np.bool_], some: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return, for all, what is known of those that `some` names."""
    result = np.zeros(len(some), np.bool_)
    result[some] = of_some
    return result


def _flows(
    name: str, keys: NDArray[Any], values: NDArray[Any], services: Services, now: int
) -> _Flows:
    """Return entries of `struct flow`, those of services that there are."""
    at, known = find(services.numbers, values["service"])
    keys, values, at = keys[known], values[known], at[known]
    slot = values["hash"].astype(np.int64) & services.masks[at] if len(at) else at
    done = (values["closed"] != 0) & (now - values["seen"].astype(np.int64) > FIN)
    return _Flows(name, keys, at, slot, values["member"], done)


def _clients(
    keys: NDArray[Any], values: NDArray[Any], at: NDArray[np.int64], services: Services
) -> _Flows:
    """Return entries of `struct affinity` as flows of services; `at` -1: of none."""
    theirs = at >= 0
    keys, values, at = keys[theirs], values[theirs], at[theirs]
    slot = values["hash"].astype(np.int64) & services.masks[at] if len(at) else at
    return _Flows("affinities", keys, at, slot, values["member"], np.zeros(len(at), np.bool_))


def _count(flows: _Flows, services: Services, report: Report) -> None:
    pairs, counts = np.unique(
        flows.which * (transitions.NONE + 1) + flows.member, return_counts=True
    )
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        placed = services.placed[pair >> 16]
        identity = _identity(placed.table, pair & 0xFFFF)
        if identity is not None:
            report.exceptions[placed.place, identity] += count


def _identity(table: Table, local: int) -> bytes | None:
    return next((i for i, number in table.locals.items() if number == local), None)


def _joined(batches: Iterable[_Flows]) -> Iterator[_Flows]:
    """Put batches of one map together until they have _BATCH flows or more."""
    waiting: list[_Flows] = []
    for batch in batches:
        if waiting and waiting[0].name != batch.name:
            yield _one(waiting)
            waiting = []
        waiting.append(batch)
        if sum(len(each.which) for each in waiting) >= _BATCH:
            yield _one(waiting)
            waiting = []
    if waiting:
        yield _one(waiting)


def _one(batches: Sequence[_Flows]) -> _Flows:
    return _Flows(
        batches[0].name,
        np.concatenate([batch.keys for batch in batches]),
        np.concatenate([batch.which for batch in batches]),
        np.concatenate([batch.slot for batch in batches]),
        np.concatenate([batch.member for batch in batches]),
        np.concatenate([batch.done for batch in batches]),
    )


# Slots.


def _observe(
    maps: SweepMaps, table: Table, services: Services, remembered: list[_Flows], now: int
) -> _Slots:
    """Return a table's slots, and which of them could settle."""
    words, sights = maps.slots(table), maps.sights(table)
    users = [placed for placed in services.placed if placed.table is table]
    known = all(placed.service is not None for placed in users)
    stale = max(idle_of(placed) for placed in users) if known else None
    foreign = np.zeros(len(words), np.bool_)
    if (transitions.elder_of(words) != transitions.SETTLED).any():
        own = np.array([placed.table is table for placed in services.placed], np.bool_)
        for batch in remembered:
            mine = own[batch.which]
            foreign |= transitions.foreign_slots(batch.slot[mine], batch.member[mine], words)
    observed = _Slots(table, stale, words, sights, foreign, _NOTHING)
    observed.change = _settled(observed, now)
    return observed


_NOTHING = transitions.Change(
    np.zeros(0, np.int64), np.zeros(0, np.uint32), np.zeros(0, transitions.SIGHT)
)


def _settled(slots: _Slots, now: int) -> transitions.Change:
    if slots.stale is None:
        return _NOTHING
    return transitions.settle(slots.words, slots.sights, slots.foreign, now, slots.stale)


def _settle(maps: SweepMaps, tables: Sequence[_Slots], now: int) -> None:
    """Settle what can, by sights that no refused flow can change any more.

    A connection that may not be remembered begins at the elder, and notes it. So the sights must
    not be older than the last of these. Meanwhile such connections are newcomers of `current`.
    """
    ready = [each for each in tables if len(each.change.indices)]
    if not ready:
        return
    maps.hold(on=True)
    try:
        maps.wait()
        for each in ready:
            each.sights = maps.sights(each.table)
            each.change = _settled(each, now)
            maps.settle(each.table, each.change)
        maps.wait()
    finally:
        maps.hold(on=False)


def _count_slots(balancer: Balancer, slots: _Slots, now: int, report: Report) -> None:
    elders = transitions.elder_of(slots.words)
    elders[slots.change.indices] = transitions.SETTLED
    needed = elders
    if slots.stale is not None:
        unseen = transitions.unseen(slots.sights, now, slots.stale)
        needed = np.where(unseen, np.uint16(transitions.SETTLED), elders)
    unsettled = int((elders != transitions.SETTLED).sum())
    as_elder, as_current = _counted(needed), _counted(transitions.current_of(slots.words))
    report.settled += len(slots.change.indices)
    for placed in balancer.services_of(slots.table):
        report.unsettled[placed.place] += unsettled
        for identity, number in slots.table.locals.items():
            report.elder_slots[placed.place, identity] += int(as_elder[number])
            report.current_slots[placed.place, identity] += int(as_current[number])


def _counted(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many slots name each number; a table of a thousand servers has a million slots."""
    return np.bincount(numbers, minlength=transitions.NONE + 1)


# What nothing needs any more.


def _forget_needless(
    balancer: Balancer, maps: SweepMaps, services: Services, flows: _Flows, report: Report
) -> None:
    """Forget the exceptions in settled slots that name the slot's own server.

    With `track: all` only those of finished flows, a while after.
    """
    needless = np.zeros(len(flows.which), np.bool_)
    for row, placed in enumerate(services.placed):
        service = placed.service
        # Beside an affinity, an exception says more than its slot does.
        if service is None or services.sticky[row]:
            continue
        mine = flows.which == row
        if service.track is Track.ALL:
            mine &= flows.done
        at = np.flatnonzero(mine)
        words = balancer.slots_of(placed.table)[flows.slot[at]]
        needless[at] = words == transitions.word(flows.member[at], transitions.SETTLED)
    if needless.any():
        report.forgotten += maps.drop(flows.name, flows.keys[needless])


def _let_leave(
    balancer: Balancer,
    table: Table,
    services: Services,
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
