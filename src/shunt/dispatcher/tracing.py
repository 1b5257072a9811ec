"""What would become of one packet, and why: the real program run on a made packet, not sent."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.balance import transitions
from shunt.dataplane.plane import sentences
from shunt.dataplane.testrun import run
from shunt.dispatcher.snapshot import name_of
from shunt.errors import ControlError
from shunt.model.addresses import Mac, unpacked16
from shunt.model.config import Protocol
from shunt.network.frames import Envelope, Flag, Segment, udp_datagram
from shunt.network.frames.messages import tcp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shunt.dataplane.plane import Plane
    from shunt.dispatcher.balancer import Balancer
    from shunt.dispatcher.ledger import Placed
    from shunt.model.addresses import Address

_CLIENT = Mac.parse("02:00:00:00:00:fe")
_MATCHES = {
    0: "no service has this address and port",
    1: "the service of exactly this address and port",
    2: "the service for every other port of this address",
    3: "the service for this port of every other cluster",
    4: "the service for everything else",
}


@dataclass(frozen=True, slots=True)
class Packet:
    """The packet to trace: from a client to a cluster address."""

    client: Address
    client_port: int
    cluster: Address
    port: int
    protocol: Protocol = Protocol.TCP
    syn: bool = False

    def frame(self, mac: Mac) -> bytes:
        """Return the frame as it would come in at the interface with this MAC."""
        envelope = Envelope(_CLIENT, mac, self.client, self.cluster)
        ports = (self.client_port, self.port)
        if self.protocol is Protocol.UDP:
            return udp_datagram(envelope, ports)
        flags = Flag.SYN if self.syn else Flag.ACK
        return tcp(envelope, Segment(*ports, 1, 0 if self.syn else 1, flags))


def trace(balancer: Balancer, packet: Packet, names: Mapping[bytes, str]) -> dict[str, Any]:
    """Return the decision for a packet, with the reason of every step.

    Each CPU remembers so many flows in a second. What is traced is a packet on the CPU that has
    the least left of them.

    Raises:
        ControlError: the dispatcher serves no interface.
        DataplaneError: the kernel did not run the program.
    """
    plane = balancer.plane
    index = int(plane.maps["settings"].view()["trace_ifindex"][0])
    port = plane.maps["ports"].get(index)
    if not index or port is None:
        raise ControlError("the dispatcher serves no interface, so no packet comes in")
    with _on_cpu(_busiest(plane)):
        result = run(plane.trace, packet.frame(Mac(port["mac"].tobytes())))
    found = plane.maps["decisions"].get(0)
    cause = _name(plane.layouts.enum("cause"), "CAUSE_", int(found["cause"]))
    reason = _name(plane.layouts.enum("reason"), "REASON_", int(found["reason"]))
    document: dict[str, Any] = {
        "verdict": getattr(result.verdict, "name", str(result.verdict)).lower(),
        "cause": cause,
        "cause_meaning": sentences(plane.layouts, "cause")[cause],
        "match": _MATCHES[int(found["matched"])],
    }
    placed = _service(balancer, int(found["service"])) if found["matched"] else None
    if placed is None:
        return document
    state = found["state"]
    return document | {
        "service": name_of(placed.place),
        "hash": f"{int(found['hash']):016x}",
        "slot": int(found["slot"]),
        "slots": placed.table.slots.size,
        "current": _server(placed, int(state["current"]), names),
        "elder": _server(placed, int(state["elder"]), names),
        "settled": int(state["elder"]) == transitions.SETTLED,
        "server": _server(placed, int(found["member"]), names),
        "mac": str(Mac(found["mac"].tobytes())),
        "reason": reason,
        "reason_meaning": sentences(plane.layouts, "reason")[reason],
    }


def _busiest(plane: Plane) -> int:
    """Return the CPU that has remembered the most new flows in this second."""
    budget = plane.maps["budgets"].get(plane.layouts.enum("budget_kind")["BUDGET_FLOWS"])
    return int(np.where(budget["second"] == plane.now(), budget["used"], 0).argmax())


@contextlib.contextmanager
def _on_cpu(cpu: int) -> Iterator[None]:
    """Let this thread run on one CPU meanwhile, if it may."""
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):  # it is off, or not for this process
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _name(enum: Mapping[str, int], prefix: str, number: int) -> str:
    return next(name for name, value in enum.items() if value == number).removeprefix(prefix)


def _service(balancer: Balancer, number: int) -> Placed | None:
    return next((p for p in balancer.placed.values() if p.number == number), None)


def _server(placed: Placed, local: int, names: Mapping[bytes, str]) -> str | None:
    for identity, number in placed.table.locals.items():
        if number == local:
            return names.get(identity) or str(unpacked16(identity))
    return None


def numbers(text: str) -> tuple[str, int]:
    """Split `address:port`, `[address]:port` into address and port.

    Raises:
        ValueError: it is nothing of the kind.
    """
    host, _, port = text.rpartition(":")
    with contextlib.suppress(ValueError):
        number = int(port)
        if host and 0 <= number <= 0xFFFF:
            return host.removeprefix("[").removesuffix("]"), number
    raise ValueError(
        f"{text!r} is no address with port; write 198.51.100.7:40000 or [2001:db8::7]:443"
    )
