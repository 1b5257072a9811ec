"""Resets in the name of a server that is down (RFC 9293, section 3.10.7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

from tests.bpf.cases.case import Case, in_both
from tests.bpf.segment import BROADCAST, CLIENT_MAC, DOWN, NOBODY, V4, V6, Family, ether
from tests.bpf.world import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPTIONS = [("NOP", None), ("NOP", None), ("Timestamp", (7, 8))]


def _cases(f: Family) -> Iterator[Case]:
    back = Ether(src=str(OWN), dst=str(CLIENT_MAC))

    def reset(**fields: Any) -> Any:
        """Return the answer; scapy computes every length and checksum."""
        header = IP(src=f.cluster(DOWN), dst=f.client, ttl=64) if f is V4 else IPv6(
            src=f.cluster(DOWN), dst=f.client, hlim=64
        )  # fmt: skip
        return header / TCP(sport=80, dport=40000, window=0, **fields)

    def case(name: str, answer: dict[str, Any], payload: bytes = b"", **fields: Any) -> Case:
        tcp = TCP(sport=40000, dport=80, seq=0xFFFFFFF0, **fields)
        last_hops = {"ttl": 3} if f is V4 else {"hlim": 3}
        request = ether() / f.ip(DOWN, **last_hops) / tcp / payload
        return Case(name, request, "answered_reset", answer=back / reset(**answer))

    yield case("reset", {"flags": "R", "seq": 77}, flags="A", ack=77)
    yield case("reset of a payload", {"flags": "R", "seq": 78}, b"x" * 999, flags="PA", ack=78)
    yield case("reset of an odd payload", {"flags": "R", "seq": 1}, b"x", flags="PA", ack=1)
    yield case("reset of options", {"flags": "R", "seq": 5}, flags="A", ack=5, options=_OPTIONS)
    yield case("reset of a FIN", {"flags": "R", "seq": 6}, flags="FA", ack=6)
    yield case("reset of SYN and ACK", {"flags": "R", "seq": 7}, flags="SA", ack=7)
    counted = {"flags": "RA", "seq": 0}
    yield case("reset of a SYN", {**counted, "ack": 0xFFFFFFF1}, flags="S")
    yield case("reset of a SYN with options", {**counted, "ack": 0xFFFFFFF1}, flags="S",
               options=_OPTIONS)  # fmt: skip
    yield case("reset of a SYN with data", {**counted, "ack": 4}, b"x" * 19, flags="S")
    yield case("reset of a bare FIN", {**counted, "ack": 0xFFFFFFF1}, flags="F")
    yield case("reset of no flags", {**counted, "ack": 4}, b"x" * 20, flags=0)
    tcp = TCP(sport=40000, dport=80, flags="A", ack=77)
    padded = bytes(ether() / f.ip(DOWN) / TCP(sport=40000, dport=80, flags="S", seq=3))
    yield Case("reset of a padded SYN", padded.ljust(90, b"\0"), "answered_reset",
               answer=back / reset(**counted, ack=4))  # fmt: skip
    tags = Dot1AD(vlan=3) / Dot1Q(vlan=4)
    yield Case("reset, tagged", ether() / tags / f.ip(DOWN) / tcp, "answered_reset",
               answer=back / tags / reset(flags="R", seq=77))  # fmt: skip
    for flags in ("R", "RA"):
        request = ether() / f.ip(DOWN) / TCP(sport=40000, dport=80, flags=flags)
        yield Case(f"no reset of {flags}", request, "dropped_no_reset")
    unusual = V4.ip(DOWN, options=[IPOption_Router_Alert()]) if f is V4 else V6.ip(
        DOWN
    ) / IPv6ExtHdrHopByHop()  # fmt: skip
    yield Case("no reset behind options", ether() / unusual / tcp, "dropped_no_reset")


def _martians(f: Family) -> Iterator[Case]:
    syn = TCP(sport=40000, dport=80, flags="S")
    for source in ("127.0.0.1", "224.0.0.1", BROADCAST) if f is V4 else ("::1", "ff02::1"):
        frame = ether() / f.ip(DOWN, src=source) / syn
        yield Case(f"no reset for {source}", frame, "dropped_martian")
    from_many = ether(src="ff:ff:ff:ff:ff:ff") / f.ip(DOWN) / syn
    yield Case("no reset for a MAC of many", from_many, "dropped_martian")


def _nobody(f: Family) -> Iterator[Case]:
    """No server is left: clients hear it at once, if the service answers with resets."""
    back = Ether(src=str(OWN), dst=str(CLIENT_MAC))
    head = IP(src=f.cluster(NOBODY), dst=f.client, ttl=64) if f is V4 else IPv6(
        src=f.cluster(NOBODY), dst=f.client, hlim=64
    )  # fmt: skip

    def said(**fields: Any) -> Any:
        return back / head / TCP(sport=80, dport=40000, window=0, **fields)

    at = ether() / f.ip(NOBODY)
    syn = at / TCP(sport=40000, dport=80, flags="S", seq=6)
    yield Case("reset of a SYN for nobody", syn, "answered_reset", answer=said(flags="RA", ack=7))
    ack = at / TCP(sport=40000, dport=80, flags="A", ack=77)
    yield Case("reset of a flow of nobody's", ack, "answered_reset",
               answer=said(flags="R", seq=77))  # fmt: skip
    reset = at / TCP(sport=40000, dport=80, flags="R")
    yield Case("no reset of a reset for nobody", reset, "dropped_no_reset")
    yield Case("no reset of UDP for nobody", at / UDP(dport=53), "dropped_no_server")


CASES = in_both(_cases, _martians, _nobody)
