"""Multicast listener discovery: which groups a machine hears (RFC 2710, RFC 3810).

Switches that look into it bring a group's frames only to those who have reported it; neighbour
solicitations are such frames.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from shunt.network.frames import ethernet
from shunt.network.frames.icmp import checked_message, icmp_payload
from shunt.network.frames.ip import ICMPV6, Ip, ip
from shunt.network.frames.neighbour import group_mac

if TYPE_CHECKING:
    from collections.abc import Collection

    from shunt.model.addresses import Mac

QUERY, _REPORT, _REPORT_2 = 130, 131, 143
_REPORTS_2_GO_TO = IPv6Address("ff02::16")
_EVERY_SENDER = 4  # record type: from now on the group is heard, whoever sends to it
_RECORD = struct.Struct("!BBH16s")
_SHORTEST_QUERY_2 = 24  # octets behind the checksum; older queries have 20
# Hop-by-hop options: Router Alert for MLD (RFC 2711), then padding.
_ALERT = bytes((ICMPV6, 0, 5, 2, 0, 0, 1, 0))


@dataclass(frozen=True, slots=True)
class ListenerQuery:
    """Who hears `group`? The unspecified address asks for every group."""

    group: IPv6Address
    version: int


def link_local(mac: Mac) -> IPv6Address:
    """Return the address that a machine with this MAC may have (RFC 4291 appendix A)."""
    first, rest = mac.octets[0] ^ 2, mac.octets
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes((first, *rest[1:3])) + b"\xff\xfe" + rest[3:])


def listener_reports(mac: Mac, groups: Collection[IPv6Address]) -> tuple[bytes, ...]:
    """Return "I hear these groups", in the form of either version: the newer one first."""
    return (*listener_report_2(mac, groups), *listener_reports_1(mac, groups))


def listener_report_2(mac: Mac, groups: Collection[IPv6Address]) -> tuple[bytes, ...]:
    """Return the one report of version 2 (RFC 3810 section 5.2), nothing for no groups."""
    if not groups:
        return ()
    records = b"".join(_RECORD.pack(_EVERY_SENDER, 0, 0, group.packed) for group in groups)
    body = struct.pack("!HH", 0, len(groups)) + records
    return (_frame(mac, _REPORTS_2_GO_TO, _REPORT_2, body),)


def listener_reports_1(mac: Mac, groups: Collection[IPv6Address]) -> tuple[bytes, ...]:
    """Return a report of version 1 for each group (RFC 2710 section 3)."""
    return tuple(_frame(mac, group, _REPORT, bytes(4) + group.packed) for group in groups)


def parse_query(packet: Ip) -> ListenerQuery | None:
    """Return the query in an ICMPv6 packet, None for another type, or one that is none."""
    if packet.payload[:1] != bytes((QUERY,)):
        return None
    _, _, body = checked_message(packet)
    if len(body) < 20 or packet.ttl != 1:
        return None
    version = 2 if len(body) >= _SHORTEST_QUERY_2 else 1
    return ListenerQuery(IPv6Address(body[4:20]), version)


def _frame(mac: Mac, to: IPv6Address, kind: int, body: bytes) -> bytes:
    source = link_local(mac)
    payload = _ALERT + icmp_payload(source, to, (kind, 0), body)
    packet = Ip(source, to, 0, 1, payload)
    return ethernet.ethernet_frame(group_mac(to), mac, ethernet.IPV6, ip(packet))
