"""Which service stands on which table: equal ones share, linked ones agree, differing ones part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.dispatcher.arena import Region
from shunt.dispatcher.ledger import Placed, Table, place_of
from shunt.dispatcher.placing import agreed, apart, gone, linked, plan
from shunt.dispatcher.wishes import Flag
from shunt.model.config import Protocol, Sticky
from tests.dispatcher.making import ONE, TWO, identity, wish

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.dispatcher.ledger import Place
    from shunt.dispatcher.placing import Placement
    from shunt.dispatcher.wishes import Wish

LINK_443 = Sticky(60, cross=(443,))
LINK_80 = Sticky(60, cross=(80,))


def standing(groups: Iterable[Iterable[Wish]]) -> dict[Place, Placed]:
    """Return services as they stand after each group was given a table."""
    placed: dict[Place, Placed] = {}
    for number, group in enumerate(groups):
        table = Table(Region(number * 1024, 1024))
        for each in group:
            place = place_of(each.service)
            placed[place] = Placed(place, 1 + len(placed), 0, table, Region(8 * len(placed), 8))
    return placed


def ports(placement: Placement) -> list[list[int]]:
    return [[each.service.port for each in group] for group in placement.added]


def test_equal_services_share_a_table_from_the_start() -> None:
    found = plan([wish(port=80), wish(TWO, 81), wish(port=82, weights={1: 1})], {})
    assert ports(found) == [[80, 81], [82]]
    assert (found.removed, found.splits) == ((), ())


def test_the_order_of_servers_makes_no_difference() -> None:
    turned = wish(port=81, weights={3: 30, 1: 10, 2: 20})
    assert ports(plan([wish(port=80), turned], {})) == [[80, 81]]


def test_servers_whose_flows_move_are_part_of_what_a_table_is_for() -> None:
    keeps = wish(port=80, weights={1: 0, 2: 1})
    moves = wish(port=81, weights={1: 0, 2: 1}, flags={1: Flag.READY | Flag.MOVE})
    assert ports(plan([keeps, moves], {})) == [[80], [81]]


def test_a_table_is_split_when_its_services_come_to_differ() -> None:
    before = [wish(port=80), wish(port=81), wish(port=82)]
    placed = standing([before])
    after = [before[0], wish(port=81, weights={1: 1, 2: 1, 3: 1}), before[2]]
    found = plan(after, placed)
    assert [[p.place[2] for p in split.services] for split in found.splits] == [[81]]
    assert found.splits[0].table is placed[place_of(before[0].service)].table


def test_nothing_is_to_do_when_nothing_differs() -> None:
    both = [wish(port=80), wish(port=81)]
    placed = standing([both])
    assert plan(both, placed) == plan([], {})
    everywhere = [wish(port=80, weights={1: 9}), wish(port=81, weights={1: 9})]
    assert plan(everywhere, placed) == plan([], {}), "what changes alike stays together"


def test_what_is_not_wished_goes() -> None:
    both = [wish(port=80), wish(port=81)]
    found = plan(both[:1], standing([both]))
    assert [placed.place[2] for placed in found.removed] == [81]
    assert found.splits == ()


def test_links_are_mutual_and_reach_through() -> None:
    a, b, c = (
        wish(port=80, sticky=LINK_443),
        wish(port=443),
        wish(port=8080, sticky=Sticky(60, cross=(443,))),
    )
    groups = linked([a, b, c])
    assert set(groups.values()) == {frozenset(map(place_of, (a.service, b.service, c.service)))}


def test_links_stay_within_address_and_protocol() -> None:
    a = wish(port=80, sticky=LINK_443)
    others = [wish(TWO, 443), wish(port=443, protocol=Protocol.UDP), wish(port=444)]
    groups = linked([a, *others])
    assert all(group == {place} for place, group in groups.items())


def test_linked_services_take_the_least_weight_of_each_server() -> None:
    a = wish(port=80, weights={1: 10, 2: 0}, sticky=LINK_443)
    b = wish(port=443, weights={1: 5, 2: 20}, sticky=LINK_80)
    alone = wish(port=8080, weights={1: 10, 2: 20})
    claims = agreed([a, b, alone])
    assert [c.weight for c in claims[place_of(a.service)]] == [5, 0]
    assert [c.weight for c in claims[place_of(b.service)]] == [5, 0]
    assert [c.weight for c in claims[place_of(alone.service)]] == [10, 20]


def test_linked_services_avoid_together_and_treat_their_own_flows_each_in_its_way() -> None:
    down = Flag.READY | Flag.AVOID | Flag.DOWN
    a = wish(port=80, weights={1: 0, 2: 1}, flags={1: down | Flag.RESET}, sticky=LINK_443)
    for weight in (5, 0):  # well there, or quiesced there
        b = wish(port=443, weights={1: weight, 2: 1}, sticky=LINK_80)
        claims = agreed([a, b])
        first = [claims[place_of(each.service)][0] for each in (a, b)]
        assert [c.weight for c in first] == [0, 0]
        assert [c.flags for c in first] == [down | Flag.RESET, Flag.READY | Flag.AVOID]


def test_a_server_is_gone_for_linked_services_when_it_is_for_each() -> None:
    down = Flag.READY | Flag.AVOID | Flag.DOWN | Flag.MOVE
    a = wish(port=80, weights={1: 0, 2: 1}, flags={1: down}, sticky=LINK_443)
    well = wish(port=443, weights={1: 1, 2: 1}, sticky=LINK_80)
    ill = wish(port=443, weights={1: 0, 2: 1}, flags={1: down}, sticky=LINK_80)
    placed = standing([[a, well]])
    assert gone([a, well]) == frozenset()
    assert gone([a, ill]) == {identity(1)}
    assert plan([a, well], placed) == plan([a, ill], placed) == plan([], {}), "nothing is split"


def test_linked_services_on_different_tables_are_named() -> None:
    a, b = wish(port=80, sticky=LINK_443), wish(port=443)
    other = wish(port=25)
    assert apart([a, b, other], standing([[a], [b], [other]])) == {
        frozenset({place_of(a.service), place_of(b.service)})
    }
    assert not apart([a, b, other], standing([[a, b], [other]]))


def test_linked_services_share_a_table_among_themselves_only() -> None:
    a, b = wish(port=80, sticky=LINK_443), wish(port=443, sticky=LINK_80)
    assert ports(plan([a, wish(port=81), b], {})) == [[80, 443], [81]]


WISHES = st.dictionaries(
    st.tuples(st.sampled_from([ONE, TWO]), st.integers(80, 85)),
    st.dictionaries(st.integers(1, 3), st.integers(0, 2), min_size=1),
    max_size=8,
).map(lambda made: [wish(*where, weights=weights) for where, weights in made.items()])


@settings(deadline=None, max_examples=200)
@given(WISHES, WISHES)
def test_afterwards_services_of_one_table_are_equal(before: list[Wish], after: list[Wish]) -> None:
    placed = standing(plan(before, {}).added)
    found = plan(after, placed)
    at = {place: placement.table for place, placement in placed.items()}
    for removed in found.removed:
        del at[removed.place]
    for split in found.splits:
        copy = Table(Region(0, 1024))
        for leaving in split.services:
            assert at[leaving.place] is split.table
            at[leaving.place] = copy
    for group in found.added:
        fresh = Table(Region(0, 1024))
        for each in group:
            assert place_of(each.service) not in at
            at[place_of(each.service)] = fresh
    shares = {
        place_of(w.service): frozenset((c.identity, c.weight) for c in w.claims) for w in after
    }
    assert at.keys() == shares.keys()
    of_table: dict[int, set[frozenset[tuple[bytes, int]]]] = {}
    for place, table in at.items():
        of_table.setdefault(id(table), set()).add(shares[place])
    assert all(len(kinds) == 1 for kinds in of_table.values())
