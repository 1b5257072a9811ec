"""Flows and what happens to their services, as Hypothesis's rules; the model is plain Python.

The rule that everything here serves: **a live flow never changes its server.** Live is a flow that
has not been idle for longer than its service remembers. Its server may change only if that one is
down and the service says `on_down: move`; with `reset` the flow ends with an answer instead.

The model knows of a flow only who its server was at first, when it was last heard, and whether it
has been closed. It knows nothing of slots, elders and exceptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from scapy.layers.inet import ICMP, IP

from shunt.dataplane.kernel import Verdict
from shunt.dispatcher.sweep import FIN as FIN_TIME
from shunt.dispatcher.sweep import sweep
from shunt.dispatcher.wishes import Health, Way, Wish, claim
from shunt.model import config
from shunt.model.config import Member, OnDown, Protocol
from tests.bpf.flows import ACK, FIN, PSH, RST, SYN, Flow
from tests.bpf.kinds import (
    CHANGES,
    CLUSTER,
    CROWDS,
    FEW,
    PORTS,
    SERVERS,
    Kind,
    Life,
    Some,
    State,
    chosen,
)
from tests.bpf.segment import V4, WEB, ether
from tests.bpf.world import INTERFACE, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.dispatcher.wishes import Claim
    from shunt.model.config import Service
    from tests.bpf.world import Decision

BY_MAC = {server.mac.octets: server.name for server in SERVERS if server.mac}
PLENTY = 1 << 20
MARGIN = 2  # seconds: real time goes on, and both sides count whole seconds

_some = st.tuples(st.integers(0, 47), st.integers(1, 24), st.sampled_from([1, 2, 5]))
_server = st.sampled_from([server.name for server in SERVERS])


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
        crowd = FEW if self.services[80].sticky else CROWDS[self.kind.protocol]
        self.flows = [
            Flow(self.kind.protocol, client, client_port, CLUSTER, port)
            for client, client_port in crowd
            for port in PORTS
        ]
        self.refusing = self.upgraded = False
        self.world.settings(exceptions_rate=PLENTY)
        self.world.balancer.apply([])
        for name in ("flows", "affinities"):
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
            for each in (port,) if port and not self.kind.linked else PORTS:
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
                self.removed[port][name] = states.pop(name)
        self.apply()

    @rule(port=st.sampled_from([None, *PORTS]))
    def edit(self, port: int | None) -> None:
        """One of the two services is taken out of the file, and its flows end; or none is."""
        self.present = set(PORTS) - {port}
        self.lives = {flow: life for flow, life in self.lives.items() if flow.port != port}
        self.apply()

    # The dispatcher lives.

    @rule(seconds=st.sampled_from([1, 5, 30, 55, 70, 150, 290, 310]))
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    @rule(seconds=st.sampled_from([50, 100, 150, 350]), sweeps=st.booleans())
    def live_on(self, seconds: int, *, sweeps: bool) -> None:
        """Time passes, and every live flow speaks now and then."""
        for _ in range(0, seconds, 50):
            for flow in list(self.lives):
                self.hear(flow, ACK)
            self.world.wait(50)
            if sweeps:
                sweep(self.world.balancer)

    @rule()
    def settle(self) -> None:
        sweep(self.world.balancer)

    @rule(upgrade=st.booleans())
    def restart(self, *, upgrade: bool) -> None:
        """The daemon starts again, once in a history as another release: that is costly."""
        if upgrade and not self.upgraded:
            self.upgraded = True
            self.world.upgrade()
        else:
            self.world.restart()
        self.apply()

    @precondition(lambda self: self.kind.refuses)
    @rule(refusing=st.booleans())
    def refuse(self, *, refusing: bool) -> None:
        self.refusing = refusing
        self.world.settings(exceptions_rate=0 if refusing else PLENTY)

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
            assert not any(state.takes_new for state in self.states[flow.port].values())
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
        inner = IP(src=str(flow.cluster), dst=str(flow.client), proto=flow.protocol.number)
        ports = flow.port.to_bytes(2) + flow.client_port.to_bytes(2) + bytes(4)
        about = ether() / V4.ip(WEB, src=V4.router) / ICMP(type=3, code=4) / bytes(inner / ports)
        sent = self.world.send(bytes(about))
        life = self.lives[flow]
        if life.server is None:
            return
        if self.is_reset(flow, life.server):
            assert sent.cause == "dropped_no_reset"
        else:
            assert sent.cause == "forwarded_icmp_error"
            assert self.server_of(sent.frame) == life.server

    @invariant()
    def every_live_flow_has_its_server(self) -> None:
        """Asked of the tracing program, which writes nothing."""
        for flow, life in list(self.lives.items()):
            if not self.lives_on(flow, life):
                del self.lives[flow]
            elif life.server is not None:
                said = self.world.trace(flow.frame(ACK))
                if self.is_reset(flow, life.server):
                    assert said.cause == self.reset_cause, (flow, life, said)
                else:
                    assert self.member(flow, said) == life.server, (flow, life, said)

    # The model.

    def lives_on(self, flow: Flow, life: Life) -> bool:
        """Say whether the flow has been heard so lately that it must be remembered."""
        its_service = self.services[flow.port]
        limit = its_service.stale if flow.protocol is Protocol.TCP else its_service.udp_idle
        if life.closed:
            limit = min(limit, FIN_TIME)
        return self.world.plane.now() - life.heard <= limit - MARGIN

    def hear(self, flow: Flow, flags: int) -> None:
        """A packet of a flow comes: to its server, or what the service says if that is down."""
        life = self.lives[flow]
        if not self.lives_on(flow, life):
            del self.lives[flow]
            return
        sent = self.world.send(flow.frame(flags))
        if life.server is not None and self.is_reset(flow, life.server):
            assert sent.cause == ("dropped_no_reset" if flags & RST else self.reset_cause)
            del self.lives[flow]
            return
        if life.server is None and sent.cause != "forwarded":
            del self.lives[flow]
            return
        assert sent.verdict is Verdict.TX
        server = self.server_of(sent.frame)
        assert life.server in (None, server), (flow, life, server)
        assert not self.is_moved(flow, server)
        life.server, life.heard = server, self.world.plane.now()

    def check_new(self, flow: Flow, said: Decision) -> None:
        """A new connection goes where new ones may go, or to its client's own server."""
        server = self.lives[flow].server
        assert server is not None
        assert not self.is_moved(flow, server)
        state = self.states[flow.port].get(server)
        if said.reason == "settled" or (said.reason == "new_flow" and not self.refusing):
            assert state is not None
            assert state.takes_new, (flow, server, said)
        if said.reason == "affinity" and self.kind.protocol is Protocol.TCP:
            assert state is None or state.up, "new connections for a server that is down"

    @property
    def reset_cause(self) -> str:
        return "answered_reset" if self.kind.protocol is Protocol.TCP else "dropped_no_reset"

    def is_reset(self, flow: Flow, server: str) -> bool:
        return self._is_down(flow, server, OnDown.RESET)

    def is_moved(self, flow: Flow, server: str) -> bool:
        return self._is_down(flow, server, OnDown.MOVE)

    def _is_down(self, flow: Flow, server: str, on_down: OnDown) -> bool:
        state = (self.removed[flow.port] | self.states[flow.port]).get(server)
        return self.services[flow.port].on_down is on_down and state is not None and not state.up

    # The world.

    def apply(self) -> None:
        self.world.balancer.apply([
            Wish(self.services[port], tuple(self.claims(self.services[port])))
            for port in sorted(self.present)
        ])  # fmt: skip
        for flow, life in self.lives.items():
            if life.server is not None and self.is_moved(flow, life.server):
                life.server = None

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
