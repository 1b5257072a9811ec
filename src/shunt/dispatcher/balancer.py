"""Writes to the kernel what `placing` and `balance` have decided: tables, members, services.

One writer only: the daemon calls it from one worker thread. Order is what keeps packets safe: a
member is written before a slot names it, sights before slots, slots and members before the service
that points to them. Each service is in force as soon as its own table is made.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from threading import Event
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.balance import transitions
from shunt.balance.tables import Share, build, table_size
from shunt.dataplane.grace import wait_for_packets
from shunt.dataplane.sights import catch_up
from shunt.dispatcher import placing
from shunt.dispatcher.adopting import adopt
from shunt.dispatcher.arena import Region, find_room, power_of_two
from shunt.dispatcher.ledger import (
    Placed,
    Table,
    mask_of,
    place_of,
    read_ledger,
    service_key,
    services_map,
    shares_of,
)
from shunt.dispatcher.member_rows import Rows, wished_members
from shunt.dispatcher.wishes import Wish
from shunt.errors import DataplaneError
from shunt.model.config import OnDown, Track

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from shunt.dataplane.plane import Plane
    from shunt.dispatcher.ledger import Place, Shares
    from shunt.dispatcher.wishes import Claim, Way

_TRACKS = {Track.AUTO: "TRACK_AUTO", Track.ALL: "TRACK_ALL", Track.NONE: "TRACK_NONE"}
_CACHED_TABLES = 64
_LEAST_MEMBERS = 8
_SLOTS_IN_A_PAIR = 2
NOWHERE: Mapping[bytes, Way] = MappingProxyType({})


class Balancer:
    """The services in the kernel, and the one who changes them.

    Attributes:
        plane: the data plane; another object after an array has grown.
        placed: every service in the kernel.
        moved: slots that have changed hands since the start.
        interrupted: set by who ends the process: no more tables are made.
    """

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.placed: dict[Place, Placed] = read_ledger(plane)
        self.moved = 0
        self.interrupted = Event()
        self._key = blake2b(plane.hash_key, digest_size=16, person=b"slot tables").digest()
        self._built: OrderedDict[tuple[Shares, int], NDArray[np.uint16]] = OrderedDict()
        self._tracks = plane.layouts.enum("track")
        self._reset = plane.layouts.enum("service_flags")["SERVICE_RESET"]
        known = [placed.number for placed in self.placed.values()]
        for name in ("flows", "newcomers", "fragments"):
            known += plane.maps[name].items()[1]["service"].tolist()
        known += plane.maps["affinities"].items()[0]["affinity"].tolist()
        self._next_number = 1 + max(known, default=0)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Return every table once."""
        return tuple({id(p.table): p.table for p in self.placed.values()}.values())

    def services_of(self, table: Table) -> tuple[Placed, ...]:
        """Return the services that stand on a table."""
        return tuple(placed for placed in self.placed.values() if placed.table is table)

    def _users(self) -> dict[Table, list[Placed]]:
        """Return every table once, with the services that stand on it."""
        users: dict[Table, list[Placed]] = {}
        for placed in self.placed.values():
            users.setdefault(placed.table, []).append(placed)
        return users

    def apply(self, wishes: Sequence[Wish], ways: Mapping[bytes, Way] = NOWHERE) -> int:
        """Make the kernel's maps what is wished; return how many slots changed hands.

        Args:
            wishes: one for each service.
            ways: to servers that have left a service and still have flows, by identity.

        Raises:
            DataplaneError: the kernel refused; what was written so far is consistent, and applying
                again goes on from there.
        """
        moved_before = self.moved
        claims = placing.agreed(wishes)
        placement = placing.plan(wishes, self.placed)
        for placed in placement.removed:
            self._remove(placed)
        for split in placement.splits:
            self._split(split)
        groups = placing.linked(wishes)
        inherited: dict[Table, _Copied] = {}
        for wish, wider in placement.heirs:
            copy, inherited_from = self._copy_of(wider.table)
            inherited[copy] = inherited_from
            self._add([wish], claims, groups, copy, heir_to=wider)
        for group in placement.added:
            room = self._room("slots", table_size(len(claims[place_of(group[0].service)])))
            self._add(group, claims, groups, self._empty(room))
        for wish in wishes:
            placed = self.placed[place_of(wish.service)]
            placed.service, placed.claims = wish.service, claims[placed.place]
        self._write_wildcards()
        for table, users in self._users().items():
            if self.interrupted.is_set():
                raise DataplaneError("told to end before every table was made")
            copied = self._make(table, users, ways)
            for placed in users:  # at once: the next table may take seconds, or the room just left
                self._write_service(placed)
            copied = inherited.get(table, copied)
            if copied is not None:
                self._catch_up(table, copied)
            for placed in users:
                if placed.before:
                    self._adopt(placed)
        return self.moved - moved_before

    # Room.

    def _room(self, kind: str, size: int) -> Region:
        if kind == "slots":
            taken = [table.slots for table in self.tables]
        else:
            taken = [placed.members for placed in self.placed.values()]
        companion = {"slots": "sights", "members": "tallies"}[kind]
        had = total = self.plane.maps[companion].max_entries
        found = find_room(taken, size, total)
        while found is None:
            total *= 2
            found = find_room(taken, size, total)
        if total > had:
            itself = total // _SLOTS_IN_A_PAIR if kind == "slots" else total
            self.plane = self.plane.grown({kind: itself, companion: total})
        return found

    def slots_of(self, table: Table) -> NDArray[np.uint32]:
        """Return a writable view of a table's words, (slots,)."""
        return self.plane.maps["slots"].view().view(np.uint32)[table.slots.span]

    def sights_of(self, table: Table) -> Any:
        """Return a writable view of a table's sights, (slots,)."""
        return self.plane.maps["sights"].view()[table.slots.span]

    # Services come and go.

    def _remove(self, placed: Placed) -> None:
        services_map(self.plane, placed.place).delete(service_key(self.plane, placed.place))
        del self.placed[placed.place]

    def _split(self, split: placing.Split) -> None:
        copy, copied = self._copy_of(split.table)
        for placed in split.services:
            placed.table = copy
            self._point_to_table(placed)
        self._catch_up(copy, copied)

    def _copy_of(self, table: Table) -> tuple[Table, _Copied]:
        copy = Table(self._room("slots", table.slots.size), dict(table.locals))
        copied = _Copied(table.slots, self.sights_of(table).copy())
        self.sights_of(copy)[:] = copied.sights
        self.slots_of(copy)[:] = self.slots_of(table)
        return copy, copied

    def _empty(self, room: Region) -> Table:
        table = Table(room)
        self.sights_of(table)[:] = 0
        self.slots_of(table)[:] = transitions.word(transitions.NONE, transitions.SETTLED)
        return table

    def _point_to_table(self, placed: Placed) -> None:
        """Let a service use its table; all else stays, and may not be known yet after a restart."""
        services, key = (
            services_map(self.plane, placed.place),
            service_key(self.plane, placed.place),
        )
        record = services.get(key)
        record["slots_base"], record["slots_mask"] = _slots_fields(placed.table)
        services.put(key, record)

    def _catch_up(self, table: Table, copied: _Copied) -> None:
        """Note what packets wrote to the sights that a table was copied from, until it was used."""
        wait_for_packets()
        source = self.plane.maps["sights"].view()[copied.source.span]
        catch_up(copied.sights, source, self.sights_of(table), self.plane.now())

    def _add(
        self,
        group: Sequence[Wish],
        claims: dict[Place, tuple[Claim, ...]],
        groups: dict[Place, frozenset[Place]],
        table: Table,
        *,
        heir_to: Placed | None = None,
    ) -> None:
        needed = max(len(claims[place_of(group[0].service)]), len(table.locals))
        size = max(_LEAST_MEMBERS, power_of_two(2 * needed), heir_to.members.size if heir_to else 0)
        numbers: dict[frozenset[Place], int] = {}
        for wish in group:
            place = place_of(wish.service)
            number, self._next_number = self._next_number, self._next_number + 1
            affinity = numbers.setdefault(groups[place], number)
            placed = Placed(place, number, affinity, table, Region(0, 0))
            placed.members = self._room("members", size)
            self.placed[place] = placed
            self._clear(placed.members)
            if heir_to is not None:  # also who has left, and still has flows
                placed.before = heir_to.number
                rows = self.plane.maps["members"].view()[heir_to.members.span].copy()
                self.plane.maps["members"].store(placed.members.base + np.arange(len(rows)), rows)

    def _adopt(self, placed: Placed) -> None:
        """Let a service's flows be its own, that were remembered as another's."""
        adopt(self.plane, placed)
        placed.before = 0
        self._write_service(placed)

    def _clear(self, region: Region) -> None:
        """Forget the members and tallies of whoever had the region before."""
        rows = np.arange(region.base, region.base + region.size)
        members, tallies = self.plane.maps["members"], self.plane.maps["tallies"]
        members.store(rows, np.zeros(region.size, members.value))
        tallies.update_batch(rows, np.zeros(region.size, tallies.value))

    # Tables and members.

    def _make(
        self, table: Table, services: Sequence[Placed], ways: Mapping[bytes, Way]
    ) -> _Copied | None:
        """Bring a table up to date; return where it was copied from, if it has grown."""
        claims = services[0].claims
        for claim in claims:
            table.number_of(claim.identity)
        self._fit_members(table, services)
        copied = self._fit_slots(table, services)
        rows: Rows | None = None
        for placed in services:
            rows = self._write_members(placed, rows, ways)
        made_for = shares_of(claims), placing.gone(_in_force(services))
        if table.made_for == made_for:
            return copied
        gone = [table.locals[identity] for identity in sorted(made_for[1])]
        slots, sights = self.slots_of(table), self.sights_of(table)
        change = transitions.shift(
            slots, sights, self._wanted(table, made_for[0]), gone, self.plane.now()
        )
        self.write(table, change)
        self.moved += len(change.indices)
        table.made_for = made_for
        return copied

    def write(self, table: Table, change: transitions.Change) -> None:
        """Write changed slots: sights first, for a packet may meet the slot at once.

        Times are only ever put later: packets may have written some since they were read.
        """
        for field in ("since", "seen"):
            times, new = self.sights_of(table)[field], change.sights[field]
            later = new > times[change.indices]
            times[change.indices[later]] = new[later]
        self.slots_of(table)[change.indices] = change.slots

    def _wanted(self, table: Table, shares: Shares) -> NDArray[np.uint16]:
        key = (shares, table.slots.size)
        if key not in self._built:
            made = build([Share(i, weight) for i, weight in shares], table.slots.size, self._key)
            self._built[key] = made
            while len(self._built) > _CACHED_TABLES:
                self._built.popitem(last=False)
        self._built.move_to_end(key)
        numbers = np.full(transitions.NONE + 1, transitions.NONE, np.uint16)
        numbers[: len(shares)] = [table.locals[identity] for identity, _ in shares]
        return numbers[self._built[key]]

    def _fit_members(self, table: Table, services: Iterable[Placed]) -> None:
        """Give the services room for every local number of their table."""
        needed = 1 + max(table.locals.values(), default=0)
        for placed in services:
            if placed.members.size >= needed:
                continue
            old = placed.members
            members = self.plane.maps["members"].view()[old.span].copy()
            placed.members = self._room("members", power_of_two(2 * needed))
            tallies, _ = self.plane.maps["tallies"].lookup_batch(
                np.arange(old.base, old.base + old.size)
            )
            self._clear(placed.members)
            at = np.arange(placed.members.base, placed.members.base + old.size)
            self.plane.maps["tallies"].update_batch(at, tallies)
            self.plane.maps["members"].store(at, members)
            self._write_service(placed)  # before the next service takes the room just left

    def _fit_slots(self, table: Table, services: Sequence[Placed]) -> _Copied | None:
        """Let a table grow with its servers; it never shrinks, for flows know their slots."""
        wanted = table_size(len(services[0].claims))
        if wanted <= table.slots.size:
            return None
        room = self._room("slots", wanted)
        copied = _Copied(table.slots, self.sights_of(table).copy())
        slots, sights = transitions.grow(self.slots_of(table), copied.sights, wanted)
        table.slots, table.made_for = room, None
        self.sights_of(table)[:] = sights
        self.slots_of(table)[:] = slots
        return copied

    def _write_members(self, placed: Placed, like: Rows | None, ways: Mapping[bytes, Way]) -> Rows:
        """Write a service's members; `like`: another's of the same table, mostly the same."""
        members = self.plane.maps["members"]
        present = members.view()[placed.members.span].copy()
        rows = Rows(placed.claims, present, present)
        if like and like.claims == rows.claims and like.present.tobytes() == present.tobytes():
            rows = like
        else:
            rows.wished = wished_members(placed, present, ways)
        changed = np.flatnonzero(rows.wished != present)
        members.store(placed.members.base + changed, rows.wished[changed])
        return rows

    def _write_service(self, placed: Placed) -> None:
        service = placed.service
        assert service is not None
        base, mask = _slots_fields(placed.table)
        record = self.plane.record(
            "service",
            number=placed.number,
            slots_base=base,
            slots_mask=mask,
            members_base=placed.members.base,
            members_size=placed.members.size,
            udp_idle=service.udp_idle,
            sticky=service.sticky.time if service.sticky else 0,
            affinity=placed.affinity,
            track=self._tracks[_TRACKS[service.track]],
            before=placed.before,
            flags=self._reset if service.on_down is OnDown.RESET else 0,
        )
        record["sticky_mask"]["halves"] = np.frombuffer(mask_of(service), np.uint64)
        key = service_key(self.plane, placed.place)
        services = services_map(self.plane, placed.place)
        present = services.get(key)
        placed.hashed_as_before = present is not None and _hashed(present) != _hashed(record)
        if placed.hashed_as_before:  # else every flow that is not remembered would change its slot
            for field in ("sticky", "sticky_mask"):
                record[field] = present[field]
        placed.by_client = bool(record["sticky"])
        if present is None or present != record:
            services.put(key, record)

    def _write_wildcards(self) -> None:
        wildcards = any(place[0].is_unspecified for place in self.placed)
        self.change_settings(wildcards=int(wildcards))

    # Small things.

    def change_settings(self, **fields: int) -> None:
        """Write fields of `struct settings`."""
        settings = self.plane.maps["settings"].view()
        for name, value in fields.items():
            settings[name][0] = value

    def leaving(self) -> frozenset[bytes]:
        """Return the identities of servers that have left their service but still have flows."""
        return frozenset(
            identity
            for placed in tuple(self.placed.values())  # the worker may be adding one
            for identity in frozenset(placed.table.locals) - {c.identity for c in placed.claims}
        )


@dataclass(frozen=True, slots=True)
class _Copied:
    """Where a table's slots were before, and their sights when they were copied."""

    source: Region
    sights: Any


def _slots_fields(table: Table) -> tuple[int, int]:
    """Return base and mask of a table's slots."""
    return table.slots.base, table.slots.size - 1


def _in_force(services: Iterable[Placed]) -> Iterator[Wish]:
    """Return what is in force of services as it was wished."""
    for placed in services:
        assert placed.service is not None
        yield Wish(placed.service, placed.claims)


def _hashed(record: Any) -> tuple[bool, bytes]:
    """Return what decides which bytes of a packet choose its slot."""
    return bool(record["sticky"]), record["sticky_mask"].tobytes()
