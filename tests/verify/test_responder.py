"""What the pretended machine answers: who it is, and that it wants no connection; else nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from scapy.layers.inet6 import (
    ICMPv6MLQuery,
    ICMPv6MLQuery2,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import Ether

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
from shunt.verify.responder import Responder, answer
from shunt.verify.subject import Identity

ME, YOU = Mac.parse("02:00:00:00:00:99"), Mac.parse("52:54:00:00:00:01")
FOUR, SIX = IPv4Address("192.0.2.77"), IPv6Address("2001:db8::77")
YOUR4, YOUR6 = IPv4Address("192.0.2.21"), IPv6Address("2001:db8::21")
GROUP = IPv6Address("ff02::1:ff00:77")
IDENTITY = Identity(ME, {4: FOUR}, {6: SIX})


def _answer(frame: bytes) -> Frame | None:
    heard = parse(frame)
    assert isinstance(heard, Frame)
    said = answer(IDENTITY, heard)
    if not said:
        return None
    (only,) = said
    parsed = parse(only)
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


def _query(group: str, version: int) -> Frame:
    kind = ICMPv6MLQuery if version == 1 else ICMPv6MLQuery2
    packet = IPv6(src="fe80::1", dst="ff02::1", hlim=1)
    alert = IPv6ExtHdrHopByHop(options=RouterAlert())
    built = Ether(src=str(YOU), dst="33:33:00:00:00:01") / packet / alert / kind(mladdr=group)
    heard = parse(bytes(built))
    assert isinstance(heard, Frame)
    return heard


@pytest.mark.parametrize("group", ["::", str(GROUP)])
@pytest.mark.parametrize("version", [1, 2])
def test_who_asks_for_listeners_is_told_the_groups(group: str, version: int) -> None:
    identity = Identity(ME, groups=(GROUP,))
    (said,) = answer(identity, _query(group, version))
    built = Ether(said)
    assert built.src == str(ME)
    assert built[IPv6].src == "fe80::ff:fe00:99"
    assert built[IPv6].hlim == 1
    if version == 1:
        assert built[IPv6].dst == built[ICMPv6MLReport].mladdr == str(GROUP)
    else:
        assert built[IPv6].dst == "ff02::16"
        (record,) = built[ICMPv6MLReport2].records
        assert (record.rtype, record.dst) == (4, str(GROUP))
    sum_ = built[IPv6].payload.payload.cksum
    del built[IPv6].payload.payload.cksum
    assert Ether(bytes(built))[IPv6].payload.payload.cksum == sum_


def test_who_asks_for_another_group_is_not_told() -> None:
    assert answer(Identity(ME, groups=(GROUP,)), _query("ff02::1:ff00:1", 2)) == ()
    assert answer(Identity(ME), _query("::", 2)) == ()


def test_nobody_is_answered_more_than_once_a_second() -> None:
    responder = Responder()
    asked = parse(arp_request(YOU, FOUR, YOUR4))
    asked6 = parse(neighbour_solicitation(YOU, SIX, YOUR6))
    assert isinstance(asked, Frame)
    assert isinstance(asked6, Frame)
    answers = [len(responder.answer(IDENTITY, asked, 100 + at / 100)) for at in range(250)]
    assert sum(answers) == 3
    assert answers[0] == 1
    assert responder.answer(IDENTITY, asked6, 100.0)
    assert not responder.answer(IDENTITY, asked6, 100.5)
    assert responder.answer(IDENTITY, asked, 50.0), "a clock that is set back hides nobody"


def test_a_crowd_of_askers_is_bounded() -> None:
    responder = Responder()
    answered = 0
    for number in range(10_000):
        asked = parse(arp_request(Mac(b"\x02" + number.to_bytes(5)), FOUR, YOUR4))
        assert isinstance(asked, Frame)
        answered += len(responder.answer(IDENTITY, asked, 100.0))
    assert answered == 4096
    late = parse(arp_request(YOU, FOUR, YOUR4))
    assert isinstance(late, Frame)
    assert responder.answer(IDENTITY, late, 101.0)
