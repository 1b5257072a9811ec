"""Address resolution for IPv4 on Ethernet (RFC 826, RFC 5227)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from shunt.model.addresses import BROADCAST, ZERO, Mac
from shunt.network.frames import ethernet
from shunt.network.frames.ethernet import BrokenError

REQUEST, REPLY = 1, 2
_LAYOUT = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET_IPV4 = (1, ethernet.IPV4, 6, 4)
_IEEE_802 = 6  # a hardware type that Ethernet stacks learn from as well (RFC 1122 section 2.3.3)
_NOBODY = IPv4Address(0)


@dataclass(frozen=True, slots=True)
class Arp:
    """A request (`operation` 1) or reply (2). It says: `sender` is at `sender_mac`."""

    operation: int
    sender_mac: Mac
    sender: IPv4Address
    target_mac: Mac
    target: IPv4Address

    @property
    def claims(self) -> IPv4Address | None:
        """Return the address that receivers will take `sender_mac` for; a probe claims none."""
        return None if self.sender == _NOBODY else self.sender


def arp(message: Arp, destination: Mac, vlan: int | None = None) -> bytes:
    """Return the frame that carries `message` to `destination`."""
    payload = _LAYOUT.pack(
        *_ETHERNET_IPV4,
        message.operation,
        message.sender_mac.octets,
        message.sender.packed,
        message.target_mac.octets,
        message.target.packed,
    )
    return ethernet.ethernet_frame(destination, message.sender_mac, ethernet.ARP, payload, vlan)


def arp_request(
    mac: Mac,
    target: IPv4Address,
    sender: IPv4Address = _NOBODY,
    destination: Mac = BROADCAST,
    vlan: int | None = None,
) -> bytes:
    """Return "who has `target`?"; without a `sender` it is a probe that no cache learns from."""
    return arp(Arp(REQUEST, mac, sender, ZERO, target), destination, vlan)


def arp_reply(
    mac: Mac, address: IPv4Address, asker_mac: Mac, asker: IPv4Address, vlan: int | None = None
) -> bytes:
    """Return "`address` is at `mac`" for the one who asked."""
    return arp(Arp(REPLY, mac, address, asker_mac, asker), asker_mac, vlan)


def gratuitous_arp(mac: Mac, address: IPv4Address, vlan: int | None = None) -> tuple[bytes, ...]:
    """Return both broadcast forms of "`address` is at `mac`", request then reply (RFC 5944 4.6).

    Some receivers learn from one form only.
    """
    request = Arp(REQUEST, mac, address, ZERO, address)
    reply = Arp(REPLY, mac, address, mac, address)
    return arp(request, BROADCAST, vlan), arp(reply, BROADCAST, vlan)


def parse_arp(payload: bytes) -> Arp:
    """Return the message in an Ethernet payload; only IPv4 on Ethernet is one.

    Of either hardware type: what others learn from must not go unheard.
    """
    if len(payload) < _LAYOUT.size:
        raise BrokenError("arp", f"{len(payload)} bytes instead of {_LAYOUT.size}")
    *form, operation, sender_mac, sender, target_mac, target = _LAYOUT.unpack_from(payload)
    if tuple(form) not in (_ETHERNET_IPV4, (_IEEE_802, *_ETHERNET_IPV4[1:])):
        raise BrokenError("arp", f"not for IPv4 on Ethernet: {form}")
    if operation not in (REQUEST, REPLY):
        raise BrokenError("arp", f"operation {operation} is neither request nor reply")
    return Arp(
        operation, Mac(sender_mac), IPv4Address(sender), Mac(target_mac), IPv4Address(target)
    )
