"""Flows and what happens to their services, as Hypothesis's rules; the model is plain Python.

The rule that everything here serves: **a live flow never changes its server.** Live is a flow that
has not been idle for longer than its service remembers. Its server may change only if that one is
down, and then only if the service says `on_down: move`, or if the flow is UDP, for which nothing
tells old from new; with `reset` a TCP flow ends with an answer instead. And no new flow goes to a
server that is down while another takes new ones.

The model knows of a flow only who its server was at first, when it was last heard, and whether it
has been closed. It knows nothing of slots, elders and exceptions. A RST is not heard: it ends a
flow, or somebody has made it up.

Time is the history's own: the program's clock stands but for the seconds that rules let pass. So a
history is the same whenever it is played, and every limit is exact.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from shunt.dataplane.kernel import Verdict
from shunt.dispatcher.sweep import sweep
from shunt.dispatcher.wishes import Health, Way, Wish, claim
from shunt.model import config
from shunt.model.config import Member, OnDown, Protocol
from tests.bpf.flows import ACK, FIN, PSH, RST, SYN, Flow, about
from tests.bpf.kinds import (
    CHANGES,
    OPTIONS,
    PORTS,
    SERVERS,
    Kind,
    Life,
    Some,
    State,
    chosen,
)
from tests.bpf.stepwise import Stepwise
from tests.bpf.world import INTERFACE, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.dispatcher.wishes import Claim
    from shunt.model.config import Service
    from tests.bpf.world import Decision

BY_MAC = {server.mac.octets: server.name for server in SERVERS if server.mac}
PLENTY = 1 << 20
CPUS = sorted(os.sched_getaffinity(0))[:2]
MOST_STEPS = 30  # of a sweep, about

_some = st.tuples(st.integers(0, 47), st.integers(1, 24), st.sampled_from([1, 2, 5]))
_server = st.sampled_from([server.name for server in SERVERS])
_meanwhile = st.sampled_from(["open", "speak", "close", "reset", "refuse", "allow", "lose", "turn"])


class Histories(RuleBasedStateMachine):
    """One history: two services, up to six servers, a crowd of flows."""

    world: ClassVar[World]
    kinds: ClassVar[tuple[Kind, ...]]

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.kind = data.draw(st.sampled_from(self.kinds), label="kind")
        self.services = {s.port: s for s in self.kind.services()}
        first = [server.name for server in SERVERS[:3]]
        self.states = {port: {name: State() for name in first} for port in PORTS}
        self.removed: dict[int, dict[str, State]] = {port: {} for port in PORTS}
        self.lives: dict[Flow, Life] = {}
        self.present = set(PORTS)
        self.flows = self.kind.flows()
        self.rate = PLENTY
        self.upgraded = False
        self.world.begin()
        self.world.settings(exceptions_rate=PLENTY)
        self.world.balancer.apply([])
        for name in ("flows", "newcomers", "affinities"):
            self.world.forget(name)
        self.world.restart()
        self.apply()

    # The services change.

    @rule(
        port=st.sampled_from([None, *PORTS]),
        changes=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(sorted(CHANGES))), min_size=1,
                         max_size=4),
        some=_some,
    )  # fmt: skip
    def change(self, port: int | None, changes: list[tuple[int, str]], some: Some) -> None:
        """Things happen to servers, in one service or in both, while flows come."""
        for number, what in changes:
            name = sorted(self.states[80])[number % len(self.states[80])]
            for each in (port,) if port else PORTS:
                CHANGES[what](self.states[each][name])
            self.apply()
            self.every_live_flow_has_its_server()
            self.open(some)

    @rule(name=_server)
    def add(self, name: str) -> None:
        for port, states in self.states.items():
            states.setdefault(name, State())
            self.removed[port].pop(name, None)
        self.apply()

    @rule(name=_server)
    def remove(self, name: str) -> None:
        """Its flows stay with it; if it is down, they are treated as before."""
        for port, states in self.states.items():
            if len(states) > 1 and name in states:
                left_with = self.services[port].on_down
                self.removed[port][name] = replace(states.pop(name), on_down=left_with)
        self.apply()

    @rule(port=st.sampled_from([None, *PORTS]))
    def edit(self, port: int | None) -> None:
        """One of the two services is taken out of the file, and its flows end; or none is."""
        self.present = set(PORTS) - {port}
        self.lives = {flow: life for flow, life in self.lives.items() if flow.port != port}
        self.apply()

    @rule(port=st.sampled_from(PORTS), data=st.data())
    def configure(self, port: int, data: st.DataObject) -> None:
        """A service is configured otherwise."""
        option = data.draw(st.sampled_from(sorted(OPTIONS)), label="option")
        value = data.draw(st.sampled_from(OPTIONS[option]), label="value")
        self.forget_the_dead()
        self.services[port] = replace(self.services[port], **{option: value})
        self.apply()
        self.forget_the_dead()

    # The dispatcher lives.

    @rule(seconds=st.sampled_from([1, 2, 5, 30, 59, 60, 61, 100, 150, 299, 300, 301]))
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    @rule(cpu=st.sampled_from(CPUS))
    def turn(self, cpu: int) -> None:
        """Packets come to another CPU from now on: its budgets are its own."""
        os.sched_setaffinity(0, {cpu})

    @rule(seconds=st.sampled_from([50, 100, 150, 350]), sweeps=st.booleans())
    def live_on(self, seconds: int, *, sweeps: bool) -> None:
        """Time passes, and every live flow speaks now and then."""
        for _ in range(0, seconds, 50):
            for flow in list(self.lives):
                self.hear(flow, ACK)
            self.world.wait(50)
            if sweeps:
                self.settle()

    @rule()
    def settle(self) -> None:
        sweep(self.world.balancer, Stepwise(self.world.balancer, lambda _: None))

    @rule(
        events=st.lists(
            st.tuples(st.integers(0, MOST_STEPS), _meanwhile, _some), min_size=1, max_size=5
        )
    )
    def settle_amid(self, events: list[tuple[int, str, Some]]) -> None:
        """A sweep, and what happens before some of its steps."""
        coming = defaultdict(list)
        for step, what, some in events:
            coming[step].append((what, some))

        def between(step: int) -> None:
            for what, some in coming[step]:
                self.happen(what, some)

        sweep(self.world.balancer, Stepwise(self.world.balancer, between))

    def happen(self, what: str, some: Some) -> None:
        if what == "open":
            self.open(some)
        elif what == "speak":
            self.speak(some)
        elif what in ("close", "reset"):
            self.close(some, FIN | ACK if what == "close" else RST)
        elif what == "lose":
            self.world.wait(some[2])
        elif what == "turn":
            self.turn(CPUS[some[0] % len(CPUS)])
        elif self.kind.refuses:
            self.refuse(0 if what == "refuse" else PLENTY)

    @rule(upgrade=st.sampled_from([False, False, False, True]))
    def restart(self, *, upgrade: bool) -> None:
        """The daemon starts again, once in a history as another release: that is costly."""
        if upgrade and not self.upgraded:
            self.upgraded = True
            self.world.upgrade()
        else:
            self.world.restart()
        self.apply()

    @precondition(lambda self: self.kind.refuses)
    @rule(rate=st.sampled_from([0, 0, 1, 2, 5, PLENTY, PLENTY]))
    def refuse(self, rate: int) -> None:
        """So many new flows are remembered in a second, on each CPU."""
        self.rate = rate
        self.world.settings(exceptions_rate=rate)

    # Clients.

    @rule(some=_some)
    def open(self, some: Some) -> None:
        """New connections, or unknown UDP flows; a client may use a port again."""
        for flow in chosen(self.flows, some):
            self.open_one(flow)

    def open_one(self, flow: Flow) -> None:
        life = self.lives.get(flow)
        if flow.port not in self.present:
            return
        if life is not None and self.lives_on(flow, life) and not life.closed:
            return
        stored = self.stored()
        said = self.world.trace(flow.frame(SYN))
        sent = self.world.send(flow.frame(SYN))
        self.lives.pop(flow, None)
        if sent.cause == "dropped_no_server":
            assert not self.some_take_new(flow)
            return
        if said.reason == "settled":
            assert self.stored() <= stored, "a SYN in a settled slot was stored"
        if sent.cause == "forwarded":
            self.lives[flow] = Life(self.server_of(sent.frame), self.world.plane.now())
            self.check_new(flow, said)

    @rule(some=_some)
    def speak(self, some: Some) -> None:
        for flow in chosen(list(self.lives), some):
            self.hear(flow, ACK | PSH)

    @rule(some=_some, flag=st.sampled_from([FIN | ACK, RST]))
    def close(self, some: Some, flag: int) -> None:
        for flow in chosen(list(self.lives), some):
            self.hear(flow, flag)
            if flow in self.lives and self.kind.protocol is Protocol.TCP:
                self.lives[flow].closed = True

    @rule(some=_some)
    def fail(self, some: Some) -> None:
        """A router says that packets of the flows' servers did not get through."""
        for flow in chosen(list(self.lives), some):
            if self.lives_on(flow, self.lives[flow]):
                self.fail_one(flow)

    def fail_one(self, flow: Flow) -> None:
        sent = self.world.send(about(flow))
        life = self.lives[flow]
        if life.server is None:
            return
        if sent.cause == "dropped_no_reset":
            assert self.is_reset(flow, life.server)
        else:
            assert sent.cause == "forwarded_icmp_error"
            self.check_server(flow, life.server, self.server_of(sent.frame))

    @invariant()
    def every_live_flow_has_its_server(self) -> None:
        """Asked of the tracing program, which writes nothing."""
        self.forget_the_dead()
        for flow, life in self.lives.items():
            if life.server is None:
                continue
            said = self.world.trace(flow.frame(ACK))
            if said.cause == self.reset_cause:
                assert self.is_reset(flow, life.server), (flow, life, said)
            else:
                self.check_server(flow, life.server, self.member(flow, said))

    # The model.

    def lives_on(self, flow: Flow, life: Life) -> bool:
        """Say whether the flow has been heard so lately that it must be remembered."""
        its_service = self.services[flow.port]
        limit = its_service.stale if flow.protocol is Protocol.TCP else its_service.udp_idle
        return self.world.plane.now() - life.heard <= limit

    def forget_the_dead(self) -> None:
        self.lives = {flow: life for flow, life in self.lives.items() if self.lives_on(flow, life)}

    def check_server(self, flow: Flow, its: str, found: str | None) -> None:
        """Check that a flow is where it was, or has left a server as it may."""
        may_leave = flow.protocol is Protocol.UDP and not self.state(flow, its).up
        if may_leave and found != its:
            assert found is not None
            assert self.state(flow, found).up, (flow, its, found)
        else:
            assert found == its, (flow, its, found)
            assert not self.is_reset(flow, its)

    def hear(self, flow: Flow, flags: int) -> None:
        """A packet of a flow comes: to its server, or what the service says if that is down."""
        life = self.lives[flow]
        if not self.lives_on(flow, life):
            del self.lives[flow]
            return
        sent = self.world.send(flow.frame(flags))
        if sent.cause in (self.reset_cause, "dropped_no_reset"):
            assert life.server is not None
            assert self.is_reset(flow, life.server)
            assert sent.cause == ("dropped_no_reset" if flags & RST else self.reset_cause)
            del self.lives[flow]
            return
        if life.server is None and sent.cause != "forwarded":
            del self.lives[flow]
            return
        assert sent.verdict is Verdict.TX
        server = self.server_of(sent.frame)
        if life.server is not None:
            self.check_server(flow, life.server, server)
        assert not self.is_moved(flow, server)
        life.server = server
        if not flags & RST or flow.protocol is not Protocol.TCP:
            life.heard = self.world.plane.now()

    def check_new(self, flow: Flow, said: Decision) -> None:
        """A new connection goes where new ones may go, or to its client's own server."""
        server = self.lives[flow].server
        assert server is not None
        assert not self.is_moved(flow, server)
        state = self.state(flow, server)
        if said.reason == "settled" or (said.reason == "new_flow" and self.rate):
            assert self.takes_new(flow, server), (flow, server, said)
        if flow.protocol is Protocol.UDP and said.reason == "exception":
            return  # it is not new to the program
        assert state.up or not self.some_take_new(flow), "a new flow for a server that is down"
        if flow.protocol is Protocol.TCP and said.reason != "exception":
            assert not self.is_avoided(flow, server), (flow, server, said)

    def state(self, flow: Flow, server: str) -> State:
        """Return what is known of a server in the flow's service, also of one that has left it."""
        return (self.removed[flow.port] | self.states[flow.port])[server]

    def agreeing(self, flow: Flow) -> tuple[int, ...]:
        """Return the ports of the services that agree on who takes the flow, if it is new."""
        return PORTS if self.kind.linked and self.present == set(PORTS) else (flow.port,)

    def takes_new(self, flow: Flow, server: str) -> bool:
        states = [self.states[port].get(server) for port in self.agreeing(flow)]
        return all(state is not None and state.takes_new for state in states)

    def is_avoided(self, flow: Flow, server: str) -> bool:
        states = [self.states[port].get(server) for port in self.agreeing(flow)]
        return any(state is None or state.avoided for state in states)

    def some_take_new(self, flow: Flow) -> bool:
        return any(self.takes_new(flow, server) for server in self.states[flow.port])

    @property
    def reset_cause(self) -> str:
        return "answered_reset" if self.kind.protocol is Protocol.TCP else "dropped_no_reset"

    def is_reset(self, flow: Flow, server: str) -> bool:
        return self._is_down(flow, server, OnDown.RESET)

    def is_moved(self, flow: Flow, server: str) -> bool:
        return self._is_down(flow, server, OnDown.MOVE)

    def _is_down(self, flow: Flow, server: str, on_down: OnDown) -> bool:
        state = self.state(flow, server)
        holds = state.on_down or self.services[flow.port].on_down
        return holds is on_down and not state.up

    # The world.

    def apply(self) -> None:
        self.world.balancer.apply([
            Wish(self.services[port], tuple(self.claims(self.services[port])))
            for port in sorted(self.present)
        ])  # fmt: skip
        for flow, life in tuple(self.lives.items()):
            if life.server is not None and self.is_moved(flow, life.server):
                life.server = None
                if flow.protocol is Protocol.TCP:  # the next server resets it
                    del self.lives[flow]

    def claims(self, its: Service) -> Iterator[Claim]:
        for server in SERVERS:
            state = self.states[its.port].get(server.name)
            if state is None:
                continue
            yield claim(
                its,
                config.Server(server.name, (server.address,)),
                Member(server.name, state.weight),
                state.override,
                Way(server.mac, INTERFACE),
                Health(up=state.up, reason=None if state.up else "it does not answer"),
            )

    def member(self, flow: Flow, said: Decision) -> str | None:
        """Return the name of the server that the tracing program chose."""
        table = self.world.balancer.placed[flow.cluster, flow.protocol, flow.port].table
        for identity, number in table.locals.items():
            if number == said.member:
                return next(s.name for s in SERVERS if s.claim().identity == identity)
        return None

    def server_of(self, frame: bytes) -> str:
        return BY_MAC[frame[:6]]

    def stored(self) -> int:
        return len(self.world.plane.maps["flows"].items()[0])
