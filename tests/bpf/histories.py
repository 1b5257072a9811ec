"""Flows and what happens to their services, as Hypothesis's rules; the model is plain Python.

The rule that everything here serves: **a live flow never changes its server.** Live is a flow that
has not been idle for longer than its service remembers. Its server may change only if that one is
down and the service says `on_down: move`; with `reset` the flow ends with an answer instead.

The model knows of a flow only who its server was at first, when it was last heard, and whether it
has been closed. It knows nothing of slots, elders and exceptions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, Any, ClassVar

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
from shunt.dispatcher.overrides import Override
from shunt.dispatcher.sweep import FIN as FIN_TIME
from shunt.dispatcher.sweep import sweep
from shunt.dispatcher.wishes import Health, Way, Wish, claim
from shunt.model import config
from shunt.model.config import Member, OnDown, Protocol, Sticky, Track
from tests.bpf.flows import ACK, FIN, PSH, RST, SYN, Flow
from tests.bpf.segment import V4, WEB, ether
from tests.bpf.siphash import siphash
from tests.bpf.world import HASH_KEY, INTERFACE, Server, World, service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.dispatcher.wishes import Claim
    from shunt.model.config import Service
    from tests.bpf.world import Decision

CLUSTER = ip_address(V4.cluster(WEB))
PORTS = (80, 443)
SERVERS = tuple(Server.numbered(n) for n in range(1, 7))
BY_MAC = {server.mac.octets: server.name for server in SERVERS if server.mac}
PLENTY = 1 << 20
MARGIN = 2  # seconds: real time goes on, and both sides count whole seconds
SLOTS, FLOWS_OF_A_SLOT = 6, 4
LEAST_SLOTS = 1 << 10
UNCHANGED = Override()


@dataclass(frozen=True, slots=True)
class Kind:
    """How the two services of a history are configured: alike, but for their ports."""

    name: str
    protocol: Protocol = Protocol.TCP
    options: dict[str, Any] = field(default_factory=dict)
    refuses: bool = False  # insertions may be refused for their rate
    linked: bool = False  # the two share affinities, and so are changed together

    def services(self) -> Iterator[Service]:
        """Return the services."""
        for port in PORTS:
            options = dict(self.options)
            if self.linked:
                (other,) = set(PORTS) - {port}
                options["sticky"] = replace(options["sticky"], cross=(other,))
            yield service(str(CLUSTER), port, self.protocol, **options)


_STICKY = Sticky(time=100)
KINDS = (
    *(
        Kind(f"tcp, track {track}, {down}", Protocol.TCP, {"track": track, "on_down": down},
             refuses=True)
        for track in (Track.AUTO, Track.ALL)
        for down in OnDown
    ),
    *(Kind(f"udp, {down}", Protocol.UDP, {"on_down": down}) for down in OnDown),
    Kind("udp, track all", Protocol.UDP, {"track": Track.ALL}),
    *(Kind(f"tcp, sticky, {down}", Protocol.TCP, {"sticky": _STICKY, "on_down": down})
      for down in OnDown),
    Kind("udp, sticky", Protocol.UDP, {"sticky": _STICKY}),
    Kind("tcp, linked", Protocol.TCP, {"sticky": _STICKY}, linked=True),
)  # fmt: skip


@dataclass(slots=True)
class State:
    """What the model knows of a server in a service."""

    weight: int = 1
    override: Override = UNCHANGED
    up: bool = True

    @property
    def takes_new(self) -> bool:
        return self.up and not self.override.quiesced and self.weight > 0


@dataclass(slots=True)
class Life:
    """What the model knows of a flow. `server` None: its next packet says, for the last is gone."""

    server: str | None
    heard: int
    closed: bool = False


def crowded_flows(protocol: Protocol) -> Iterator[tuple[IPv4Address, int]]:
    """Yield clients with ports, several for each of a few slots of the least table."""
    wanted = {slot * 97 % LEAST_SLOTS: FLOWS_OF_A_SLOT for slot in range(SLOTS)}
    number = 0
    while wanted:
        number += 1
        client, port = IPv4Address("198.51.100.0") + number % 250, 1024 + number // 250
        message = client.packed + port.to_bytes(2) + bytes([protocol.number])
        slot = siphash(HASH_KEY, message, (1, 3)) % LEAST_SLOTS
        if slot in wanted:
            wanted[slot] -= 1
            if not wanted[slot]:
                del wanted[slot]
            yield client, port


CROWDS = {protocol: tuple(crowded_flows(protocol)) for protocol in Protocol}
FEW = tuple((IPv4Address("198.51.100.0") + n % 6, 5000 + n) for n in range(24))

_flow = st.integers(0, 10_000)
_flows = st.lists(_flow, min_size=1, max_size=10)
_port = st.sampled_from(PORTS)
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

    @rule(port=_port, name=_server, weight=st.sampled_from([0, 1, 1, 2, 5]))
    def weigh(self, port: int, name: str, weight: int) -> None:
        self.change(port, name, lambda state: setattr(state, "weight", weight))

    @rule(port=_port, name=_server, now=st.booleans())
    def quiesce(self, port: int, name: str, *, now: bool) -> None:
        override = Override(quiesced=True, now=now)
        self.change(port, name, lambda state: setattr(state, "override", override))

    @rule(port=_port, name=_server)
    def unquiesce(self, port: int, name: str) -> None:
        self.change(port, name, lambda state: setattr(state, "override", UNCHANGED))

    @rule(port=_port, name=_server)
    def down(self, port: int, name: str) -> None:
        self.change(port, name, lambda state: setattr(state, "up", False))

    @rule(port=_port, name=_server)
    def up(self, port: int, name: str) -> None:
        self.change(port, name, lambda state: setattr(state, "up", True))

    @rule(name=_server)
    def add(self, name: str) -> None:
        for states in self.states.values():
            states.setdefault(name, State())
        self.apply()

    @rule(name=_server)
    def remove(self, name: str) -> None:
        for states in self.states.values():
            if len(states) > 1:
                states.pop(name, None)
        self.apply()

    @rule(port=_port)
    def drop(self, port: int) -> None:
        """One of the two services is taken out of the file, and its flows end."""
        if self.present == set(PORTS):
            self.present.remove(port)
            self.lives = {flow: life for flow, life in self.lives.items() if flow.port != port}
            self.apply()

    @rule()
    def take(self) -> None:
        """Both services are in the file."""
        self.present = set(PORTS)
        self.apply()

    # The dispatcher lives.

    @rule(seconds=st.sampled_from([1, 5, 30, 55, 70, 150, 290, 310]))
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    @rule()
    def settle(self) -> None:
        sweep(self.world.balancer)

    @rule()
    def restart(self) -> None:
        self.world.restart()
        self.apply()

    @precondition(lambda self: not self.upgraded)
    @rule()
    def upgrade(self) -> None:
        """Once in a history, for it costs as much as all the rest."""
        self.upgraded = True
        self.world.upgrade()
        self.apply()

    @precondition(lambda self: self.kind.refuses)
    @rule(refusing=st.booleans())
    def refuse(self, *, refusing: bool) -> None:
        self.refusing = refusing
        self.world.settings(exceptions_rate=0 if refusing else PLENTY)

    # Clients.

    @rule(numbers=_flows)
    def open(self, numbers: list[int]) -> None:
        """New connections, or unknown UDP flows; a client may use a port again."""
        for number in numbers:
            self.open_one(self.flows[number % len(self.flows)])

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

    @rule(numbers=_flows)
    def speak(self, numbers: list[int]) -> None:
        for number in numbers:
            self.hear(number, ACK | PSH)

    @rule(number=_flow, flag=st.sampled_from([FIN | ACK, RST]))
    def close(self, number: int, flag: int) -> None:
        flow = self.hear(number, flag)
        if flow in self.lives and self.kind.protocol is Protocol.TCP:
            self.lives[flow].closed = True

    @rule(number=_flow)
    def fail(self, number: int) -> None:
        """A router says that a packet of the flow's server did not get through."""
        flow = self.pick(number)
        if flow is None:
            return
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

    def pick(self, number: int) -> Flow | None:
        live = [flow for flow, life in self.lives.items() if self.lives_on(flow, life)]
        return live[number % len(live)] if live else None

    def hear(self, number: int, flags: int) -> Flow | None:
        """A packet of a live flow comes: to its server, or what the service says if it is down."""
        flow = self.pick(number)
        if flow is None:
            return None
        life = self.lives[flow]
        sent = self.world.send(flow.frame(flags))
        if life.server is not None and self.is_reset(flow, life.server):
            assert sent.cause == ("dropped_no_reset" if flags & RST else self.reset_cause)
            del self.lives[flow]
            return None
        if life.server is None and sent.cause != "forwarded":
            del self.lives[flow]
            return None
        assert sent.verdict is Verdict.TX
        server = self.server_of(sent.frame)
        assert life.server in (None, server), (flow, life, server)
        assert not self.is_moved(flow, server)
        life.server, life.heard = server, self.world.plane.now()
        return flow

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
        state = self.states[flow.port].get(server)
        return self.services[flow.port].on_down is on_down and state is not None and not state.up

    # The world.

    def change(self, port: int, name: str, how: Any) -> None:
        ports = PORTS if self.kind.linked else (port,)
        for each in ports:
            if name in self.states[each]:
                how(self.states[each][name])
        self.apply()

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
