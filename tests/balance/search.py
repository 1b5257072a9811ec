"""Every state that one flow and its slot can be in, with a packet before every step of a sweep.

An explicit-state search. What is modelled: the program's side (`bpf/track.h`, `remember.h`) in
plain Python; the slot by `transitions` itself; the sweep (`dispatcher/sweep.py`) step by step.
One flow is looked at. All others are its environment: they may at any time refresh the elder's
sight, put the end of `udp_idle` off, or keep the slot from settling. So what holds here holds
for any number of flows and slots. A packet is one step: nothing else happens inside it.

Times are ages in seconds, up to one that is as good as any later; `stale` is a few seconds long.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from shunt.balance import transitions
from shunt.balance.transitions import GONE, NONE, SETTLED
from shunt.dispatcher.sweep_maps import FLOWS
from shunt.model.config import OnDown

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOW = 1000
_RESTED = 1  # seconds that a sweep may take
FINISHED = 1  # seconds of silence after a FIN or RST; then a SYN begins another flow


class Rule(enum.Enum):
    """What keeps packets and sweeps from disturbing each other (docs/decisions/0085)."""

    HEARD = "a newcomer that is admitted was heard just now"
    HOLD = "no flow begins at an elder while slots settle"
    ORDER = "newcomers are read before flows"
    LOOK_AGAIN = "what looks dead is looked at again before it is removed"
    READ_AGAIN = "exceptions are read again after slots have settled"


class Status(enum.Enum):
    """What a server takes."""

    UP = "all"
    AVOIDED = "its own flows"
    DOWN = "what `on_down` says"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is searched.

    Attributes:
        stale: seconds after which an idle flow counts as dead; `udp_idle` of UDP.
        rules: those that are kept.
        quiesce: whether servers are quiesced at once, too.
        sticky: seconds of client affinity; 0: none.
    """

    servers: int = 2
    udp: bool = False
    track_all: bool = False
    on_down: OnDown = OnDown.KEEP
    stale: int = 2
    quiesce: bool = False
    sticky: int = 0
    rules: frozenset[Rule] = frozenset(Rule)

    def __str__(self) -> str:
        words = [f"{self.servers} servers", "udp" if self.udp else "tcp", str(self.on_down)]
        words += ["track all"] * self.track_all + ["quiesce"] * self.quiesce
        words += [f"sticky {self.sticky}"] * bool(self.sticky)
        return ", ".join([*words, f"stale {self.stale}"])

    @property
    def oldest(self) -> int:
        """Return the age that stands for itself and all greater ones."""
        return max(self.stale, self.sticky) + _RESTED + 1


class Entry(NamedTuple):
    """What is remembered of the flow."""

    member: int
    age: int
    closed: bool = False


class Life(NamedTuple):
    """The flow itself: its server, and for how long it has been silent."""

    server: int
    silent: int


class Sweep(NamedTuple):
    """A sweep under way: its next step, and what it has found so far.

    Attributes:
        begun: how long ago it noted the time.
        dead: the entry that it read as dead in the map that it is reading.
        foreign: it has found the flow alive and at another server than the slot's.
        needless: the maps where it has found it at the slot's server, so that a settled slot says
            the same.
        settles: the slot is to settle.
    """

    step: int = 0
    begun: int = 0
    dead: Entry | None = None
    foreign: bool = False
    needless: tuple[str, ...] = ()
    settles: bool = False


class State(NamedTuple):
    """All that there is. `wanted`: flags are written, and the slot not yet."""

    current: int
    elder: int
    since: int
    seen: int
    statuses: tuple[Status, ...]
    flows: Entry | None = None
    newcomers: Entry | None = None
    affinities: Entry | None = None
    life: Life | None = None
    hold: bool = False
    wanted: int | None = None
    sweep: Sweep | None = None


class BrokenError(Exception):
    """A live flow went to another server."""


@cache
def _shift(
    current: int, elder: int, since: int, seen: int, wanted: int, gone: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Return the slot after a change, as `Balancer.write` leaves it."""
    slots = np.atleast_1d(transitions.word(current, elder))
    sights = np.array([(_NOW - since, _NOW - seen)], transitions.SIGHT)
    change = transitions.shift(slots, sights, np.array([wanted], np.uint16), gone, _NOW)
    if not len(change.indices):
        return current, elder, since, seen
    word = int(change.slots[0])
    since = min(since, _NOW - int(change.sights["since"][0]))
    seen = min(seen, _NOW - int(change.sights["seen"][0]))
    return word & 0xFFFF, word >> 16, since, seen


@cache
def _settles(current: int, elder: int, since: int, seen: int, begun: int, stale: int) -> bool:
    slots = np.atleast_1d(transitions.word(current, elder))
    sights = np.array([(_NOW - since, _NOW - seen)], transitions.SIGHT)
    foreign = np.zeros(1, np.bool_)
    change = transitions.settle(slots, sights, foreign, _NOW - begun, stale)
    return len(change.indices) == 1


class Search:
    """The state space of a setting."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.rules = setting.rules
        up = (Status.UP,) * setting.servers
        self.first = State(0, SETTLED, setting.oldest, setting.oldest, up)

    def run(self) -> tuple[int, list[str] | None]:
        """Visit every state; return how many there are, and the way to a broken flow, if any."""
        before: dict[State, tuple[State, str] | None] = {self.first: None}
        waiting = deque([self.first])
        while waiting:
            state = waiting.popleft()
            moves = self.moves(state)
            while True:
                try:
                    step = next(moves, None)
                except BrokenError as broken:
                    return len(before), [*_way(before, state), str(broken)]
                if step is None:
                    break
                name, after = step
                after = self.canonical(after)
                if after not in before:
                    before[after] = (state, name)
                    waiting.append(after)
        return len(before), None

    def canonical(self, state: State) -> State:
        """Return the state without what can make no difference any more."""
        oldest, life = self.setting.oldest, state.life
        if life is not None and life.silent > self.setting.stale:
            life = None
        since, seen = state.since, state.seen
        if state.elder == SETTLED:
            since = seen = oldest
        elif not self.setting.udp:
            since = seen = min(since, seen)
        return state._replace(life=life, since=since, seen=seen)

    # What may happen.

    def moves(self, state: State) -> Iterator[tuple[str, State]]:
        """Yield what may happen next.

        Raises:
            BrokenError: it happened.
        """
        yield from self._packets(state)
        yield from self._others(state)
        if state.sweep is not None:
            yield from self._sweep(state, state.sweep)
        elif state.wanted is not None:
            yield "slot", self._shifted(state)
        else:
            yield from self._changes(state)
            yield "sweep", state._replace(sweep=Sweep())
        if state.sweep is None or state.sweep.begun < _RESTED:
            yield "second", self._later(state)

    def _later(self, state: State) -> State:
        oldest, sweep = self.setting.oldest, state.sweep

        def aged(entry: Entry | None) -> Entry | None:
            return entry and entry._replace(age=min(entry.age + 1, oldest))

        if sweep is not None:
            sweep = sweep._replace(begun=sweep.begun + 1, dead=aged(sweep.dead))
        return state._replace(
            since=min(state.since + 1, oldest),
            seen=min(state.seen + 1, oldest),
            flows=aged(state.flows),
            newcomers=aged(state.newcomers),
            affinities=aged(state.affinities),
            life=state.life and state.life._replace(silent=state.life.silent + 1),
            sweep=sweep,
        )

    def _others(self, state: State) -> Iterator[tuple[str, State]]:
        """Other flows of the slot: they live at the elder, or begin there."""
        if self.setting.sticky:
            yield from self._of_client(state)
        if state.elder in (SETTLED, GONE) or self._moves(state, state.elder):
            return
        yield "another of the elder", state._replace(seen=0)
        if self.setting.udp and state.since <= self.setting.stale:
            yield "another is refused", state._replace(since=0, seen=0)

    def _of_client(self, state: State) -> Iterator[tuple[str, State]]:
        """Other flows of the same client: they have its affinity, or begin it."""
        if (known := state.affinities) is not None:
            for refused in (False, True):
                for syn in (False, True):
                    after, _ = self._follow_affinity(
                        state, known, refused, syn=syn, end=False, reset=False
                    )
                    yield "another of the client", state._replace(affinities=after.affinities)
            return
        takers = {state.current} if state.elder in (SETTLED, GONE) else {state.current, state.elder}
        for server in takers - {NONE}:
            if not self._moves(state, server):
                seen = 0 if server == state.elder else state.seen
                yield (
                    "a first one of the client",
                    state._replace(affinities=Entry(server, 0), seen=seen),
                )

    def _changes(self, state: State) -> Iterator[tuple[str, State]]:
        """The balancer writes flags, and wants the slot for somebody."""
        for server, status in enumerate(state.statuses):
            for new in Status:
                if new is Status.AVOIDED and not self.setting.quiesce:
                    continue
                statuses = (*state.statuses[:server], new, *state.statuses[server + 1 :])
                changes = f"{server} {new.name}" if new is not status else ""
                yield from self._wanted(state, statuses, changes)

    def _wanted(
        self, state: State, statuses: tuple[Status, ...], name: str
    ) -> Iterator[tuple[str, State]]:
        takers = [n for n, status in enumerate(statuses) if status is Status.UP] or [NONE]
        for wanted in takers:
            if not name and wanted == state.current:
                continue
            changed = state._replace(statuses=statuses, wanted=wanted)
            if state.life is not None and self._moves(changed, state.life.server):
                changed = changed._replace(life=None)
            yield f"{name or 'weights'}: {wanted} wanted", changed

    def _shifted(self, state: State) -> State:
        assert state.wanted is not None
        gone = tuple(n for n in range(self.setting.servers) if self._moves(state, n))
        current, elder, since, seen = _shift(
            state.current, state.elder, state.since, state.seen, state.wanted, gone
        )
        return state._replace(current=current, elder=elder, since=since, seen=seen, wanted=None)

    # Packets.

    def _packets(self, state: State) -> Iterator[tuple[str, State]]:
        for refused in (False, True):
            word = "refused " if refused else ""
            if state.life is None:
                after, server = self._program(state, refused, syn=True)
                lost = server == NONE or self._moves(state, server)
                life = None if lost else Life(server, 0)
                yield f"{word}SYN", after._replace(life=life)
                continue
            for end in (False,) if self.setting.udp else (False, True):
                after, server = self._program(state, refused, end=end)
                yield f"{word}{'FIN' if end else 'ACK'}", self._heard(after, state.life, server)
            if not self.setting.udp:
                after, _ = self._program(state, refused, end=True, reset=True)
                yield f"{word}RST", after._replace(life=None)
                yield f"{word}made-up RST", after

    def _heard(self, state: State, life: Life, server: int) -> State:
        """Judge where a live flow's packet went.

        Raises:
            BrokenError: it did not go where it must.
        """
        down = state.statuses[life.server] is Status.DOWN
        if server != life.server and not (down and self._may_take(state, server)):
            raise BrokenError(f"a packet of {life.server}'s flow goes to {server}")
        ends = down and self.setting.on_down is OnDown.RESET
        return state._replace(life=None if ends else Life(server, 0))

    def _may_take(self, state: State, server: int) -> bool:
        """Say whether a UDP flow may leave for this server when its own is down."""
        if not self.setting.udp or server == NONE:
            return False
        return state.statuses[server] is Status.UP or state.wanted is not None

    def _moves(self, state: State, server: int) -> bool:
        return state.statuses[server] is Status.DOWN and self.setting.on_down is OnDown.MOVE

    def _program(
        self,
        state: State,
        refused: bool,
        *,
        syn: bool = False,
        end: bool = False,
        reset: bool = False,
    ) -> tuple[State, int]:
        """Return the state after a packet, and the server that it goes to."""
        syn = syn and not self.setting.udp
        if state.elder == SETTLED and not self.setting.track_all and not self.setting.sticky:
            return state, state.current
        state, found = self._follow(state, refused, syn=syn, end=end)
        if found is not None:
            return self._renewed(state, found) if not reset else state, found
        if self.setting.sticky:
            if (known := state.affinities) is not None:
                return self._follow_affinity(state, known, refused, syn=syn, end=end, reset=reset)
            state, server = self._by_slot(state, refused, syn=syn, end=end, reset=reset)
            return self._liked(state, server), server
        return self._by_slot(state, refused, syn=syn, end=end, reset=reset)

    def _by_slot(
        self, state: State, refused: bool, *, syn: bool, end: bool, reset: bool
    ) -> tuple[State, int]:
        """`choose_unsettled`, and what goes before."""
        if state.elder == SETTLED:
            if self.setting.track_all:
                state, _ = self._recorded(state, state.current, refused, end=end)
            return state, state.current
        elder = GONE if state.elder != GONE and self._moves(state, state.elder) else state.elder
        if self.setting.udp:
            return self._choose_udp(state, elder, refused)
        return self._choose_tcp(state, elder, refused, syn=syn, end=end, reset=reset)

    def _liked(self, state: State, server: int) -> State:
        """`record_affinity`; it is not refused here."""
        return state if server == NONE else state._replace(affinities=Entry(server, 0))

    def _renewed(self, state: State, server: int) -> State:
        """`renew_affinity`."""
        known = state.affinities
        if known is None or known.member != server or state.statuses[server] is not Status.UP:
            return state
        return state._replace(affinities=known._replace(age=0))

    def _follow_affinity(
        self, state: State, known: Entry, refused: bool, *, syn: bool, end: bool, reset: bool
    ) -> tuple[State, int]:
        """`follow_affinity` and what it calls."""
        status, current = state.statuses[known.member], state.current
        renewed = state if reset else state._replace(affinities=known._replace(age=0))
        if self._moves(state, known.member):
            return self._beside(state, refused, syn=syn, end=end)
        if not self.setting.udp:
            avoid = status is not Status.UP
            if syn and (avoid or known.age > self.setting.sticky):
                if current == NONE:
                    return state, NONE
                after, kept = self._recorded(state, current, refused, badly=avoid)
                if kept:
                    return after, current
            return renewed, known.member
        if status is Status.UP:
            return renewed, known.member
        early = known.age <= self.setting.stale
        if early and (status is not Status.DOWN or current == NONE):
            after, kept = self._recorded(state, known.member, refused)
            return (after if kept else renewed), known.member
        after, server = self._beside(state, refused, syn=syn, end=end)
        return (after if early else self._liked(after, server)), server

    def _beside(self, state: State, refused: bool, *, syn: bool, end: bool) -> tuple[State, int]:
        """`go_beside`."""
        if state.current == NONE:
            return state, NONE
        if syn or self.setting.udp:
            state, _ = self._recorded(state, state.current, refused, badly=True, end=end)
        return state, state.current

    def _follow(
        self, state: State, refused: bool, *, syn: bool, end: bool
    ) -> tuple[State, int | None]:
        """`follow_flow` and `find_newcomer`."""
        entry, lost = state.flows, False
        if entry is None and (entry := state.newcomers) is not None and not syn and not refused:
            state = state._replace(flows=entry, newcomers=None)
            lost = Rule.HEARD not in self.rules
        if entry is None:
            return state, None
        over = entry.closed and entry.age > FINISHED
        is_down = state.statuses[entry.member] is Status.DOWN
        if self._moves(state, entry.member) or (syn and (over or is_down)):
            return state._replace(flows=None, newcomers=None), None
        heard = Entry(entry.member, 0, end or (entry.closed and not syn))
        if lost:
            return state, entry.member
        if state.flows is not None:
            return state._replace(flows=heard), entry.member
        return state._replace(newcomers=heard), entry.member

    def _recorded(
        self, state: State, member: int, refused: bool, *, badly: bool = False, end: bool = False
    ) -> tuple[State, bool]:
        """`record_flow`."""
        if member == NONE:
            return state, False
        if not refused:
            return state._replace(flows=Entry(member, 0, end)), True
        if badly:
            return state._replace(newcomers=Entry(member, 0, end)), True
        return state, False

    def _choose_tcp(
        self, state: State, elder: int, refused: bool, *, syn: bool, end: bool, reset: bool
    ) -> tuple[State, int]:
        avoided = elder != GONE and state.statuses[elder] is not Status.UP
        if syn:
            if state.current == NONE:
                return state, NONE
            held = state.hold and Rule.HOLD in self.rules
            state, kept = self._recorded(state, state.current, refused, badly=avoided or held)
            if kept or elder == GONE:
                return state, state.current
        elif elder == GONE:
            return state, state.current
        if not reset:
            state = state._replace(seen=0)
        if self.setting.track_all and not syn:
            state, _ = self._recorded(state, elder, refused, end=end)
        return state, elder

    def _choose_udp(self, state: State, elder: int, refused: bool) -> tuple[State, int]:
        early = state.since <= self.setting.stale
        leaves = elder != GONE and state.current != NONE
        leaves = leaves and state.statuses[elder] is Status.DOWN
        if early and elder != GONE and not leaves:
            state, kept = self._recorded(state._replace(seen=0), elder, refused)
            return (state if kept else state._replace(since=0)), elder
        return self._recorded(state, state.current, refused, badly=True)[0], state.current

    # The sweep.

    def _sweep(self, state: State, sweep: Sweep) -> Iterator[tuple[str, State]]:
        reading = (*(FLOWS if Rule.ORDER in self.rules else FLOWS[::-1]), "affinities")
        following = sweep._replace(step=sweep.step + 1)
        match sweep.step:
            case 0 | 2 | 4:
                name = reading[sweep.step // 2]
                yield f"read {name}", state._replace(sweep=self._read(state, following, name))
            case 1 | 3 | 5:
                name = reading[sweep.step // 2]
                after = self._taken(state, following, name)
                done = sweep.step == 3 and not self.setting.sticky
                yield f"take {name}", self._next(after, after.sweep, 6) if done else after
            case 6:
                yield "nothing settles", self._next(state, following, 12)
                if not sweep.foreign and self._ready(state, sweep):
                    yield "hold", state._replace(hold=True, sweep=following)
            case 7:
                settles = self._ready(state, sweep)
                yield "sights", state._replace(sweep=following._replace(settles=settles))
            case 8:
                settled = state._replace(sweep=following)
                yield "settle", settled._replace(elder=SETTLED) if sweep.settles else settled
            case 9:
                released = state._replace(hold=False)
                if Rule.READ_AGAIN in self.rules:
                    following = following._replace(needless=())
                    yield "release", released._replace(sweep=following)
                else:
                    yield "release", self._next(released, sweep, 12)
            case 10 | 11:
                name = FLOWS[sweep.step - 10]
                found = self._found(state, following, name)
                yield f"read {name} again", state._replace(sweep=found)
            case _:
                name = FLOWS[sweep.step - 12]
                drops = name in sweep.needless and state.elder == SETTLED
                dropped = self._without(state, name) if drops else state
                done = sweep.step == 13
                yield f"drop {name}", dropped._replace(sweep=None if done else following)

    def _next(self, state: State, sweep: Sweep | None, step: int) -> State:
        assert sweep is not None
        return state._replace(sweep=sweep._replace(step=step))

    def _without(self, state: State, name: str) -> State:
        if name == "affinities":
            return state._replace(affinities=None)
        return state._replace(flows=None) if name == "flows" else state._replace(newcomers=None)

    def _ready(self, state: State, sweep: Sweep) -> bool:
        if state.elder == SETTLED:
            return False
        return _settles(
            state.current, state.elder, state.since, state.seen, sweep.begun, self.setting.stale
        )

    def _read(self, state: State, sweep: Sweep, name: str) -> Sweep:
        entry: Entry | None = getattr(state, name)
        if entry is None:
            return sweep._replace(dead=None)
        limit = self.setting.stale
        if name == "affinities":
            limit = max(limit, self.setting.sticky)
        alive = entry.age - sweep.begun <= limit
        if alive and not self._moves(state, entry.member):
            return self._found(state, sweep, name)
        return sweep._replace(dead=entry)

    def _found(self, state: State, sweep: Sweep, name: str) -> Sweep:
        entry: Entry | None = getattr(state, name)
        if entry is None:
            return sweep
        own = entry.member == state.current
        needless = own and (entry.closed or not self.setting.track_all)
        needless = needless and not self.setting.sticky  # beside an affinity it says more
        return sweep._replace(
            dead=None,
            foreign=sweep.foreign or not own,
            needless=(*sweep.needless, name) if needless else sweep.needless,
        )

    def _taken(self, state: State, sweep: Sweep, name: str) -> State:
        entry: Entry | None = getattr(state, name)
        if sweep.dead is None or entry is None:
            return state._replace(sweep=sweep._replace(dead=None))
        if entry != sweep.dead and Rule.LOOK_AGAIN in self.rules:
            return state._replace(sweep=self._found(state, sweep, name))
        return self._without(state, name)._replace(sweep=sweep._replace(dead=None))


def _way(before: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    way: list[str] = []
    step = before[state]
    while step is not None:
        state, name = step
        way.append(name)
        step = before[state]
    return way[::-1]
