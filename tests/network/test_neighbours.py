"""The table of neighbours follows the kernel's, keeps what is only in doubt, and asks in time."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.model.addresses import Address, Mac
from shunt.network import neighbours, watch
from shunt.network.neighbours import (
    EMPTY,
    Action,
    Change,
    Entry,
    Hop,
    Pace,
    State,
    Table,
    Verb,
    doubtful,
    entry_of,
    merge,
    plan,
    reread,
    routed,
    told,
    without,
)
from shunt.network.netlink import Message, attribute
from shunt.network.routes import Route, RouteKind

A, B, FAR = map(ip_address, ("192.0.2.21", "2001:db8::22", "198.51.100.9"))
GATEWAY = ip_address("192.0.2.254")
MACS = [Mac(bytes([2, 0, 0, 0, 0, last])) for last in range(3)]
WITH_MAC = [State.REACHABLE, State.STALE, State.DELAY, State.PROBE, State.PERMANENT]


def route(address: Address, gateway: Address | None = None, link: int = 2) -> Route:
    return Route(ip_network(address), RouteKind.UNICAST, link, f"eth{link}", gateway, None, 254)


def table() -> Table:
    ways: dict[Address, Route | str] = {A: route(A), B: route(B), FAR: route(FAR, GATEWAY)}
    return routed(EMPTY, ways, 0.0)[0]


def entry(address: Address, state: State, mac: Mac | None = None) -> Entry:
    return Entry(Hop(2, address), state, mac)


entries = st.one_of(
    st.builds(
        Entry,
        st.sampled_from([Hop(2, A), Hop(2, B), Hop(2, GATEWAY), Hop(3, A), Hop(2, FAR)]),
        st.sampled_from(WITH_MAC),
        st.sampled_from(MACS),
    ),
    st.builds(
        Entry,
        st.sampled_from([Hop(2, A), Hop(2, B), Hop(2, GATEWAY)]),
        st.sampled_from([State.NONE, State.INCOMPLETE, State.FAILED, State.NOARP]),
        st.none(),
    ),
)


def oracle(news: list[Entry], hop: Hop) -> Mac | None:
    mac = None
    for each in news:
        if each.hop != hop:
            continue
        if each.mac is not None:
            mac = each.mac
        elif each.state in {State.FAILED, State.NOARP}:
            mac = None
    return mac


@settings(deadline=None, max_examples=300)
@given(st.lists(entries, max_size=30))
def test_the_last_word_of_the_kernel_counts(news: list[Entry]) -> None:
    current, history = table(), list[Change]()
    for when, each in enumerate(news):
        current, changes = merge(current, each, float(when))
        history += changes
    for address, hop in ((A, Hop(2, A)), (B, Hop(2, B)), (FAR, Hop(2, GATEWAY))):
        neighbour = current.neighbours[address]
        assert neighbour.mac == oracle(news, hop)
        assert (neighbour.mac is None) == (neighbour.reason is not None)
        seen = table().neighbours[address].mac
        for change in history:
            if change.after.address == address:
                assert change.before.mac == seen
                seen = change.after.mac
        assert seen == neighbour.mac


@settings(deadline=None, max_examples=200)
@given(st.lists(entries, max_size=20), st.lists(entries, max_size=6))
def test_a_reading_outweighs_whatever_was_missed(before: list[Entry], found: list[Entry]) -> None:
    missed = table()
    for each in before:
        missed, _ = merge(missed, each, 1.0)
    current, _ = reread(missed, found, 2.0)
    last = {each.hop: each for each in found}
    for neighbour in current.neighbours.values():
        assert neighbour.hop is not None
        now = last.get(neighbour.hop)
        assert neighbour.state is (now.state if now else State.NONE)
        if now is not None and now.mac is not None:
            assert neighbour.mac == now.mac
    assert reread(current, found, 3.0) == (current, ())


@settings(deadline=None, max_examples=200)
@given(st.lists(entries, max_size=20), st.floats(0, 100))
def test_no_plan_touches_what_was_set_by_hand(news: list[Entry], now: float) -> None:
    current = table()
    for each in news:
        current, _ = merge(current, each, 0.0)
    for action in plan(current, now, Pace()):
        (address, *_) = current.hops[action.hop]
        assert current.neighbours[address].state not in {State.PERMANENT, State.NOARP}


def test_a_mac_in_doubt_is_kept_and_a_silent_neighbours_is_given_up() -> None:
    current, _ = merge(table(), entry(A, State.REACHABLE, MACS[1]), 1.0)
    for state in (State.NONE, State.INCOMPLETE):
        current, changes = merge(current, entry(A, state), 2.0)
        assert changes == ()
        assert current.neighbours[A].mac == MACS[1]
    current, (change,) = merge(current, entry(A, State.FAILED), 3.0)
    assert change.before.mac == MACS[1]
    assert change.after.mac is None
    assert change.after.reason == "192.0.2.21 does not answer ARP on eth2"
    _, changes = merge(current, entry(A, State.INCOMPLETE), 4.0)
    assert changes == ()


def test_what_is_behind_a_gateway_has_the_gateways_mac() -> None:
    current, (change,) = merge(table(), entry(GATEWAY, State.STALE, MACS[2]), 1.0)
    assert change.after.address == FAR
    assert change.after.mac == MACS[2]
    assert change.after.gateway == GATEWAY
    _, (change,) = merge(current, entry(GATEWAY, State.FAILED), 2.0)
    assert change.after.reason == "its gateway 192.0.2.254 does not answer ARP on eth2"


def test_a_neighbour_of_another_link_is_nobody_here() -> None:
    before = table()
    assert merge(before, Entry(Hop(3, A), State.REACHABLE, MACS[0]), 1.0) == (before, ())


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("no route to it", "no route to it"),
        (replace(route(A), kind=RouteKind.LOCAL), "is this host's own address"),
        (replace(route(A), kind=RouteKind.OTHER), "the route to it does not lead to one machine"),
        (route(A), "192.0.2.21 has not answered ARP on eth2 yet"),
    ],
)
def test_an_address_without_a_mac_has_a_reason(way: Route | str, reason: str) -> None:
    current, _ = routed(EMPTY, {A: way}, 0.0)
    assert current.neighbours[A].reason == reason


def test_another_way_to_an_address_takes_its_mac_and_the_same_way_keeps_it() -> None:
    current, _ = merge(table(), entry(A, State.REACHABLE, MACS[1]), 1.0)
    same, changes = routed(current, {A: route(A)}, 2.0)
    assert (same, changes) == (current, ())
    moved, (change,) = routed(current, {A: route(A, link=3)}, 2.0)
    assert change.after.interface == "eth3"
    assert change.after.mac is None
    _, (change,) = routed(moved, {A: "no route to it"}, 3.0)
    assert change.after.reason == "no route to it"


def test_an_address_that_is_not_watched_any_more_is_forgotten() -> None:
    left = without(table(), [A, FAR])
    assert list(left.neighbours) == [B]
    assert list(left.hops) == [Hop(2, B)]


PACE = Pace(interval=0.4, patience=0.2, retry=2.0)


@pytest.mark.parametrize(
    ("state", "age", "verb"),
    [
        (State.NONE, 0.0, Verb.ASK),
        (State.INCOMPLETE, 9.0, None),
        (State.REACHABLE, 0.3, None),
        (State.REACHABLE, 0.5, Verb.PROBE),
        (State.STALE, 0.5, Verb.PROBE),
        (State.DELAY, 0.5, Verb.PROBE),
        (State.PROBE, 0.1, None),
        (State.PROBE, 0.3, Verb.RESTART),
        (State.FAILED, 1.9, None),
        (State.FAILED, 2.1, Verb.ASK),
        (State.PERMANENT, 9.0, None),
        (State.NOARP, 9.0, None),
    ],
)
def test_what_is_due(state: State, age: float, verb: Verb | None) -> None:
    current, _ = routed(EMPTY, {A: route(A)}, 0.0)
    mac = MACS[0] if state in WITH_MAC else None
    current, _ = merge(current, entry(A, state, mac), 0.0)
    expected = () if verb is None else (Action(verb, Hop(2, A)),)
    assert plan(current, age, PACE) == expected


def test_an_action_taken_is_not_taken_again() -> None:
    current = table()
    for action in plan(current, 0.0, PACE):
        current, changes = told(current, action, 0.0)
        assert changes == ()
    assert plan(current, 0.1, PACE) == ()


def test_many_neighbours_are_asked_at_a_bounded_rate() -> None:
    ways: dict[Address, Route | str] = {
        each: route(each) for each in ip_network("10.0.0.0/22").hosts()
    }
    current, _ = routed(EMPTY, ways, 0.0)
    for address in ways:
        current, _ = merge(current, entry(address, State.REACHABLE, MACS[0]), 0.0)
    pace = Pace(interval=0.4, limit=500)
    assert plan(current, 2.0, pace) == ()
    assert len(plan(current, 2.1, pace)) == len(ways)


def test_the_default_pace_finds_a_silent_change_within_a_second() -> None:
    pace = Pace()
    tick = watch.TICK
    assert pace.interval + tick + pace.patience + tick < 0.9


def test_addresses_in_doubt_are_those_without_a_confirmed_mac() -> None:
    current, _ = merge(table(), entry(A, State.REACHABLE, MACS[1]), 1.0)
    current, _ = merge(current, entry(B, State.REACHABLE, MACS[1]), 1.0)
    current, _ = merge(current, entry(B, State.NONE), 2.0)
    assert set(doubtful(current)) == {B, FAR}


def message(kind: int, family: int, state: int, flags: int, *tail: bytes) -> Message:
    return Message(
        kind, 0, 0, struct.pack("=BxxxiHBB", family, 2, state, flags, 0) + b"".join(tail)
    )


DESTINATION, MAC = attribute(1, A.packed), attribute(2, MACS[1].octets)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (message(28, 2, 2, 0, DESTINATION, MAC), entry(A, State.REACHABLE, MACS[1])),
        (message(28, 2, 0x20, 0, DESTINATION), entry(A, State.FAILED)),
        (message(29, 2, 2, 0, DESTINATION, MAC), entry(A, State.NONE)),
        (message(28, 10, 4, 0x80, attribute(1, B.packed), MAC), entry(B, State.STALE, MACS[1])),
        (message(28, 2, 2, 0x08, DESTINATION, MAC), None),  # a proxy entry
        (message(28, 7, 2, 0, MAC), None),  # a bridge's forwarding entry
        (message(28, 2, 2, 0, MAC), None),  # for no address
        (message(16, 2, 2, 0, DESTINATION, MAC), None),  # a link's news
        (Message(28, 0, 0, b"\2"), None),
    ],
)
def test_which_messages_are_entries(told: Message, expected: Entry | None) -> None:
    assert entry_of(told) == expected


def test_states_have_the_kernels_numbers() -> None:
    assert {state.number for state in State} == {0} | {1 << bit for bit in range(8)}
    assert neighbours.State.PROBE.number == 0x10
