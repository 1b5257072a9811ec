"""Frames that take several buffers: headers are in the first one, and nothing else is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest
from scapy.layers.l2 import Dot1Q

from shunt.dataplane.kernel import Verdict
from tests.bpf.answers import is_answer
from tests.bpf.segment import DOWN, FAMILIES, V4, WEB, A, B, Family, ether
from tests.bpf.world import INTERFACE, OWN, Tally

if TYPE_CHECKING:
    from tests.bpf.world import World

pytestmark = pytest.mark.bpf
SIZES = (3400, 3600, 8900, 9000, 16000)
families = pytest.mark.parametrize("family", FAMILIES, ids=str)
sizes = pytest.mark.parametrize("size", SIZES)


def _ping(f: Family, size: int) -> Any:
    data = bytes(n % 251 for n in range(size))
    if f is V4:
        return ether() / f.ip(WEB) / ICMP(type=8) / data
    return ether() / f.ip(WEB) / ICMPv6EchoRequest(data=data)


@families
@sizes
def test_requests_are_forwarded_and_counted_whole(
    segment: World, family: Family, size: int
) -> None:
    tag = Dot1Q(vlan=7)
    for transport, server in ((TCP(dport=80, flags="A"), A), (UDP(dport=53), B)):
        frame = bytes(ether() / tag / family.ip(WEB) / transport / bytes(size))
        sent, tallies = segment.send_counting(frame)
        assert sent.cause == "forwarded"
        assert server.mac is not None
        assert sent.frame == server.mac.octets + OWN.octets + frame[12:]
        assert tallies == {server.name: Tally(1, len(frame), 0, 0)}


@families
@sizes
def test_pings_are_answered_if_every_byte_is_right(
    segment: World, family: Family, size: int
) -> None:
    frame = bytes(_ping(family, size))
    sent = segment.send(frame)
    assert sent.cause == "answered_ping"
    assert is_answer(frame, sent.frame)
    for place in (-1, -(size // 2), -size):
        wrong = bytearray(frame)
        wrong[place] ^= 1
        assert segment.send(bytes(wrong)).cause == "dropped_malformed"


@families
@sizes
def test_resets_are_cut_to_their_headers(segment: World, family: Family, size: int) -> None:
    tcp = TCP(sport=40000, dport=80, flags="PA", seq=1, ack=77)
    frame = bytes(ether() / family.ip(DOWN) / tcp / bytes(size))
    sent = segment.send(frame)
    assert sent.cause == "answered_reset"
    assert is_answer(frame, sent.frame)
    assert len(sent.frame) == 14 + (20 if family is V4 else 40) + 20


@families
def test_a_frame_whose_headers_are_hidden_goes_to_the_host_and_is_told(
    segment: World, family: Family
) -> None:
    """Some drivers leave the first buffer empty where frames take several."""
    frame = bytes(ether() / family.ip(WEB) / TCP(dport=80, flags="A") / bytes(8000))
    for first in (0, 14, 33):
        sent = segment.send(frame, ifindex=INTERFACE, first_buffer=first)
        assert (sent.verdict, sent.cause) == (Verdict.PASS, "passed_no_headers")
        assert sent.frame == frame
    assert segment.send(frame[:14]).cause == "passed_truncated"
