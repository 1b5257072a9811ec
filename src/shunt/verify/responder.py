"""What the pretended machine answers at once: who it is, and that it wants no connection."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from shunt.network.frames import (
    Arp,
    Envelope,
    Flag,
    Ip,
    ListenerQuery,
    Segment,
    Solicitation,
    arp_reply,
    neighbour_advertisement,
    tcp_reset,
)
from shunt.network.frames.listener import listener_report_2, listener_reports_1

if TYPE_CHECKING:
    from shunt.network.frames import Frame
    from shunt.verify.subject import Identity

_REQUEST = 1
_APART = 0.9  # seconds; kernels ask again after one
_KNOWN = 4096  # askers that are told apart within that time; more are left alone


class Responder:
    """Answers each asker at most about once a second for each thing, however often it asks.

    Who asks more often wants to keep the verifier busy.
    """

    def __init__(self) -> None:
        self._answered: dict[tuple[object, ...], float] = {}
        self._swept = 0.0

    def answer(self, identity: Identity, frame: Frame, at: float) -> tuple[bytes, ...]:
        """Return the frames to answer with; `at`: when the frame was heard, in seconds."""
        said = answer(identity, frame)
        return said if said and self._is_due(_asked(frame), at) else ()

    def _is_due(self, asked: tuple[object, ...], at: float) -> bool:
        last = self._answered.pop(asked, None)
        if last is not None and 0 <= at - last < _APART:
            self._answered[asked] = last
            return False
        if len(self._answered) >= _KNOWN and not 0 <= at - self._swept < _APART:
            self._swept = at
            kept = self._answered.items()
            self._answered = {key: when for key, when in kept if 0 <= at - when < _APART}
        if len(self._answered) >= _KNOWN:
            return False
        self._answered[asked] = at
        return True


def _asked(frame: Frame) -> tuple[object, ...]:
    """Return who asks and what for: the same for the same question."""
    network, message = frame.network, frame.message
    if isinstance(network, Arp):
        return network.sender_mac, network.target
    if isinstance(message, Segment) and isinstance(network, Ip):
        ports = message.source, message.destination
        return frame.link.source, network.source, network.destination, *ports
    return frame.link.source, message


def answer(identity: Identity, frame: Frame) -> tuple[bytes, ...]:
    """Return the frames that a heard one asks of the pretended machine, none if it asks nothing."""
    network, message = frame.network, frame.message
    said: bytes | None = None
    if isinstance(network, Arp):
        said = _answer_arp(identity, network)
    elif isinstance(message, ListenerQuery):
        return _report(identity, message)
    elif isinstance(message, Solicitation) and isinstance(network, Ip):
        said = _answer_solicitation(identity, frame, network.source, message)
    elif isinstance(message, Segment) and isinstance(network, Ip):
        said = _refuse(identity, frame, network, message)
    return () if said is None else (said,)


def _report(identity: Identity, query: ListenerQuery) -> tuple[bytes, ...]:
    """Tell a switch or router which groups are heard, in the form that it asks for."""
    everything = query.group.is_unspecified
    groups = [group for group in identity.groups if everything or group == query.group]
    newer = query.version == 2
    return (listener_report_2 if newer else listener_reports_1)(identity.mac, groups)


def _answer_arp(identity: Identity, arp: Arp) -> bytes | None:
    ours = arp.operation == _REQUEST and arp.target in identity.addresses
    if not ours or arp.sender == arp.target:
        return None
    return arp_reply(identity.mac, arp.target, arp.sender_mac, arp.sender)


def _answer_solicitation(
    identity: Identity, frame: Frame, source: IPv4Address | IPv6Address, asked: Solicitation
) -> bytes | None:
    if asked.target not in {*identity.addresses, identity.link_local}:
        return None
    if asked.mac is None or not isinstance(source, IPv6Address):
        return None
    return neighbour_advertisement(identity.mac, asked.target, frame.link.source, source)


def _refuse(identity: Identity, frame: Frame, packet: Ip, segment: Segment) -> bytes | None:
    """Take back a half-open connection, so that nothing is left at the server."""
    if packet.destination not in identity.addresses or segment.flags & Flag.RST:
        return None
    envelope = Envelope(identity.mac, frame.link.source, packet.destination, packet.source)
    ports = segment.destination, segment.source
    return tcp_reset(envelope, ports, segment.acknowledgment)
