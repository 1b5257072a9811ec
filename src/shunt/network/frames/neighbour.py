"""Neighbour discovery for IPv6: solicitation and advertisement (RFC 4861 sections 4.3, 4.4, 7)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

from shunt.model.addresses import Mac
from shunt.network.frames import ethernet
from shunt.network.frames.ethernet import BrokenError
from shunt.network.frames.icmp import checked_message, icmp_payload
from shunt.network.frames.ip import ICMPV6, Ip, ip

SOLICITATION, ADVERTISEMENT = 135, 136
ALL_NODES = IPv6Address("ff02::1")
UNSPECIFIED = IPv6Address(0)
_SOLICITED_NODES = int(IPv6Address("ff02::1:ff00:0"))
_HOP_LIMIT = 255  # proves that no router was in between
_SOURCE_MAC, _TARGET_MAC = 1, 2
_ROUTER, _SOLICITED, _OVERRIDE = 0x80, 0x40, 0x20


@dataclass(frozen=True, slots=True)
class Solicitation:
    """Who has `target`? `mac` is the asker's, absent when the asker has no address yet."""

    target: IPv6Address
    mac: Mac | None


@dataclass(frozen=True, slots=True)
class Advertisement:
    """The news that `target` is at `mac`; without the option the frame's source is meant."""

    target: IPv6Address
    mac: Mac | None
    router: bool = False
    solicited: bool = False
    override: bool = False


def solicited_node(address: IPv6Address) -> IPv6Address:
    """Return the group that a holder of `address` listens to (RFC 4291 section 2.7.1)."""
    return IPv6Address(_SOLICITED_NODES | int(address) & 0xFFFFFF)


def group_mac(group: IPv6Address) -> Mac:
    """Return the Ethernet address of an IPv6 group (RFC 2464 section 7)."""
    return Mac(b"\x33\x33" + group.packed[12:])


def neighbour_solicitation(
    mac: Mac,
    target: IPv6Address,
    source: IPv6Address = UNSPECIFIED,
    destination: Mac | None = None,
    vlan: int | None = None,
) -> bytes:
    """Return "who has `target`?", to its group, or to one machine if `destination` is given.

    Without a `source` it is the form that detects duplicates (RFC 4862 section 5.4.2), which
    always goes to the group's IPv6 address.
    """
    group = solicited_node(target)
    unicast = destination is not None and source != UNSPECIFIED
    option = b"" if source == UNSPECIFIED else bytes((_SOURCE_MAC, 1)) + mac.octets
    return _frame(
        (mac, destination or group_mac(group)),
        (source, target if unicast else group),
        (SOLICITATION, 0),
        bytes(4) + target.packed + option,
        vlan,
    )


def neighbour_advertisement(
    mac: Mac,
    address: IPv6Address,
    asker_mac: Mac,
    asker: IPv6Address,
    vlan: int | None = None,
) -> bytes:
    """Return the answer to a solicitation of `asker`."""
    return _frame(
        (mac, asker_mac),
        (address, asker),
        (ADVERTISEMENT, 0),
        bytes((_SOLICITED | _OVERRIDE, 0, 0, 0)) + address.packed + _target_option(mac),
        vlan,
    )


def unsolicited_advertisement(mac: Mac, address: IPv6Address, vlan: int | None = None) -> bytes:
    """Return "`address` is at `mac`, forget what you knew" to all nodes (section 7.2.6)."""
    return _frame(
        (mac, group_mac(ALL_NODES)),
        (address, ALL_NODES),
        (ADVERTISEMENT, 0),
        bytes((_OVERRIDE, 0, 0, 0)) + address.packed + _target_option(mac),
        vlan,
    )


def parse_neighbour(packet: Ip) -> Solicitation | Advertisement | None:
    """Return the message in an ICMPv6 packet if it passes sections 7.1.1 and 7.1.2.

    None for ICMPv6 of another type.
    """
    if packet.payload[:1] not in (bytes((SOLICITATION,)), bytes((ADVERTISEMENT,))):
        return None
    message = checked_message(packet)
    kind, code, body = message
    if packet.ttl != _HOP_LIMIT or code or len(body) < 20:
        raise BrokenError("neighbour", "hop limit, code or length is against RFC 4861")
    target, options = IPv6Address(body[4:20]), _options(body[20:])
    if options is None or target.is_multicast:
        raise BrokenError("neighbour", "an option is broken, or the target is a group")
    if kind == SOLICITATION:
        return _solicitation(packet, target, options.get(_SOURCE_MAC))
    if packet.destination.is_multicast and body[0] & _SOLICITED:
        raise BrokenError("neighbour", "a solicited advertisement to a group")
    return Advertisement(
        target,
        options.get(_TARGET_MAC),
        bool(body[0] & _ROUTER),
        bool(body[0] & _SOLICITED),
        bool(body[0] & _OVERRIDE),
    )


def _solicitation(packet: Ip, target: IPv6Address, mac: Mac | None) -> Solicitation:
    if packet.source == UNSPECIFIED and (
        mac is not None or packet.destination != solicited_node(target)
    ):
        raise BrokenError("neighbour", "a duplicate detection that is none")
    return Solicitation(target, mac)


def _options(data: bytes) -> dict[int, Mac] | None:
    """Return the link-layer addresses by option type; None if an option is broken.

    Of two of a type the first counts, as for the kernels of Linux and the BSDs.
    """
    found: dict[int, Mac] = {}
    while data:
        size = data[1] * 8 if len(data) > 1 else 0
        if size == 0 or size > len(data):
            return None
        if data[0] in (_SOURCE_MAC, _TARGET_MAC) and size == 8:
            found.setdefault(data[0], Mac(data[2:8]))
        data = data[size:]
    return found


def _target_option(mac: Mac) -> bytes:
    return bytes((_TARGET_MAC, 1)) + mac.octets


def _frame(
    macs: tuple[Mac, Mac],
    addresses: tuple[IPv6Address, IPv6Address],
    kind_code: tuple[int, int],
    body: bytes,
    vlan: int | None,
) -> bytes:
    packet = Ip(*addresses, ICMPV6, _HOP_LIMIT, icmp_payload(*addresses, kind_code, body))
    return ethernet.ethernet_frame(macs[1], macs[0], ethernet.IPV6, ip(packet), vlan)
