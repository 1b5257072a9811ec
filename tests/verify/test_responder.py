"""What the pretended machine answers: who it is, and that it wants no connection; else nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from shunt.model.addresses import Mac
from shunt.network.frames import (
    Advertisement,
    Arp,
    Envelope,
    Flag,
    Frame,
    Segment,
    arp_reply,
    arp_request,
    gratuitous_arp,
    neighbour_solicitation,
    parse,
    tcp_reset,
)
from shunt.network.frames.messages import tcp
from shunt.verify.responder import answer
from shunt.verify.subject import Identity

ME, YOU = Mac.parse("02:00:00:00:00:99"), Mac.parse("52:54:00:00:00:01")
FOUR, SIX = IPv4Address("192.0.2.77"), IPv6Address("2001:db8::77")
YOUR4, YOUR6 = IPv4Address("192.0.2.21"), IPv6Address("2001:db8::21")
IDENTITY = Identity(ME, {4: FOUR}, {6: SIX})


def _answer(frame: bytes) -> Frame | None:
    heard = parse(frame)
    assert isinstance(heard, Frame)
    said = answer(IDENTITY, heard)
    if said is None:
        return None
    parsed = parse(said)
    assert isinstance(parsed, Frame)
    assert parsed.link.destination == YOU
    return parsed


def test_who_asks_by_arp_is_told() -> None:
    said = _answer(arp_request(YOU, FOUR, YOUR4))
    assert said is not None
    assert said.network == Arp(2, ME, FOUR, YOU, YOUR4)


def test_who_solicits_is_told() -> None:
    said = _answer(neighbour_solicitation(YOU, SIX, YOUR6))
    assert said is not None
    assert said.message == Advertisement(SIX, ME, solicited=True, override=True)


def test_a_half_open_connection_is_taken_back() -> None:
    back = Envelope(YOU, ME, YOUR4, FOUR)
    said = _answer(tcp(back, Segment(80, 4242, 1000, 78, Flag.SYN | Flag.ACK)))
    assert said is not None
    assert isinstance(said.message, Segment)
    assert (said.message.sequence, said.message.flags) == (78, Flag.RST)


@pytest.mark.parametrize(
    "frame",
    [
        arp_request(YOU, YOUR4, FOUR),
        arp_reply(YOU, YOUR4, ME, FOUR),
        *gratuitous_arp(YOU, FOUR),
        neighbour_solicitation(YOU, SIX),
        neighbour_solicitation(YOU, IPv6Address("2001:db8::78"), YOUR6),
        tcp_reset(Envelope(YOU, ME, YOUR4, FOUR), (80, 4242), 1),
        tcp(Envelope(YOU, ME, YOUR4, IPv4Address("192.0.2.78")), Segment(80, 1, 2, 3, Flag.ACK)),
    ],
)
def test_nothing_else_is_answered(frame: bytes) -> None:
    assert _answer(frame) is None
