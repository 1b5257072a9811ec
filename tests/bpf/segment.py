"""The segment that the cases play on: addresses, services and servers, the same in both families.

Cluster addresses are 192.0.2.N and 2001:db8::N; their last figure is their name here.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from shunt.dispatcher.wishes import Flag, Wish
from shunt.model.addresses import Mac
from shunt.model.config import OnDown, Protocol
from tests.bpf.world import OWN, Server, World, service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.dispatcher.wishes import Claim
    from shunt.model.config import Service

BROADCAST = "192.0.2.255"  # of the dispatcher's subnet
HOST = 2  # the dispatcher's own address
WEB = 10  # 80/tcp on A, 53/udp on B, 443/tcp and 443/udp on A, B and C
ANY_PORT = 11  # every port/tcp on A, but 22/tcp on B
DOWN = 20  # 80/tcp and 53/udp on a server that is down and whose flows are reset
NO_MAC = 21  # 80/tcp on a server whose MAC is not known
EMPTY = 22  # 80/tcp on a server with weight 0
FAR = 23  # 80/tcp and 53/udp on a server behind another interface
NO_DEVICE = 24  # 80/tcp on a server behind an interface that is not there
NOBODY = 26  # 80/tcp and 53/udp on a server with weight 0; who asks is told by a reset
STANDBY = 25  # as WEB's 80/tcp, but another dispatcher holds the address
# For any cluster: 8080/tcp in both families, and every port/udp over IPv6, on C.

A, B, C = Server.numbered(1), Server.numbered(2), Server.numbered(3)
RESET = Server.numbered(4)
UNKNOWN = Server("unknown", None, ip_address("10.0.0.5"))
BEHIND = Server.numbered(6)  # its interface is the test's choice
NOWHERE = Server.numbered(7, ifindex=200)

CLIENT_MAC = Mac.parse("02:00:00:00:00:0c")
OTHER_MAC = Mac.parse("02:00:00:00:00:0d")
FAR_OWN = Mac.parse("02:00:00:00:00:f1")
BY_MAC = {server.mac: server for server in (A, B, C, RESET, BEHIND, NOWHERE) if server.mac}


@dataclass(frozen=True, slots=True)
class Family:
    """One of the two IP families, for cases that exist in both."""

    version: int

    def __str__(self) -> str:
        return f"IPv{self.version}"

    def cluster(self, number: int) -> str:
        return f"192.0.2.{number}" if self.version == 4 else f"2001:db8::{number}"

    @property
    def client(self) -> str:
        return "198.51.100.7" if self.version == 4 else "2001:db8:c::7"

    @property
    def router(self) -> str:
        return "203.0.113.1" if self.version == 4 else "2001:db8:f::1"

    @property
    def elsewhere(self) -> str:
        """An address that is nobody's here."""
        return "203.0.113.99" if self.version == 4 else "2001:db8:f::99"

    @property
    def unspecified(self) -> str:
        return "0.0.0.0" if self.version == 4 else "::"

    def ip(self, to: int | str, **fields: Any) -> Any:
        """Return the IP header of a request; scapy fills in what is not given."""
        target = self.cluster(to) if isinstance(to, int) else to
        header = IP if self.version == 4 else IPv6
        return header(**{"src": self.client, "dst": target, **fields})


V4, V6 = Family(4), Family(6)
FAMILIES = (V4, V6)


def ether(**fields: Any) -> Any:
    """Return the Ethernet header of a frame to the dispatcher, from a client or router."""
    return Ether(**{"src": str(CLIENT_MAC), "dst": str(OWN), **fields})


def populate(world: World, far: int) -> None:
    """Write the segment to a world; `far` is the index of an interface that can send."""
    world.port(far, FAR_OWN)
    world.balancer.apply([Wish(svc, claims) for svc, claims in _services(far)])
    for family in FAMILIES:
        for number in (WEB, ANY_PORT, DOWN, NO_MAC, EMPTY, FAR, NO_DEVICE, NOBODY):
            world.address(family.cluster(number), "CLUSTER", "ACTIVE")
        world.address(family.cluster(STANDBY), "CLUSTER")
        world.address(family.cluster(HOST), "HOST")
    world.address(BROADCAST, "BROADCAST")


def _services(far: int) -> Iterator[tuple[Service, tuple[Claim, ...]]]:
    tcp, udp = Protocol.TCP, Protocol.UDP
    only_a, only_b, only_c = (A.claim(),), (B.claim(),), (C.claim(),)
    three = (A.claim(1), B.claim(2), C.claim(3))
    down = (RESET.claim(flags=Flag.READY | Flag.RESET),)
    behind = (Server(BEHIND.name, BEHIND.mac, BEHIND.address, far).claim(),)
    for family in FAMILIES:
        at = family.cluster
        yield service(at(WEB), 80), only_a
        yield service(at(WEB), 53, udp), only_b
        yield service(at(WEB), 443), three
        yield service(at(WEB), 443, udp), three
        yield service(at(ANY_PORT), 0), only_a
        yield service(at(ANY_PORT), 22), only_b
        for protocol, port in ((tcp, 80), (udp, 53)):
            resets = {"on_down": OnDown.RESET}
            yield service(at(NOBODY), port, protocol, **resets), (A.claim(0),)
            yield service(at(DOWN), port, protocol), down
            yield service(at(FAR), port, protocol), behind
        yield service(at(NO_MAC), 80), (UNKNOWN.claim(),)
        yield service(at(EMPTY), 80), (A.claim(0),)
        yield service(at(NO_DEVICE), 80), (NOWHERE.claim(),)
        yield service(at(STANDBY), 80), only_a
        yield service(family.unspecified, 8080), only_c
    yield service("::", 0, udp), only_c
