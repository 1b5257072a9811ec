"""What stands around the addresses and ports: tags, options, extension headers; and nonsense."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scapy.layers.inet import TCP, UDP, IPOption_Router_Alert, IPOption_RR
from scapy.layers.inet6 import (
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import Dot1AD, Dot1Q

from tests.bpf.cases.case import Case, in_both
from tests.bpf.segment import V4, V6, WEB, A, B, Family, ether

if TYPE_CHECKING:
    from collections.abc import Iterator


def _tags(f: Family) -> Iterator[Case]:
    request = f.ip(WEB) / TCP(dport=80, flags="A") / b"payload"
    tag = Dot1Q(vlan=7, prio=5)
    yield Case("802.1Q", ether() / tag / request, "forwarded", A)
    yield Case("802.1ad and 802.1Q", ether() / Dot1AD(vlan=3) / tag / request, "forwarded", A)
    yield Case("802.1Q twice", ether() / Dot1Q(vlan=3) / tag / request, "forwarded", A)
    three = ether() / Dot1AD(vlan=3) / Dot1Q(vlan=4) / tag / request
    yield Case("three tags", three, "passed_not_ip")


def _ipv4() -> Iterator[Case]:
    tcp = TCP(dport=80, flags="A") / b"payload"
    record = IPOption_RR(pointer=4, routers=["0.0.0.0"] * 9)
    yield Case("all the options there can be", ether() / V4.ip(WEB, options=[record]) / tcp,
               "forwarded", A)  # fmt: skip
    alert = V4.ip(WEB, options=[IPOption_Router_Alert()])
    yield Case("UDP behind options", ether() / alert / UDP(dport=53) / b"x", "forwarded", B)
    yield Case("IPv4, version 5", ether() / V4.ip(WEB, version=5) / tcp, "passed_truncated")
    yield Case("IPv4, header of 16 bytes", ether() / V4.ip(WEB, ihl=4) / tcp, "passed_truncated")
    beyond = bytes(ether() / V4.ip(WEB, ihl=15) / tcp)[:70]
    yield Case("options beyond the end", beyond, "dropped_malformed")


def _ipv6() -> Iterator[Case]:
    tcp = TCP(dport=80, flags="A") / b"payload"
    padding = [PadN(optdata=bytes(12))]
    hop, target = IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(options=padding)
    routing, atomic = IPv6ExtHdrRouting(addresses=["2001:db8::5"], segleft=0), IPv6ExtHdrFragment()
    signed = AH(payloadlen=4, spi=1, seq=1, icv=bytes(12), nh=6)
    for name, chain in (
        ("hop-by-hop", hop),
        ("destination options", target),
        ("routing", routing),
        ("authentication", signed),
        ("an atomic fragment", atomic),
        ("every extension", hop / target / routing / atomic / signed),
        ("six extensions", hop / target / target / target / target / target),
    ):
        yield Case(name, ether() / V6.ip(WEB) / chain / tcp, "forwarded", A)
    seven = hop / target / target / target / target / target / target
    yield Case("seven extensions", ether() / V6.ip(WEB) / seven / tcp, "dropped_malformed")
    tagged = ether() / Dot1AD(vlan=3) / Dot1Q(vlan=4) / V6.ip(WEB) / hop / UDP(dport=53)
    yield Case("two tags and an extension", tagged, "forwarded", B)
    far = IPv6ExtHdrDestOpt(len=200)
    yield Case("an extension beyond the end", ether() / V6.ip(WEB) / far / tcp, "dropped_malformed")
    yield Case("IPv6, version 4", ether() / V6.ip(WEB, version=4) / tcp, "passed_truncated")
    elsewhere = ether() / V6.ip(V6.elsewhere) / seven / tcp
    yield Case("seven extensions, not ours", elsewhere, "passed_not_ours")


def _transport(f: Family) -> Iterator[Case]:
    short = TCP(dport=80, flags="A", dataofs=4)
    yield Case("TCP header of 16 bytes", ether() / f.ip(WEB) / short, "dropped_malformed")
    tcp = bytes(ether() / f.ip(WEB) / TCP(dport=80))
    yield Case("TCP header cut off", tcp[:-1], "dropped_malformed")
    udp = bytes(ether() / f.ip(WEB) / UDP(dport=53))
    yield Case("UDP header cut off", udp[:-1], "dropped_malformed")
    yield Case("no header behind the addresses", udp[:-8], "dropped_malformed")
    elsewhere = bytes(ether() / f.ip(f.elsewhere) / TCP(dport=80))
    yield Case("TCP header cut off, not ours", elsewhere[:-1], "passed_not_ours")


CASES = (
    *in_both(_tags),
    *_ipv4(),
    *_ipv6(),
    *in_both(_transport),
)
