"""What histories are made of: kinds of services, servers' states, flows' lives, and a crowd."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from shunt.dispatcher.overrides import Override
from shunt.model.config import OnDown, Protocol, Sticky, Track
from tests.bpf.flows import Flow
from tests.bpf.segment import V4, V6, WEB
from tests.bpf.siphash import siphash
from tests.bpf.world import HASH_KEY, Server, service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from shunt.model.addresses import Address
    from shunt.model.config import Service

CLUSTERS = {family.version: ip_address(family.cluster(WEB)) for family in (V4, V6)}
PORTS = (80, 443)
SERVERS = tuple(Server.numbered(n) for n in range(1, 7))
SLOTS, FLOWS_OF_A_SLOT = 6, 4
LEAST_SLOTS = 1 << 10
UNCHANGED = Override()


@dataclass(frozen=True, slots=True)
class Kind:
    """How the two services of a history are configured at first: alike, but for their ports."""

    name: str
    protocol: Protocol = Protocol.TCP
    options: dict[str, Any] = field(default_factory=dict)
    refuses: bool = False  # insertions may be refused for their rate
    linked: bool = False  # the two share affinities
    version: int = 4

    @property
    def cluster(self) -> Address:
        return CLUSTERS[self.version]

    def flows(self) -> list[Flow]:
        """Return the flows that there may be."""
        crowd = (
            FEW[self.version] if "sticky" in self.options else CROWDS[self.protocol, self.version]
        )
        return [
            Flow(self.protocol, client, client_port, self.cluster, port)
            for client, client_port in crowd
            for port in PORTS
        ]

    def services(self) -> Iterator[Service]:
        """Return the services."""
        for port in PORTS:
            options = dict(self.options)
            if self.linked:
                (other,) = set(PORTS) - {port}
                options["sticky"] = replace(options["sticky"], cross=(other,))
            yield service(str(self.cluster), port, self.protocol, **options)


_STICKY = Sticky(time=100)
_TCP, _UDP = Protocol.TCP, Protocol.UDP
KINDS = (
    *(
        Kind(f"tcp, track {track}, {down}", _TCP, {"track": track, "on_down": down}, refuses=True)
        for track in (Track.AUTO, Track.ALL)
        for down in OnDown
    ),
    *(Kind(f"udp, {down}", _UDP, {"on_down": down}, refuses=True) for down in OnDown),
    Kind("udp, track all", _UDP, {"track": Track.ALL}, refuses=True),
    *(Kind(f"tcp, sticky, {down}", _TCP, {"sticky": _STICKY, "on_down": down}) for down in OnDown),
    Kind("udp, sticky", _UDP, {"sticky": _STICKY}),
    *(Kind(f"tcp, linked, {down}", _TCP, {"sticky": _STICKY, "on_down": down}, linked=True)
      for down in OnDown),
    Kind("IPv6: tcp", _TCP, refuses=True, version=6),
    Kind("IPv6: udp", _UDP, refuses=True, version=6),
    Kind("IPv6: tcp, sticky", _TCP, {"sticky": _STICKY}, version=6),
)  # fmt: skip

OPTIONS: dict[str, tuple[Any, ...]] = {
    "on_down": tuple(OnDown),
    "track": (Track.AUTO, Track.ALL),
    "stale": (100, 300),
    "udp_idle": (30, 60),
}
"""What a reload may change of a service without breaking a flow."""


@dataclass(slots=True)
class State:
    """What the model knows of a server in a service."""

    weight: int = 1
    override: Override = UNCHANGED
    up: bool = True
    on_down: OnDown | None = None  # what held when it left the service

    @property
    def takes_new(self) -> bool:
        return self.up and not self.override.quiesced and self.weight > 0

    @property
    def avoided(self) -> bool:
        return not self.up or (self.override.quiesced and self.override.now)


@dataclass(slots=True)
class Life:
    """What the model knows of a flow. `server` None: its next packet says, for the last is gone."""

    server: str | None
    heard: int
    closed: bool = False


def _weigh(state: State, weight: int) -> None:
    state.weight = 1 if state.weight == weight else weight


def _quiesce(state: State, *, now: bool) -> None:
    state.override = UNCHANGED if state.override.quiesced else Override(quiesced=True, now=now)


def _fail(state: State) -> None:
    state.up = not state.up


CHANGES: dict[str, Callable[[State], None]] = {
    "without weight": partial(_weigh, weight=0),
    "with more weight": partial(_weigh, weight=5),
    "quiesced": partial(_quiesce, now=False),
    "quiesced now": partial(_quiesce, now=True),
    "down": _fail,
}
"""What happens to a server; if it has happened already, the second time undoes it."""


Some = tuple[int, int, int]
"""Which of many: the first, how many, and every how manyth."""


def chosen(flows: Sequence[Flow], some: Some) -> tuple[Flow, ...]:
    """Return some of the flows, each once."""
    first, count, step = some
    numbers = range(first, first + count * step, step) if flows else ()
    return tuple(dict.fromkeys(flows[number % len(flows)] for number in numbers))


def _client(version: int, number: int) -> Address:
    if version == 4:
        return IPv4Address("198.51.100.0") + number
    return IPv6Address("2001:db8:c::7") + (number << 64)


def crowded_flows(protocol: Protocol, version: int) -> Iterator[tuple[Address, int]]:
    """Yield clients with ports, several for each of a few slots of the least table."""
    wanted = {slot * 97 % LEAST_SLOTS: FLOWS_OF_A_SLOT for slot in range(SLOTS)}
    number = 0
    while wanted:
        number += 1
        client, port = _client(version, number % 250), 1024 + number // 250
        message = client.packed + port.to_bytes(2) + bytes([protocol.number])
        slot = siphash(HASH_KEY, message, (1, 3)) % LEAST_SLOTS
        if slot in wanted:
            wanted[slot] -= 1
            if not wanted[slot]:
                del wanted[slot]
            yield client, port


CROWDS = {
    (protocol, version): tuple(crowded_flows(protocol, version))
    for protocol in Protocol
    for version in CLUSTERS
}
FEW = {version: tuple((_client(version, n % 6), 5000 + n) for n in range(24)) for version in (4, 6)}
