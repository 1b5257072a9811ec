"""Frames of many flows, made by struct: scapy would take minutes for them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6

from tests.bpf.segment import CLIENT_MAC, V4, V6, ether
from tests.bpf.world import OWN

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.model.config import Protocol

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_MACS = OWN.octets + CLIENT_MAC.octets


@dataclass(frozen=True, slots=True)
class Flow:
    """A client's connection, or its UDP counterpart, with a service."""

    protocol: Protocol
    client: Address
    client_port: int
    cluster: Address
    port: int

    def frame(self, flags: int = ACK) -> bytes:
        """Return a packet of the flow, from the client; checksums are left 0, nobody looks."""
        transport = self._transport(flags)
        size, number = len(transport), self.protocol.number
        ends = self.client.packed + self.cluster.packed
        if isinstance(self.client, IPv4Address):
            start = struct.pack("!HBBHHHBBH", 0x0800, 0x45, 0, 20 + size, 0, 0, 64, number, 0)
        else:
            start = struct.pack("!HIHBB", 0x86DD, 6 << 28, size, number, 64)
        return _MACS + start + ends + transport

    def _transport(self, flags: int) -> bytes:
        ports = struct.pack("!HH", self.client_port, self.port)
        if self.protocol.number == 6:
            return ports + struct.pack("!IIBBHHH", 0, 0, 5 << 4, flags, 0xFFFF, 0, 0)
        return ports + struct.pack("!HH", 8, 0)


@cache
def about(flow: Flow) -> bytes:
    """Return what a router says when a packet of the flow's server did not get through."""
    ports = flow.port.to_bytes(2) + flow.client_port.to_bytes(2) + bytes(4)
    if isinstance(flow.client, IPv4Address):
        inner = IP(src=str(flow.cluster), dst=str(flow.client), proto=flow.protocol.number) / ports
        head = V4.ip(str(flow.cluster), src=V4.router) / ICMP(type=3, code=4)
    else:
        inner = IPv6(src=str(flow.cluster), dst=str(flow.client), nh=flow.protocol.number) / ports
        head = V6.ip(str(flow.cluster), src=V6.router) / ICMPv6PacketTooBig(mtu=1280)
    return bytes(ether() / head / bytes(inner))
