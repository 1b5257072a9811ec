"""Frames as bytes: pure builders, and a strict parser that no frame can make raise.

Imports `shunt.model` only. Begin with `parsing.parse` for what is heard, with `messages` for what
is sent; each protocol has a file of its own.
"""

from shunt.network.frames.arp import Arp, arp_reply, arp_request, gratuitous_arp
from shunt.network.frames.ethernet import Ethernet, ethernet_frame
from shunt.network.frames.icmp import Echo, IcmpError
from shunt.network.frames.ip import Ip, checksum
from shunt.network.frames.listener import ListenerQuery, listener_reports
from shunt.network.frames.messages import (
    Envelope,
    echo_reply,
    echo_request,
    tcp_reset,
    tcp_syn,
    udp_datagram,
)
from shunt.network.frames.neighbour import (
    Advertisement,
    Solicitation,
    neighbour_advertisement,
    neighbour_solicitation,
    unsolicited_advertisement,
)
from shunt.network.frames.parsing import Frame, Malformed, parse
from shunt.network.frames.transport import Datagram, Flag, Segment

__all__ = [
    "Advertisement",
    "Arp",
    "Datagram",
    "Echo",
    "Envelope",
    "Ethernet",
    "Flag",
    "Frame",
    "IcmpError",
    "Ip",
    "ListenerQuery",
    "Malformed",
    "Segment",
    "Solicitation",
    "arp_reply",
    "arp_request",
    "checksum",
    "echo_reply",
    "echo_request",
    "ethernet_frame",
    "gratuitous_arp",
    "listener_reports",
    "neighbour_advertisement",
    "neighbour_solicitation",
    "parse",
    "tcp_reset",
    "tcp_syn",
    "udp_datagram",
    "unsolicited_advertisement",
]
