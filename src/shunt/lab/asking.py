"""Ask a segment who has an address, and hear everyone who answers."""

from __future__ import annotations

import select
import time
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from shunt.errors import LabError
from shunt.network.frames import Frame
from shunt.network.frames.arp import REPLY, Arp, arp_request
from shunt.network.frames.neighbour import Advertisement, neighbour_solicitation
from shunt.network.packets import PacketSocket

if TYPE_CHECKING:
    from shunt.lab.host import Host, Interface
    from shunt.model.addresses import Address, Mac

_TIMES = 2
_PATIENCE = (
    0.3  # seconds after each question; neighbours in a laboratory answer within microseconds
)


def who_answers(asker: Host, address: Address, interface: str = "eth0") -> tuple[Mac, ...]:
    """Return the MAC of everyone who says that `address` is there, in order of number.

    Asks twice as any neighbour would: a broadcast ARP request (RFC 826), or a neighbour
    solicitation to the address's group (RFC 4861). The asker's own table may learn from it.

    Raises:
        LabError: the asker has no address of that family.
    """
    own = asker.interface(interface)
    question = _question(own, address)
    answers: set[Mac] = set()
    with asker.call(lambda: PacketSocket(interface)) as heard:
        for _ in range(_TIMES):
            heard.send(question)
            answers |= _answers(heard, address)
    return tuple(sorted(answers))


def _question(own: Interface, address: Address) -> bytes:
    for each in own.addresses:
        if isinstance(address, IPv4Address) and isinstance(each.ip, IPv4Address):
            return arp_request(own.mac, address, each.ip)
        if isinstance(address, IPv6Address) and isinstance(each.ip, IPv6Address):
            return neighbour_solicitation(own.mac, address, each.ip)
    raise LabError(f"{own.name} has no address from which to ask for {address}")


def _answers(heard: PacketSocket, address: Address) -> set[Mac]:
    found: set[Mac] = set()
    end = time.monotonic() + _PATIENCE
    while (left := end - time.monotonic()) > 0:
        select.select([heard], [], [], left)
        while (frame := heard.receive_now()) is not None:
            mac = _claimant(frame.parsed(), address)
            if mac is not None:
                found.add(mac)
    return found


def _claimant(frame: object, address: Address) -> Mac | None:
    if not isinstance(frame, Frame):
        return None
    match frame.network:
        case Arp(operation=operation, sender=sender, sender_mac=mac):
            return mac if operation == REPLY and sender == address else None
    match frame.message:
        case Advertisement(target=target, mac=stated):
            return (stated or frame.link.source) if target == address else None
    return None
