"""Slots change hands and settle; the oracle is a data plane in a few lines of plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.balance.transitions import (
    GONE,
    NONE,
    SETTLED,
    SIGHT,
    Change,
    Sights,
    current_of,
    elder_of,
    foreign_slots,
    grow,
    in_use,
    settle,
    shift,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

STALE = 10


def slots_of(*pairs: tuple[int, int]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.array([current | elder << 16 for current, elder in pairs], dtype=np.uint32)


def sights_of(*pairs: tuple[int, int]) -> Sights:
    return np.array(list(pairs), dtype=SIGHT)


def wanted_of(*servers: int) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    return np.array(servers, dtype=np.uint16)


def written(change: Change) -> list[tuple[int, int, int, int, int]]:
    """Return rows of index, current, elder, since, seen."""
    return [
        (int(at), int(slot) & 0xFFFF, int(slot) >> 16, int(sight["since"]), int(sight["seen"]))
        for at, slot, sight in zip(*change, strict=True)
    ]


def one_shift(
    pair: tuple[int, int], wanted: int, gone: tuple[int, ...] = (), sight: tuple[int, int] = (3, 4)
) -> list[tuple[int, int, int, int, int]]:
    return written(shift(slots_of(pair), sights_of(sight), wanted_of(wanted), gone, 50))


class TestShift:
    def test_leaves_alone_what_is_as_wanted(self) -> None:
        assert one_shift((1, SETTLED), 1) == []
        assert one_shift((1, 2), 1) == []
        assert one_shift((NONE, SETTLED), NONE) == []
        assert one_shift((1, GONE), 1) == []

    def test_makes_the_old_server_the_elder(self) -> None:
        assert one_shift((1, SETTLED), 2) == [(0, 2, 1, 50, 0)]

    def test_keeps_the_elder_through_later_changes_and_waits_again(self) -> None:
        assert one_shift((2, 1), 3) == [(0, 3, 1, 3, 50)]

    def test_stays_unsettled_when_the_elder_returns(self) -> None:
        assert one_shift((2, 1), 1) == [(0, 1, 1, 3, 50)]

    def test_keeps_the_elder_of_a_slot_that_loses_all_servers(self) -> None:
        assert one_shift((1, SETTLED), NONE) == [(0, NONE, 1, 50, 0)]
        assert one_shift((2, 1), NONE) == [(0, NONE, 1, 3, 50)]

    def test_needs_no_elder_where_nobody_or_a_gone_server_was(self) -> None:
        assert [row[:3] for row in one_shift((NONE, SETTLED), 2)] == [(0, 2, SETTLED)]
        assert [row[:3] for row in one_shift((1, SETTLED), 2, gone=(1,))] == [(0, 2, SETTLED)]

    def test_forgets_an_elder_that_is_gone(self) -> None:
        assert [row[:3] for row in one_shift((2, 1), 2, gone=(1,))] == [(0, 2, GONE)]
        assert [row[:3] for row in one_shift((2, 1), 3, gone=(1, 2))] == [(0, 3, GONE)]

    def test_makes_the_server_that_inherited_from_a_gone_elder_the_next_elder(self) -> None:
        assert one_shift((2, GONE), 3) == [(0, 3, 2, 50, 0)]
        assert one_shift((2, 1), 3, gone=(1,)) == [(0, 3, 2, 50, 0)]

    def test_returns_only_changed_slots(self) -> None:
        slots = slots_of((1, SETTLED), (2, SETTLED), (1, 2))
        change = shift(slots, np.zeros(3, SIGHT), wanted_of(1, 1, 1), (), 50)
        assert written(change) == [(1, 1, 2, 50, 0)]

    def test_changes_nothing_by_itself(self) -> None:
        slots, sights = slots_of((1, SETTLED)), sights_of((3, 4))
        shift(slots, sights, wanted_of(2), (), 50)
        assert slots.tolist() == slots_of((1, SETTLED)).tolist()
        assert sights.tolist() == [(3, 4)]


def settles(pair: tuple[int, int], sight: tuple[int, int], *, foreign: bool, now: int) -> bool:
    change = settle(slots_of(pair), sights_of(sight), np.array([foreign]), now, STALE)
    if not len(change.indices):
        return False
    assert change.slots.tolist() == [pair[0] | SETTLED << 16]
    return True


class TestSettle:
    def test_waits_for_the_stale_time_after_the_change(self) -> None:
        assert not settles((2, 1), (50, 0), foreign=False, now=50 + STALE)
        assert settles((2, 1), (50, 0), foreign=False, now=50 + STALE + 1)

    def test_waits_for_the_stale_time_after_the_elder_was_seen(self) -> None:
        assert not settles((2, 1), (50, 58), foreign=False, now=58 + STALE)
        assert settles((2, 1), (50, 58), foreign=False, now=58 + STALE + 1)

    def test_waits_for_exceptions_of_other_servers(self) -> None:
        assert not settles((2, 1), (50, 0), foreign=True, now=1000)

    def test_does_not_wait_for_an_elder_that_makes_no_difference(self) -> None:
        for elder in (2, GONE):
            assert not settles((2, elder), (50, 50), foreign=False, now=51)
            assert settles((2, elder), (50, 50), foreign=False, now=52)
            assert not settles((2, elder), (50, 50), foreign=True, now=52)

    def test_leaves_slots_without_a_server_and_settled_ones(self) -> None:
        assert not settles((NONE, 1), (50, 0), foreign=False, now=1000)
        assert not settles((1, SETTLED), (50, 0), foreign=False, now=1000)

    def test_bears_a_sight_from_a_clock_just_ahead(self) -> None:
        assert not settles((2, 1), (50, 101), foreign=False, now=100)


def test_grown_slots_keep_the_state_of_those_they_came_from() -> None:
    slots, sights = grow(slots_of((1, 2), (3, SETTLED)), sights_of((5, 6), (7, 8)), 8)
    assert slots.tolist() == slots_of((1, 2), (3, SETTLED)).tolist() * 4
    assert sights.tolist() == [(5, 6), (7, 8)] * 4
    for wrong in (1, 3, 6):
        with pytest.raises(ValueError, match="cannot grow"):
            grow(slots, sights, wrong)


def test_numbers_in_use_are_servers_only() -> None:
    assert in_use(slots_of((4, SETTLED), (1, GONE), (NONE, 7), (4, 1))).tolist() == [1, 4, 7]


@given(
    currents=st.lists(st.integers(0, 3) | st.just(NONE), min_size=1, max_size=8),
    exceptions=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=30),
)
@settings(deadline=None, max_examples=100)
def test_foreign_slots_are_those_with_an_exception_for_another_server(
    currents: list[int], exceptions: list[tuple[int, int]]
) -> None:
    exceptions = [(slot % len(currents), server) for slot, server in exceptions]
    index = np.array([slot for slot, _ in exceptions], dtype=np.uint32)
    server = np.array([server for _, server in exceptions], dtype=np.uint16)
    got = foreign_slots(index, server, word(currents, 9))
    assert got.tolist() == [
        any(slot == here and server != current for slot, server in exceptions)
        for here, current in enumerate(currents)
    ]


def test_words_come_apart_as_they_were_put_together() -> None:
    words = word([0, NONE, 513], [SETTLED, GONE, 2])
    assert words.tobytes() == bytes.fromhex("0000ffff fffffeff 01020200")
    assert current_of(words).tolist() == [0, NONE, 513]
    assert elder_of(words).tolist() == [SETTLED, GONE, 2]


@dataclass
class Open:
    slot: int
    chatty: bool
    room: bool


@dataclass
class Want:
    servers: list[int]
    gone: set[int]


@dataclass
class Wait:
    seconds: int


@dataclass
class Grow:
    pass


@dataclass
class Flow:
    slot: int
    server: int
    seen: int
    chatty: bool  # talks all the time; others stay silent until asked


@dataclass
class Plane:
    """One table, its flows and exceptions: what the program in the kernel does, in plain Python."""

    size: int
    now: int = 1000
    gone: set[int] = field(default_factory=set)
    flows: dict[int, Flow] = field(default_factory=dict)
    exceptions: dict[int, tuple[int, int]] = field(default_factory=dict)  # flow: server, seen
    moved: list[tuple[int, Flow, int]] = field(default_factory=list)  # flows that went elsewhere
    opened: int = 0

    def __post_init__(self) -> None:
        self.slots = word(np.full(self.size, NONE), SETTLED)
        self.sights = np.zeros(self.size, SIGHT)

    def route(self, flow: int, slot: int, *, syn: bool, room: bool = True) -> int:
        """Return the server that a packet of a flow goes to, and leave the traces it leaves."""
        slot %= self.size
        current, elder = int(self.slots[slot]) & 0xFFFF, int(self.slots[slot]) >> 16
        if elder == SETTLED:
            return current
        if flow in self.exceptions and self.exceptions[flow][0] not in self.gone:
            self.exceptions[flow] = (self.exceptions[flow][0], self.now)
            return self.exceptions[flow][0]
        if syn and current == NONE:
            return NONE
        if syn and room:
            self.exceptions[flow] = (current, self.now)
            return current
        if elder == GONE or elder in self.gone:
            return current
        self.sights["seen"][slot] = self.now
        return elder

    def open(self, slot: int, *, chatty: bool, room: bool = True) -> None:
        self.opened += 1
        server = self.route(self.opened, slot, syn=True, room=room)
        if server != NONE:
            self.flows[self.opened] = Flow(slot, server, self.now, chatty)

    def talk(self, names: Iterable[int]) -> None:
        for name in names:
            flow = self.flows[name]
            server = self.route(name, flow.slot, syn=False)
            if server != flow.server:
                self.moved.append((name, flow, server))
            flow.seen = self.now

    def tick(self) -> None:
        """Let a second pass; chatty flows talk, others may die, the control plane settles."""
        self.now += 1
        self.flows = {
            name: flow
            for name, flow in self.flows.items()
            if flow.chatty or self.now - flow.seen <= STALE
        }
        self.talk([name for name, flow in self.flows.items() if flow.chatty])
        self.settle()

    def apply(self, change: Change) -> None:
        self.sights[change.indices] = change.sights
        self.slots[change.indices] = change.slots

    def want(self, servers: list[int], gone: set[int]) -> None:
        self.gone = gone
        self.flows = {name: flow for name, flow in self.flows.items() if flow.server not in gone}
        wanted = [server if server not in gone else NONE for server in servers]
        padded = np.array((wanted * self.size)[: self.size], dtype=np.uint16)
        self.apply(shift(self.slots, self.sights, padded, gone, self.now))

    def settle(self) -> None:
        live = [
            (self.flows[flow].slot % self.size, server)
            for flow, (server, seen) in self.exceptions.items()
            if flow in self.flows and self.now - seen <= STALE
        ]
        index = np.array([slot for slot, _ in live], dtype=np.int64)
        server = np.array([server for _, server in live], dtype=np.int64)
        foreign = foreign_slots(index, server, self.slots)
        self.apply(settle(self.slots, self.sights, foreign, self.now, STALE))

    def grow(self) -> None:
        self.slots, self.sights = grow(self.slots, self.sights, 2 * self.size)
        self.size *= 2


SERVERS = st.integers(0, 2)
STEPS = st.one_of(
    st.builds(Open, st.integers(0, 3), chatty=st.booleans(), room=st.sampled_from([True, False])),
    st.builds(Open, st.integers(0, 3), chatty=st.just(True), room=st.just(True)),
    st.builds(
        Want,
        st.lists(SERVERS | st.just(NONE), min_size=1, max_size=3),
        st.sets(SERVERS, max_size=1),
    ),
    st.builds(Want, st.lists(SERVERS, min_size=1, max_size=2), st.just(set())),
    st.builds(Wait, st.integers(1, 3 * STALE)),
    st.just(Grow()),
)


@given(history=st.lists(STEPS, min_size=5, max_size=40))
@settings(deadline=None, max_examples=1000)
def test_a_flow_keeps_the_server_it_began_with(history: list[Open | Want | Wait | Grow]) -> None:
    plane = Plane(2)
    plane.want([0, 1], set())
    for step in history:
        match step:
            case Open(slot, chatty, room):
                plane.open(slot, chatty=chatty, room=room)
            case Want(servers, gone):
                plane.want(servers, gone)
            case Wait(seconds):
                for _ in range(seconds):
                    plane.tick()
                plane.talk(plane.flows)
            case Grow() if plane.size < 8:
                plane.grow()
    plane.talk(plane.flows)
    assert plane.moved == []


def test_slots_settle_once_the_flows_of_the_elder_have_ended() -> None:
    plane = Plane(1)
    plane.want([0], set())
    plane.open(0, chatty=True)
    plane.want([1], set())
    plane.open(0, chatty=True)
    for _ in range(5 * STALE):
        plane.tick()
    assert elder_of(plane.slots).tolist() == [0]
    del plane.flows[1]
    for _ in range(STALE + 1):
        plane.tick()
    assert elder_of(plane.slots).tolist() == [SETTLED]
    assert plane.moved == []


def test_nothing_is_recorded_in_settled_slots() -> None:
    plane = Plane(4)
    plane.want([0, 1, 2], set())
    for slot in range(4):
        plane.open(slot, chatty=True)
    assert plane.exceptions == {}
