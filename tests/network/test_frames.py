"""Frames: what is built is what is parsed, scapy agrees, and hostile bytes are only data."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether

from shunt.model.addresses import BROADCAST, ZERO, Address, Mac
from shunt.network import frames
from shunt.network.frames import Arp, Envelope, Flag, Frame, Ip, Malformed, parse
from shunt.network.frames.icmp import quoted

A, B = Mac.parse("02:00:00:00:00:0a"), Mac.parse("02:00:00:00:00:0b")
FOUR = ip_address("192.0.2.1"), ip_address("192.0.2.2")
SIX = ip_address("2001:db8::1"), ip_address("2001:db8::2")
FUZZED = 200_000  # frames; a million take five times as long and found no more

macs = st.binary(min_size=6, max_size=6).map(lambda b: Mac(bytes((b[0] & 0xFE, *b[1:]))))
fours = st.integers(1, 2**32 - 1).map(IPv4Address)
sixes = st.integers(1, 2**128 - 1).map(IPv6Address).filter(lambda a: not a.is_multicast)
ports = st.integers(0, 65535)


def parsed(frame: bytes) -> Frame:
    found = parse(frame)
    assert isinstance(found, Frame), found
    return found


@settings(max_examples=200, deadline=None)
@given(macs, fours, fours, macs)
def test_arp_comes_back(mac: Mac, asked: IPv4Address, asker: IPv4Address, to: Mac) -> None:
    request = parsed(frames.arp_request(mac, asked, asker)).network
    assert request == Arp(1, mac, asker, ZERO, asked)
    assert parsed(frames.arp_reply(mac, asked, to, asker)).network == Arp(2, mac, asked, to, asker)


def test_gratuitous_arp_has_both_forms() -> None:
    four = FOUR[0]
    assert isinstance(four, IPv4Address)
    request, reply = map(parsed, frames.gratuitous_arp(A, four))
    assert request.network == Arp(1, A, four, ZERO, four)
    assert reply.network == Arp(2, A, four, A, four)
    assert request.link.destination == reply.link.destination == BROADCAST


@settings(max_examples=100, deadline=None)
@given(macs, macs, st.one_of(st.tuples(fours, fours), st.tuples(sixes, sixes)), ports, st.data())
def test_packets_come_back(
    a: Mac,
    b: Mac,
    ends: tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address],
    number: int,
    data: st.DataObject,
) -> None:
    payload = data.draw(st.binary(max_size=64))
    envelope = Envelope(a, b, ends[0], ends[1], data.draw(st.integers(1, 255)))
    echo = parsed(frames.echo_request(envelope, number, 7, payload))
    assert echo.message == frames.Echo(reply=False, identifier=number, sequence=7, data=payload)
    assert isinstance(echo.network, Ip)
    assert (echo.network.source, echo.network.destination) == ends
    assert echo.network.ttl == envelope.ttl
    syn = parsed(frames.tcp_syn(envelope, (number, 80), 99, mss=1400)).message
    assert isinstance(syn, frames.Segment)
    assert (syn.source, syn.destination, syn.flags, syn.mss) == (number, 80, Flag.SYN, 1400)
    udp = parsed(frames.udp_datagram(envelope, (number, 53), payload)).message
    assert udp == frames.Datagram(number, 53, payload)


def test_duplicate_detection_names_no_asker() -> None:
    six = SIX[0]
    assert isinstance(six, IPv6Address)
    frame = parsed(frames.neighbour_solicitation(A, six))
    assert frame.message == frames.Solicitation(six, None)
    assert isinstance(frame.network, Ip)
    assert frame.network.source == IPv6Address(0)
    assert str(frame.network.destination) == "ff02::1:ff00:1"


def _built() -> list[bytes]:
    envelopes = [Envelope(A, B, *FOUR), Envelope(A, B, *SIX, vlan=7)]
    four, six = FOUR[0], SIX[0]
    assert isinstance(four, IPv4Address)
    assert isinstance(six, IPv6Address)
    assert isinstance(SIX[1], IPv6Address)
    every = [*frames.gratuitous_arp(A, four, vlan=5), frames.arp_request(A, four)]
    every += [
        frames.unsolicited_advertisement(A, six),
        frames.neighbour_solicitation(A, six),
        frames.neighbour_solicitation(A, six, SIX[1], B),
        frames.neighbour_advertisement(A, six, B, SIX[1]),
    ]
    for envelope in envelopes:
        every += [
            frames.echo_request(envelope, 1, 2, b"odd"),
            frames.echo_reply(envelope, 1, 2),
            frames.tcp_syn(envelope, (1000, 80), 7),
            frames.tcp_reset(envelope, (1000, 80), 8),
            frames.udp_datagram(envelope, (1, 2), b"x"),
        ]
    return every


def test_scapy_would_have_built_the_same_bytes() -> None:
    for frame in _built():
        assert len(frame) >= 60  # shorter ones are no frames to a wire
        again = Ether(frame)
        # Checksums deleted, scapy computes its own.
        for layer in (IP, ICMP, TCP, UDP, ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6ND_NA):
            if layer in again:
                for field in ("chksum", "cksum"):
                    if field in again[layer].fields:
                        delattr(again[layer], field)
        assert bytes(again) == frame


@pytest.mark.parametrize(
    ("built", "message"),
    [
        (Ether(src=str(A), dst=str(B)) / ARP(op=1, psrc="1.2.3.4", pdst="1.2.3.5"), None),
        (
            Ether(src=str(A), dst=str(B)) / Dot1Q(vlan=9) / IP(dst="1.2.3.4") / UDP(dport=9),
            frames.Datagram(53, 9),
        ),
        (
            Ether(src=str(A), dst=str(B))
            / IP(dst="1.2.3.4", options=b"\x01\x01\x01\x00")
            / TCP(sport=5, dport=6, flags="SA", seq=1, ack=2, options=[("MSS", 1440)]),
            frames.Segment(5, 6, 1, 2, Flag.SYN | Flag.ACK, 8192, 1440),
        ),
        (
            Ether(src=str(A), dst=str(B))
            / IPv6(src="fe80::1", dst="2001:db8::2", hlim=255)
            / ICMPv6ND_NS(tgt="2001:db8::2")
            / ICMPv6NDOptSrcLLAddr(lladdr=str(A)),
            frames.Solicitation(IPv6Address("2001:db8::2"), A),
        ),
        (
            Ether(src=str(A), dst=str(B))
            / IPv6(src="fe80::1", dst="2001:db8::2")
            / IPv6ExtHdrHopByHop()
            / ICMPv6EchoRequest(id=3, seq=4),
            frames.Echo(reply=False, identifier=3, sequence=4),
        ),
    ],
)
def test_frames_of_another_hand_are_understood(built: Ether, message: object) -> None:
    assert parsed(bytes(built)).message == message


def _advertisement(**changed: object) -> bytes:
    packet = IPv6(src="fe80::1", dst="ff02::1", hlim=changed.get("hlim", 255))
    body = ICMPv6ND_NA(tgt=changed.get("tgt", "2001:db8::2"), S=changed.get("S", 0), R=0)
    option = ICMPv6NDOptDstLLAddr(lladdr=str(A), len=changed.get("len", 1))
    return bytes(Ether(src=str(A), dst="33:33:00:00:00:01") / packet / body / option)


def test_a_claim_behind_an_extension_header_is_understood() -> None:
    packet = IPv6(src="2001:db8::66", dst="ff02::1", hlim=255)
    for extension in (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt()):
        claim = ICMPv6ND_NA(tgt="2001:db8::10", R=0, S=0, O=1)
        option = ICMPv6NDOptDstLLAddr(lladdr=str(A))
        built = Ether(src=str(A), dst="33:33:00:00:00:01") / packet / extension / claim / option
        found = parsed(bytes(built)).message
        assert found == frames.Advertisement(IPv6Address("2001:db8::10"), A, override=True)


def test_of_two_options_the_first_counts_as_for_the_kernel() -> None:
    packet = IPv6(src="2001:db8::66", dst="ff02::1", hlim=255)
    first, second = (ICMPv6NDOptDstLLAddr(lladdr=str(each)) for each in (A, B))
    claim = ICMPv6ND_NA(tgt="2001:db8::10", R=0, S=0, O=1)
    built = Ether(src=str(A), dst="33:33:00:00:00:01") / packet / claim / first / second
    found = parsed(bytes(built)).message
    assert isinstance(found, frames.Advertisement)
    assert found.mac == A


def test_arp_of_either_hardware_type_is_understood() -> None:
    """Kernels learn from both, so both are claims."""
    address = IPv4Address("192.0.2.10")
    frame = bytearray(frames.gratuitous_arp(A, address)[1])
    plain = parsed(bytes(frame))
    frame[14:16] = (6).to_bytes(2)
    assert parsed(bytes(frame)) == plain
    frame[14:16] = (7).to_bytes(2)
    assert isinstance(parse(bytes(frame)), Malformed)


@pytest.mark.parametrize(
    "changed", [{"hlim": 254}, {"tgt": "ff02::5"}, {"S": 1}, {"len": 0}, {"len": 9}]
)
def test_advertisements_against_the_rfc_are_malformed(changed: dict[str, object]) -> None:
    assert isinstance(parse(_advertisement()), Frame)
    assert isinstance(parse(_advertisement(**changed)), Malformed)


@pytest.mark.parametrize(
    ("ends", "covered"),
    [(FOUR, range(14, 58)), (SIX, range(22, 78))],  # IPv6 has no sum over its first 8 bytes
)
def test_a_wrong_bit_is_found_wherever_a_checksum_covers_it(
    ends: tuple[Address, Address], covered: range
) -> None:
    frame = frames.tcp_syn(Envelope(A, B, *ends), (1, 2), 3)
    for place in covered:
        broken = bytearray(frame)
        broken[place] ^= 0x10
        assert isinstance(parse(bytes(broken)), Malformed), place


def test_a_wrong_header_is_found_where_nothing_else_would_find_it() -> None:
    frame = bytearray(frames.echo_request(Envelope(A, B, *FOUR), 1, 2, b"long enough, no padding"))
    frame[14 + 8] ^= 1  # the time to live, which only the header's own sum covers
    assert parse(bytes(frame)) == Malformed("ipv4", "the header checksum is wrong")


def test_a_checksum_left_to_the_card_is_not_looked_at() -> None:
    frame = bytearray(frames.tcp_syn(Envelope(A, B, *FOUR), (1, 2), 3))
    frame[14 + 20 + 16] ^= 0xFF
    assert isinstance(parse(bytes(frame)), Malformed)
    assert isinstance(parse(bytes(frame), checksum_ready=False), Frame)


def test_fragments_are_no_messages() -> None:
    first = Ether(src=str(A), dst=str(B)) / IP(dst="1.2.3.4", flags="MF") / UDP(dport=9)
    later = Ether(src=str(A), dst=str(B)) / IPv6(dst="::1") / IPv6ExtHdrFragment(offset=9, nh=6)
    for built in (first, later / b"0123456789"):
        frame = parsed(bytes(built))
        assert frame.message is None
        assert isinstance(frame.network, Ip)
        assert frame.network.fragment


@pytest.mark.parametrize(
    "inner",
    [
        IP() / TCP(sport=4242),
        IP() / UDP(sport=4242),
        IP() / ICMP(id=4242),
        IPv6() / UDP(sport=4242),
    ],
)
def test_errors_name_the_packet_they_are_about(inner: IP) -> None:
    about = bytes(inner)[: (20 if isinstance(inner, IP) else 40) + 8]
    assert quoted(frames.IcmpError("destination unreachable", 3, about)) == 4242
    assert quoted(frames.IcmpError("destination unreachable", 3, about[:-1])) is None


def test_truncated_anywhere_nothing_raises() -> None:
    for frame in _built():
        for length in range(len(frame)):
            parse(frame[:length])


def test_hostile_bytes_never_raise() -> None:
    """Noise, and built frames with bytes changed, cut off and repeated."""
    chance = random.Random(1999)
    seeds = _built()
    malformed = 0
    for turn in range(FUZZED):
        frame = bytearray(seeds[turn % len(seeds)])
        for _ in range(chance.randrange(1, 6)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        if turn % 7 == 0:
            del frame[chance.randrange(len(frame)) :]
        if turn % 11 == 0:
            frame += chance.randbytes(chance.randrange(80))
        malformed += isinstance(parse(bytes(frame)), Malformed)
    assert 0 < malformed < FUZZED
