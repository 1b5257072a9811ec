"""The kernel's maps after changes: what was wished and no more, whatever stood there before."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.balance import transitions
from shunt.balance.tables import Share, build
from shunt.dispatcher.balancer import Balancer
from shunt.dispatcher.ledger import place_of, read_ledger
from shunt.dispatcher.wishes import Flag, Way
from shunt.model.addresses import Mac
from shunt.model.config import Protocol, Sticky, Track
from tests.bpf.world import World
from tests.dispatcher.conftest import ROOMY
from tests.dispatcher.making import ONE, SIX, TWO, identity, wish

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from shunt.dataplane.plane import Plane
    from shunt.dispatcher.arena import Region
    from shunt.dispatcher.ledger import Placed, Table
    from shunt.dispatcher.wishes import Wish

pytestmark = pytest.mark.bpf


class Careful(Balancer):
    """Asserts that no packet is sent by room that is taken, or by a table made for others."""

    def write(self, table: Table, change: transitions.Change) -> None:
        for place, read in read_ledger(self.plane).items():
            if read.table.slots == table.slots:
                assert self.placed[place].table is table, f"{place} still uses the others' table"
        super().write(table, change)

    def _room(self, kind: str, size: int) -> Region:
        found = super()._room(kind, size)
        for placed in read_ledger(self.plane).values():
            used = placed.table.slots if kind == "slots" else placed.members
            apart = found.base + found.size <= used.base or used.base + used.size <= found.base
            assert apart, f"{kind} at {found} while {placed.place} uses {used}"
        return found


def slots_of(balancer: Balancer, port: int = 80) -> NDArray[np.uint32]:
    return balancer.slots_of(at(balancer, port).table).copy()


def at(balancer: Balancer, port: int = 80) -> Placed:
    return next(placed for place, placed in balancer.placed.items() if place[2] == port)


def owners(balancer: Balancer, port: int = 80) -> NDArray[np.int64]:
    """Return for each slot the number of the server that is current, 0 for none."""
    placed = at(balancer, port)
    names = np.zeros(transitions.NONE + 1, np.int64)
    for name, local in placed.table.locals.items():
        names[local] = name[-1]
    return names[transitions.current_of(slots_of(balancer, port))]


def everything(plane: Plane) -> dict[str, object]:
    """Return all that a balancer may write, to compare."""
    found: dict[str, object] = {
        name: plane.maps[name].view().tobytes() for name in ("slots", "sights", "members")
    }
    for name in ("services4", "services6"):
        keys, values = plane.maps[name].items()
        pairs = zip(keys, values, strict=True)
        found[name] = {key.tobytes(): value.tobytes() for key, value in pairs}
    return found


def check(balancer: Balancer, wished: Sequence[Wish]) -> None:
    """Assert that the kernel holds the wishes, and what a restarted daemon will read there."""
    read = read_ledger(balancer.plane)
    assert read.keys() == balancer.placed.keys() == {place_of(w.service) for w in wished}
    for place, ours in balancer.placed.items():
        theirs = read[place]
        assert (theirs.number, theirs.affinity) == (ours.number, ours.affinity)
        assert (theirs.members, theirs.table.slots) == (ours.members, ours.table.slots)
        assert theirs.table.locals == ours.table.locals
    numbers = [placed.number for placed in read.values()]
    assert len(set(numbers)) == len(numbers)
    for one in read:
        for other in read:
            together = read[one].table is read[other].table
            assert together == (balancer.placed[one].table is balancer.placed[other].table)
    _apart([placed.members for placed in read.values()])
    _apart([table.slots for table in balancer.tables])
    for each in wished:
        _check_service(balancer, each)


def _apart(regions: list[Region]) -> None:
    ordered = sorted(regions)
    for before, after in pairwise(ordered):
        assert before.base + before.size <= after.base


def _check_service(balancer: Balancer, wished: Wish) -> None:
    placed = balancer.placed[place_of(wished.service)]
    rows = balancer.plane.maps["members"].view()[placed.members.span]
    for claim in wished.claims:
        row = rows[placed.table.locals[claim.identity]]
        assert Flag(int(row["flags"])) == claim.flags
        assert row["mac"].tobytes() == claim.mac.octets
        assert int(row["ifindex"]) == claim.ifindex
    claims = sorted(wished.claims, key=lambda claim: claim.identity)
    words = balancer.slots_of(placed.table)
    wanted = build([Share(c.identity, c.weight) for c in claims], len(words), balancer._key)
    numbers = np.array([*(placed.table.locals[c.identity] for c in claims), transitions.NONE])
    wanted_locals = numbers[np.minimum(wanted, len(claims))]
    assert (transitions.current_of(words) == wanted_locals).all()


# One service.


def test_shares_are_the_weights(world: World) -> None:
    world.balancer.apply([wish()])
    counts = np.bincount(owners(world.balancer))
    assert counts[1:] / counts.sum() == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.01)
    assert (transitions.elder_of(slots_of(world.balancer)) == transitions.SETTLED).all()


def test_a_second_time_nothing_is_written(world: World) -> None:
    wished = [wish(), wish(TWO, 81), wish(SIX, 80, {4: 1}), wish(port=53, protocol=Protocol.UDP)]
    assert world.balancer.apply(wished) > 0
    before = everything(world.plane)
    assert world.balancer.apply(wished) == 0
    assert everything(world.plane) == before
    world.restart()
    assert world.balancer.apply(wished) == 0
    assert everything(world.plane) == before
    check(world.balancer, wished)


def test_only_slots_that_change_hands_are_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.balancer.apply([wish()])
    before, whose = slots_of(world.balancer), owners(world.balancer)
    written: list[transitions.Change] = []
    write = world.balancer.write

    def noted(table: Table, change: transitions.Change) -> None:
        written.append(change)
        write(table, change)

    monkeypatch.setattr(world.balancer, "write", noted)
    moved = world.balancer.apply([wish(weights={1: 10, 2: 20, 3: 15})])
    after = slots_of(world.balancer)
    changed = np.flatnonzero(after != before)
    assert len(changed) == moved
    assert [change.indices.tolist() for change in written] == [changed.tolist()]
    # Server 3 falls from 1/2 to 1/3: a sixth of the slots, all of them its own, change hands.
    assert moved / len(after) == pytest.approx(1 / 6, rel=0.1)
    assert (whose[changed] == 3).mean() > 0.95
    elders = transitions.elder_of(after[changed])
    assert (elders == transitions.current_of(before[changed])).all()


def test_a_service_without_any_server_has_empty_slots(world: World) -> None:
    world.balancer.apply([wish(weights={1: 0, 2: 0})])
    assert (transitions.current_of(slots_of(world.balancer)) == transitions.NONE).all()
    world.balancer.apply([wish(weights={1: 0, 2: 5})])
    assert (owners(world.balancer) == 2).all()
    elders = transitions.elder_of(slots_of(world.balancer))
    assert (elders == transitions.SETTLED).all(), "nobody's flows need an elder"


def test_flows_of_a_server_that_is_to_be_left_have_no_elder(world: World) -> None:
    world.balancer.apply([wish()])
    mine = owners(world.balancer) == 3
    left = Flag.READY | Flag.MOVE
    world.balancer.apply([wish(weights={1: 10, 2: 20, 3: 0}, flags={3: left})])
    elders = transitions.elder_of(slots_of(world.balancer))
    assert (elders[mine] == transitions.SETTLED).all()


def test_a_mac_reaches_every_service_and_moves_nothing(world: World) -> None:
    both = [wish(port=80), wish(port=81)]
    world.balancer.apply(both)
    unknown = [wish(port=p, flags={2: Flag(0)}) for p in (80, 81)]
    assert world.balancer.apply(unknown) == 0, "flags alone move no slots"
    check(world.balancer, unknown)


def test_one_configuration_and_key_make_one_table_everywhere(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world.balancer.apply([wish(TWO, 81, {7: 3}), wish(weights={3: 30, 1: 10})])
    world.balancer.apply([wish(weights={3: 30, 2: 20, 1: 10})])
    with World.made(tmp_path_factory.mktemp("other"), ROOMY) as other:
        other.balancer.apply([wish()])
        assert (owners(other.balancer) == owners(world.balancer)).all()


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"track": Track.NONE}, "track", 2),
        ({"track": Track.ALL}, "track", 1),
        ({"udp_idle": 7}, "udp_idle", 7),
    ],
)
def test_a_changed_option_is_written_and_moves_nothing(
    world: World, options: dict[str, object], field: str, value: int
) -> None:
    world.balancer.apply([wish()])
    assert world.balancer.apply([wish(**options)]) == 0  # type: ignore[arg-type]  # any option
    _, records = world.plane.maps["services4"].items()
    assert [int(record[field]) for record in records] == [value]


def test_affinity_that_comes_or_goes_would_send_flows_to_other_slots_and_waits(
    world: World,
) -> None:
    def in_force(*options: Sticky | None) -> list[tuple[int, str]]:
        for sticky in options:
            world.balancer.apply([wish(sticky=sticky)])
        _, records = world.plane.maps["services4"].items()
        masks = (record["sticky_mask"]["halves"].tobytes()[-4:].hex() for record in records)
        return list(zip(records["sticky"].tolist(), masks, strict=True))

    def waits() -> bool:
        (placed,) = world.balancer.placed.values()
        return placed.hashed_as_before

    assert in_force(None, Sticky(90)) == [(0, "00000000")]
    assert waits()
    assert in_force(None) == [(0, "00000000")]
    assert not waits()
    world.balancer.apply([])
    assert in_force(Sticky(90, mask4=24)) == [(90, "ffffff00")]
    assert in_force(Sticky(60, mask4=24)) == [(60, "ffffff00")], "its time may change"
    assert not waits()
    assert in_force(Sticky(60, mask4=32)) == [(60, "ffffff00")]
    assert waits()
    assert in_force(None) == [(60, "ffffff00")]
    assert waits()


def test_who_has_left_is_followed_to_another_mac(world: World) -> None:
    world.balancer.apply([wish()])
    mac = Mac.parse("02:00:00:00:00:99")
    world.balancer.apply([wish(weights={2: 20, 3: 30})], {identity(1): Way(mac, 7)})
    (placed,) = world.balancer.placed.values()
    rows = world.plane.maps["members"].view()[placed.members.span]
    row = rows[placed.table.locals[identity(1)]]
    assert (row["mac"].tobytes(), row["ifindex"]) == (mac.octets, 7)
    assert row["flags"] & Flag.AVOID
    world.balancer.apply([wish(weights={2: 20, 3: 30})], {identity(1): Way(None, 0, "silent")})
    assert rows[placed.table.locals[identity(1)]]["ifindex"] == 7, "it is where it was last seen"


def test_services_for_any_cluster_are_announced_to_the_program(world: World) -> None:
    def wildcards() -> int:
        return int(world.plane.maps["settings"].get(0)["wildcards"])

    world.balancer.apply([wish()])
    assert wildcards() == 0
    world.balancer.apply([wish(), wish("0.0.0.0", 8080)])
    assert wildcards() == 1
    world.balancer.apply([wish()])
    assert wildcards() == 0


# Tables that are shared, and part.


def test_a_split_table_keeps_the_state_of_every_slot(world: World) -> None:
    one, two = wish(port=80), wish(port=81)
    world.balancer.apply([one, two])
    assert at(world.balancer, 80).table is at(world.balancer, 81).table
    lighter = {1: 10, 2: 20, 3: 15}
    world.balancer.apply([wish(port=80, weights=lighter), wish(port=81, weights=lighter)])
    unsettled = slots_of(world.balancer)
    sights = world.balancer.sights_of(at(world.balancer).table).copy()
    after = [wish(port=80, weights=lighter), wish(port=81, weights={1: 1, 2: 1, 3: 1})]
    moved = world.balancer.apply(after)
    assert at(world.balancer, 80).table is not at(world.balancer, 81).table
    check(world.balancer, after)
    same, other = slots_of(world.balancer, 80), slots_of(world.balancer, 81)
    staying, parting = (same, other) if (same == unsettled).all() else (other, same)
    assert (staying == unsettled).all()
    elder, before = transitions.elder_of(parting), transitions.elder_of(unsettled)
    was_unsettled = before != transitions.SETTLED
    assert (elder[was_unsettled] == before[was_unsettled]).all(), "flows have one keeper"
    assert 0 < moved == (transitions.current_of(parting) != transitions.current_of(staying)).sum()
    copies = [world.balancer.sights_of(at(world.balancer, port).table) for port in (80, 81)]
    untouched = parting == unsettled
    assert all((copy[untouched] == sights[untouched]).all() for copy in copies)


def test_services_leave_a_shared_table_before_it_changes_also_after_a_restart(
    world: World,
) -> None:
    """The file was changed while the daemon was not running."""
    world.balancer.apply([wish(port=port, weights={1: 1, 2: 1}) for port in (80, 443, 8443)])
    world.balancer = Careful(world.plane)
    only_one = [wish(port=port, weights={1: 1, 2: 0}) for port in (80, 443)]
    wished = [*only_one, wish(port=8443, weights={1: 1, 2: 1})]
    before = slots_of(world.balancer, 8443)
    assert world.balancer.apply(wished) > 0
    check(world.balancer, wished)
    assert (slots_of(world.balancer, 8443) == before).all()


# Room.


def test_members_get_more_room_and_keep_their_numbers_and_counts(world: World) -> None:
    first = [wish(weights={1: 1}), wish(port=81, weights={9: 1})]
    world.balancer.apply(first)
    placed = at(world.balancer)
    local = placed.table.locals[identity(1)]
    tallies = world.plane.maps["tallies"]
    row = tallies.get(placed.members.base + local)
    row["packets"][:] = [5] * len(row)
    tallies.put(placed.members.base + local, row)
    base = placed.members.base
    many = [wish(weights=dict.fromkeys(range(1, 41), 1)), first[1]]
    world.balancer = Careful(world.plane)
    world.balancer.apply(many)
    check(world.balancer, many)
    placed = at(world.balancer)
    assert placed.members.base != base
    assert placed.table.locals[identity(1)] == local
    counted = tallies.get(placed.members.base + local)["packets"]
    assert counted.tolist() == [5] * len(counted)


def test_a_larger_table_gives_every_flow_the_keeper_that_it_had(world: World) -> None:
    world.balancer.apply([wish(weights={1: 1, 2: 2, 3: 3})])
    world.balancer.apply([wish(weights={1: 1, 2: 2, 3: 1})])
    before = slots_of(world.balancer)
    elder = transitions.elder_of(before)
    keeper = np.where(elder == transitions.SETTLED, transitions.current_of(before), elder)
    many = [wish(weights={1: 1, 2: 2, 3: 1, **dict.fromkeys(range(4, 21), 1)})]
    world.balancer.apply(many)
    check(world.balancer, many)
    after = slots_of(world.balancer)
    assert len(after) > len(before)
    elder = transitions.elder_of(after)
    kept = np.where(elder == transitions.SETTLED, transitions.current_of(after), elder)
    assert (kept == np.tile(keeper, len(after) // len(before))).all()


@pytest.mark.parametrize("tables", [1, 12])
def test_no_room_is_given_out_that_packets_still_use(world: World, tables: int) -> None:
    """Twelve services grow in one change, on tables of their own or on one, into others' room."""
    ports = range(80, 92)
    world.balancer = Careful(world.plane)
    world.balancer.apply([wish(port=p, weights={100 + p % tables: 1}) for p in ports])
    assert len(world.balancer.tables) == tables
    crowd = dict.fromkeys(range(1, 21), 1)
    large = [wish(port=p, weights={**crowd, 100 + p % tables: 1}) for p in ports]
    world.balancer.apply(large)
    check(world.balancer, large)


def test_room_that_a_service_left_is_used_again_and_is_clean(world: World) -> None:
    world.balancer.apply([wish()])
    left, number = at(world.balancer).members, at(world.balancer).number
    everyone = np.arange(left.base, left.base + left.size)
    tallies = world.plane.maps["tallies"]
    full = np.zeros(left.size, tallies.value)
    full["packets"] = 9
    tallies.update_batch(everyone, full)
    world.balancer.apply([])
    again = [wish(port=81, weights={5: 1})]
    world.balancer.apply(again)
    check(world.balancer, again)
    assert at(world.balancer, 81).members.base == left.base
    assert at(world.balancer, 81).number != number, "its flows are not the other service's"
    counts, _ = tallies.lookup_batch(everyone)
    assert not counts["packets"].any()


def test_numbers_of_services_that_left_flows_behind_are_not_used_again(world: World) -> None:
    world.balancer.apply([wish()])
    number = at(world.balancer).number
    key = world.plane.record("flow_key", client_port=1)
    world.plane.maps["flows"].put(key, world.plane.record("flow", service=number))
    world.balancer.apply([])
    world.restart()
    world.balancer.apply([wish(TWO)])
    assert at(world.balancer).number > number


def test_arrays_grow_and_nothing_that_stood_there_is_lost(tight: World) -> None:
    first = wish(weights={1: 1, 2: 2})
    tight.balancer.apply([first])
    tight.balancer.apply([wish(weights={1: 1, 2: 1})])
    state = slots_of(tight.balancer)
    plane = tight.plane
    key = plane.record("flow_key", client_port=1)
    plane.maps["flows"].put(key, plane.record("flow", service=1, member=1))
    wished = [wish(weights={1: 1, 2: 1}), wish(port=81, weights=dict.fromkeys(range(1, 20), 1))]
    tight.balancer.apply(wished)
    assert tight.plane is not plane
    assert tight.plane.maps["sights"].max_entries > 1 << 14
    assert tight.plane.maps["slots"].max_entries * 2 == tight.plane.maps["sights"].max_entries
    assert (slots_of(tight.balancer) == state).all()
    assert int(tight.plane.maps["flows"].get(key)["member"]) == 1
    check(tight.balancer, wished)
    tight.restart()
    assert tight.balancer.apply(wished) == 0
    tight.upgrade()
    assert tight.balancer.apply(wished) == 0
    check(tight.balancer, wished)


# Any history.

WEIGHTS = st.dictionaries(st.integers(1, 6), st.sampled_from([0, 1, 1, 3]), min_size=1, max_size=6)
WISHES = st.dictionaries(
    st.tuples(st.sampled_from([ONE, SIX]), st.sampled_from([80, 81, 0])), WEIGHTS, max_size=5
).map(lambda made: [wish(*where, weights=weights) for where, weights in made.items()])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World.made(tmp_path_factory.mktemp("shared"), ROOMY) as made:
        yield made


@settings(deadline=None, max_examples=12)
@given(st.lists(st.tuples(WISHES, st.booleans()), min_size=1, max_size=5))
def test_after_any_history_the_kernel_holds_the_last_wish(
    shared: World, history: list[tuple[list[Wish], bool]]
) -> None:
    shared.balancer = Careful(shared.plane)
    for wished, restart in history:
        shared.balancer.apply(wished)
        check(shared.balancer, wished)
        if restart:
            shared.balancer = Careful(shared.plane)
        assert shared.balancer.apply(wished) == 0
