"""The sweep: forgets what is over, settles slots, lets servers leave.

Time stands still but for what a test lets pass; no program runs here that would go by another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from shunt.balance import transitions
from shunt.dataplane.plane import NANOSECONDS, Plane
from shunt.dispatcher.sweep import FIN, Report, sweep
from shunt.dispatcher.wishes import Flag
from shunt.model.config import Protocol, Sticky, Track
from tests.dispatcher.making import identity, wish

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shunt.dispatcher.ledger import Placed
    from shunt.dispatcher.wishes import Wish
    from tests.bpf.world import World

pytestmark = pytest.mark.bpf

STALE, UDP_IDLE = 300, 60
BEFORE, AFTER = {1: 10, 2: 20, 3: 30}, {1: 10, 2: 20, 3: 15}
READY, MOVE = Flag.READY, Flag.READY | Flag.MOVE


@dataclass
class Sweeping:
    """A world, and the second that it is there."""

    world: World
    now: int = 1_000_000

    def apply(self, *wished: Wish) -> None:
        self.world.balancer.apply(wished)

    def sweep(self) -> Report:
        return sweep(self.world.balancer)

    def after(self, seconds: int) -> Report:
        """Let time pass, and sweep."""
        self.now += seconds
        return self.sweep()

    def placed(self, port: int = 80) -> Placed:
        found = self.world.balancer.placed.values()
        return next(placed for placed in found if placed.place[2] == port)

    def local(self, server: int, port: int = 80) -> int:
        return self.placed(port).table.locals[identity(server)]

    def slots(self, port: int = 80) -> NDArray[np.uint32]:
        return self.world.balancer.slots_of(self.placed(port).table).copy()

    def unsettled(self, port: int = 80) -> NDArray[np.int64]:
        return np.flatnonzero(transitions.elder_of(self.slots(port)) != transitions.SETTLED)

    def remember(
        self,
        client_port: int,
        slot: int,
        server: int,
        *,
        port: int = 80,
        closed: int = 0,
        among: str = "flows",
    ) -> None:
        """Record a flow as the program does; its client port tells it from others."""
        plane = self.world.plane
        flow = plane.record(
            "flow", service=self.placed(port).number, hash=slot, seen=plane.now(),
            member=self.local(server, port), closed=closed,
        )  # fmt: skip
        plane.maps[among].put(plane.record("flow_key", client_port=client_port), flow)

    def remembered(self, among: str = "flows") -> set[int]:
        keys, _ = self.world.plane.maps[among].items()
        return set(keys["client_port"].tolist())

    def like(self, client: int, slot: int, server: int) -> None:
        """Record a client's affinity."""
        plane = self.world.plane
        key = plane.record("affinity_key", affinity=self.placed().affinity)
        key["client"]["halves"] = (0, client)
        value = plane.record("affinity", seen=plane.now(), hash=slot, member=self.local(server))
        plane.maps["affinities"].put(key, value)

    def liked(self) -> set[int]:
        keys, _ = self.world.plane.maps["affinities"].items()
        return set(keys["client"]["halves"][:, 1].tolist()) if len(keys) else set()


@pytest.fixture
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> Sweeping:
    made = Sweeping(world)
    monkeypatch.setattr(Plane, "now", lambda _plane: made.now)
    return made


def test_the_clock_is_the_programs_own(world: World) -> None:
    world.settings(clock_stopped=0, clock_offset=0)
    before = world.plane.now()
    world.settings(clock_offset=10_000 * NANOSECONDS)
    assert world.plane.now() >= before + 10_000
    world.settings(clock_stopped=1)
    assert world.plane.now() == 10_000


# What is over is forgotten.


def test_flows_beyond_the_rate_are_like_others(here: Sweeping) -> None:
    here.apply(wish(), wish(port=81, weights={9: 1}))
    here.apply(wish(weights=AFTER), wish(port=81, weights={9: 1}))
    kept = int(here.unsettled()[0])
    other = next(n for n in BEFORE if here.local(n) != transitions.current_of(here.slots())[kept])
    here.after(STALE)
    here.remember(1, kept, other, among="newcomers")
    report = here.after(1)
    assert report.exceptions == {(here.placed().place, identity(other)): 1}
    assert here.unsettled().tolist() == [kept]
    assert here.after(STALE).forgotten == 1
    assert here.remembered("newcomers") == set()


def test_a_flow_is_forgotten_after_its_idle_time_and_not_before(here: Sweeping) -> None:
    here.apply(wish(track=Track.ALL), wish(port=53, protocol=Protocol.UDP, track=Track.ALL))
    here.remember(1, 0, 1)
    here.remember(2, 0, 1, port=53)
    assert here.after(UDP_IDLE).forgotten == 0
    assert here.remembered() == {1, 2}
    assert here.after(1).forgotten == 1
    assert here.remembered() == {1}
    assert here.after(STALE - UDP_IDLE - 1).forgotten == 0
    assert here.after(1).forgotten == 1
    assert here.remembered() == set()


def test_a_finished_flow_is_forgotten_sooner_where_its_slot_says_the_same(here: Sweeping) -> None:
    here.apply(wish(track=Track.ALL))
    mine = int(np.flatnonzero(transitions.current_of(here.slots()) == here.local(1))[0])
    here.remember(1, mine, 1, closed=1)
    here.remember(2, mine, 1)
    here.remember(3, mine, 2, closed=1)
    assert here.after(FIN).forgotten == 0
    assert here.after(1).forgotten == 1
    assert here.remembered() == {2, 3}


def test_flows_of_services_that_are_gone_are_forgotten(here: Sweeping) -> None:
    here.apply(wish(track=Track.ALL), wish(port=81, track=Track.ALL))
    here.remember(1, 0, 1)
    here.remember(2, 0, 1, port=81)
    here.apply(wish(port=81, track=Track.ALL))
    assert here.sweep().forgotten == 1
    assert here.remembered() == {2}
    here.apply()
    assert here.sweep().forgotten == 1
    assert here.remembered() == set()


def test_flows_of_a_server_that_is_to_be_left_are_forgotten(here: Sweeping) -> None:
    here.apply(wish(track=Track.ALL))
    here.remember(1, 0, 1)
    here.remember(2, 0, 2)
    here.apply(wish(weights={**BEFORE, 2: 0}, flags={2: MOVE}, track=Track.ALL))
    assert here.sweep().forgotten == 1
    assert here.remembered() == {1}


def test_a_settled_slot_needs_no_exception_for_its_own_server(here: Sweeping) -> None:
    here.apply(wish())
    slots = here.slots()
    mine = int(np.flatnonzero(transitions.current_of(slots) == here.local(1))[0])
    here.remember(1, mine, 1)
    here.remember(2, mine, 2)
    assert here.sweep().forgotten == 1
    assert here.remembered() == {2}


@pytest.mark.parametrize(
    "wished", [wish(track=Track.ALL), wish(sticky=Sticky(60))], ids=["track all", "sticky"]
)
def test_unless_every_flow_is_to_be_remembered(here: Sweeping, wished: Wish) -> None:
    here.apply(wished)
    mine = int(np.flatnonzero(transitions.current_of(here.slots()) == here.local(1))[0])
    here.remember(1, mine, 1)
    assert here.sweep().forgotten == 0
    assert here.remembered() == {1}


def test_affinities_live_as_long_as_they_may_be_needed(here: Sweeping) -> None:
    """For the sticky time, and for the old connections that affinity alone keeps together."""
    here.apply(wish(sticky=Sticky(1000)), wish(port=81, weights={9: 1}))
    here.like(1, 0, 1)
    here.like(2, 0, 2)
    assert here.after(1000).forgotten == 0
    here.apply(wish(weights={**BEFORE, 2: 0}, flags={2: MOVE}, sticky=Sticky(1000)))
    assert here.sweep().forgotten == 1
    assert here.liked() == {1}
    assert here.after(1).forgotten == 1
    here.apply(wish(sticky=Sticky(5)))
    here.like(3, 0, 1)
    assert here.after(STALE).forgotten == 0
    assert here.after(1).forgotten == 1
    assert here.liked() == set()


def test_what_a_reload_could_not_end_goes_on(here: Sweeping) -> None:
    """`sticky` was taken out of the file, and stays in force until the data plane is made anew."""
    here.apply(wish(sticky=Sticky(1000)))
    here.like(1, 0, 1)
    here.remember(1, int(np.flatnonzero(transitions.current_of(here.slots()))[0]), 1)
    here.apply(wish())
    assert here.sweep().forgotten == 0
    assert here.after(1000).forgotten == 1
    assert here.liked() == {1}
    assert here.after(1).forgotten == 1


# Slots settle.


def test_slots_settle_when_the_elder_was_not_needed_for_the_stale_time(here: Sweeping) -> None:
    here.apply(wish())
    here.apply(wish(weights=AFTER))
    changed = here.unsettled()
    assert len(changed) > 1000
    report = here.after(STALE)
    assert (report.settled, report.unsettled.total()) == (0, len(changed))
    elders = transitions.elder_of(here.slots())
    for number in BEFORE:
        found = report.elder_slots[here.placed().place, identity(number)]
        assert found == (elders == here.local(number)).sum()
    report = here.after(1)
    assert (report.settled, report.unsettled.total()) == (len(changed), 0)
    assert len(here.unsettled()) == 0


def test_an_elder_that_is_seen_keeps_its_slots(here: Sweeping) -> None:
    here.apply(wish())
    here.apply(wish(weights=AFTER))
    busy = here.unsettled()[:10]
    here.after(STALE)
    sights = here.world.balancer.sights_of(here.placed().table)
    sights["seen"][busy] = here.world.plane.now()
    here.after(1)
    assert here.unsettled().tolist() == busy.tolist()
    here.after(STALE - 1)
    assert here.unsettled().tolist() == busy.tolist()
    here.after(1)
    assert here.unsettled().tolist() == []


def test_an_elder_unseen_for_the_stale_time_is_quiet_though_its_slots_do_not_settle(
    here: Sweeping,
) -> None:
    """There is no other server, so they have nobody to settle on."""
    here.apply(wish(weights={1: 10}))
    here.apply(wish(weights={1: 0}))
    place = here.placed().place
    size = len(here.slots())
    sights = here.world.balancer.sights_of(here.placed().table)
    here.now += 100
    sights["seen"][5] = here.world.plane.now()
    report = here.after(STALE - 99)
    assert report.elder_slots[place, identity(1)] == 1
    assert not report.is_quiet(place, identity(1))
    report = here.after(100)
    assert report.elder_slots[place, identity(1)] == 0
    assert report.is_quiet(place, identity(1))
    assert report.unsettled[place] == size


def test_an_affinity_that_one_of_its_services_still_follows_is_kept(here: Sweeping) -> None:
    links = {80: Sticky(1000, cross=(443,)), 443: Sticky(1000, cross=(80,))}

    def serve(*moving: int) -> None:
        here.apply(*(
            wish(port=port, weights={1: 0, 2: 1}, sticky=sticky,
                 flags={1: MOVE if port in moving else READY})
            for port, sticky in links.items()
        ))  # fmt: skip

    serve()
    here.like(1, 0, 1)
    for port in links:
        serve(port)
        assert here.sweep().forgotten == 0
    serve(*links)
    assert here.sweep().forgotten == 1


def test_a_live_exception_keeps_its_slot_from_settling(here: Sweeping) -> None:
    here.apply(wish())
    here.apply(wish(weights=AFTER))
    kept, other = here.unsettled()[:2].tolist()
    current = transitions.current_of(here.slots())
    of = {here.local(number): number for number in BEFORE}
    foreign = next(n for n in BEFORE if here.local(n) != current[kept])
    here.after(STALE)
    here.remember(1, kept, foreign)
    here.remember(2, other, of[int(current[other])])
    report = here.after(1)
    assert here.unsettled().tolist() == [kept]
    assert report.exceptions == {
        (here.placed().place, identity(foreign)): 1,
        (here.placed().place, identity(of[int(current[other])])): 1,
    }
    assert here.remembered() == {1}, "the other one's slot has settled on its server"
    here.after(STALE)
    assert here.remembered() == set()
    assert here.unsettled().tolist() == []


def test_services_on_one_table_settle_together(here: Sweeping) -> None:
    both = [wish(port=port, weights=BEFORE) for port in (80, 81)]
    here.apply(*both)
    here.apply(*(wish(port=port, weights=AFTER) for port in (80, 81)))
    kept = int(here.unsettled()[0])
    here.after(STALE)
    here.remember(1, kept, 3, port=81)
    report = here.after(1)
    assert here.unsettled(80).tolist() == here.unsettled(81).tolist() == [kept]
    assert set(report.unsettled.values()) == {1}


def test_udp_settles_by_its_own_idle_time(here: Sweeping) -> None:
    udp = Protocol.UDP
    here.apply(wish(port=53, protocol=udp))
    here.apply(wish(port=53, protocol=udp, weights=AFTER))
    here.after(UDP_IDLE)
    assert len(here.unsettled(53))
    here.after(1)
    assert not len(here.unsettled(53))


# Servers leave.


def test_a_server_leaves_when_nothing_names_it_any_more(here: Sweeping) -> None:
    here.apply(wish())
    here.apply(wish(weights={1: 10, 2: 20}))
    number = here.local(3)
    row = here.placed().members.base + number

    def member() -> np.void:
        found: np.void = here.world.plane.maps["members"].view()[row]
        return found

    assert Flag(int(member()["flags"])) == Flag.READY | Flag.AVOID
    slot = int(here.unsettled()[0])
    here.after(STALE)
    here.remember(1, slot, 3)
    assert here.after(1).left == 0, "a flow is left"
    assert here.world.balancer.leaving() == {identity(3)}
    assert here.after(STALE).left == 1
    assert identity(3) not in here.placed().table.locals
    assert not any(member().tobytes())
    assert not here.world.balancer.leaving()
    here.apply(wish(weights={1: 10, 2: 20, 7: 5}))
    assert here.local(7) == number, "its number is free for the next"


def test_a_server_that_comes_back_meanwhile_stays(here: Sweeping) -> None:
    here.apply(wish())
    here.apply(wish(weights={1: 10, 2: 20}))
    here.apply(wish())
    assert here.after(STALE).left == 0
    row = here.world.plane.maps["members"].view()[here.placed().members.base + here.local(3)]
    assert Flag(int(row["flags"])) == Flag.READY


def test_an_affinity_keeps_a_server_from_leaving(here: Sweeping) -> None:
    here.apply(wish(sticky=Sticky(10_000)))
    here.like(1, 0, 3)
    here.apply(wish(weights={1: 10, 2: 20}, sticky=Sticky(10_000)))
    assert here.after(STALE).left == 0
    assert here.after(10_000).left == 1


def test_a_restarted_daemon_goes_on_where_the_old_one_was(here: Sweeping) -> None:
    here.apply(wish())
    here.apply(wish(weights={1: 10, 2: 20}))
    changed = here.unsettled()
    here.after(STALE)
    here.world.upgrade()
    here.apply(wish(weights={1: 10, 2: 20}))
    assert here.unsettled().tolist() == changed.tolist()
    report = here.after(1)
    assert (report.settled, report.left) == (len(changed), 1)


def test_a_daemon_that_has_applied_nothing_yet_forgets_and_settles_nothing(here: Sweeping) -> None:
    """It does not know what the services are like: the kernel may have refused a change."""
    here.apply(wish(sticky=Sticky(1000)))
    here.apply(wish(weights=AFTER, sticky=Sticky(1000)))
    changed = here.unsettled()
    here.remember(1, int(changed[0]), 3)
    here.like(2, 0, 1)
    here.world.restart()
    report = here.after(10 * STALE)
    assert (report.settled, report.forgotten, report.left) == (0, 0, 0)
    assert here.unsettled().tolist() == changed.tolist()
    assert here.remembered() == {1}
    assert report.elder_slots.total() >= len(changed), "nobody is called quiet"


def test_many_flows_are_swept_in_several_batches(
    here: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shunt.dispatcher.sweep._BATCH", 64)
    here.apply(wish())
    here.apply(wish(weights=AFTER))
    slots = here.unsettled().tolist()
    for client in range(1, 1001):
        here.remember(client, slots[client], 3 if client % 2 else 1)
    report = here.sweep()
    place = here.placed().place
    assert report.exceptions == {(place, identity(3)): 500, (place, identity(1)): 500}
    assert report.forgotten == 0
    assert here.after(STALE + 1).forgotten == 1000
