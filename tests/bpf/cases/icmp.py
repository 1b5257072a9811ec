"""Pings, and ICMP errors about flows (RFC 792, RFC 4443)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import Dot1Q, Ether

from tests.bpf.cases.case import Case, in_both
from tests.bpf.segment import (
    BEHIND,
    CLIENT_MAC,
    DOWN,
    EMPTY,
    FAR,
    HOST,
    NO_MAC,
    OTHER_MAC,
    STANDBY,
    V4,
    V6,
    WEB,
    A,
    B,
    C,
    Family,
    ether,
)
from tests.bpf.world import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator


def _pings(f: Family) -> Iterator[Case]:
    back = Ether(src=str(OWN), dst=str(CLIENT_MAC))

    def ask(payload: bytes, to: int | str = WEB, **fields: Any) -> Any:
        head = f.ip(to, **fields)
        if f is V4:
            return head / ICMP(type=8, id=7, seq=3) / payload
        return head / ICMPv6EchoRequest(id=7, seq=3, data=payload)

    def reply(payload: bytes, **fields: Any) -> Any:
        if f is V4:
            head = IP(src=f.cluster(WEB), dst=f.client, ttl=64, **fields)
            return head / ICMP(type=0, id=7, seq=3) / payload
        head = IPv6(src=f.cluster(WEB), dst=f.client, hlim=64, **fields)
        return head / ICMPv6EchoReply(id=7, seq=3, data=payload)

    for size in (0, 1, 55, 56, 1452):
        data = bytes(n % 251 for n in range(size))
        yield Case(f"ping of {size} bytes", ether() / ask(data), "answered_ping",
                   answer=back / reply(data))  # fmt: skip
    tag = Dot1Q(vlan=9)
    yield Case("ping, tagged", ether() / tag / ask(b"abc"), "answered_ping",
               answer=back / tag / reply(b"abc"))  # fmt: skip
    last = {"ttl": 1} if f is V4 else {"hlim": 1}
    marks = {"tos": 0xB8, "id": 9, "flags": "DF"} if f is V4 else {"tc": 0xB8, "fl": 5}
    yield Case("ping at its last hop", ether() / ask(b"abc", **last, **marks), "answered_ping",
               answer=back / reply(b"abc", **marks))  # fmt: skip
    yield Case("ping to the host", ether() / ask(b"abc", HOST), "passed_not_ours")
    yield Case("ping elsewhere", ether() / ask(b"abc", f.elsewhere), "passed_not_ours")
    yield Case("ping to another MAC", ether(dst=str(OTHER_MAC)) / ask(b"a"), "passed_other_mac")
    yield Case("ping to another dispatcher's", ether() / ask(b"a", STANDBY), "dropped_icmp")
    bare = bytes(ether() / ask(b""))
    yield Case("ping cut off", bare[:-1], "dropped_malformed")
    odd = ICMP(type=8, code=1) if f is V4 else ICMPv6EchoRequest(code=1)
    yield Case("ping with a code", ether() / f.ip(WEB) / odd, "dropped_icmp")
    unasked = ICMP(type=0) if f is V4 else ICMPv6EchoReply()
    yield Case("a reply to no ping", ether() / f.ip(WEB) / unasked, "dropped_icmp")


def _kinds(f: Family) -> tuple[tuple[str, Any], ...]:
    if f is V4:
        return (
            ("fragmentation needed", ICMP(type=3, code=4, nexthopmtu=1400)),
            ("host unreachable", ICMP(type=3, code=1)),
            ("port unreachable", ICMP(type=3, code=3)),
            ("time exceeded", ICMP(type=11)),
            ("parameter problem", ICMP(type=12, ptr=20)),
        )
    return (
        ("packet too big", ICMPv6PacketTooBig(mtu=1400)),
        ("address unreachable", ICMPv6DestUnreach(code=3)),
        ("port unreachable", ICMPv6DestUnreach(code=4)),
        ("time exceeded", ICMPv6TimeExceeded()),
        ("parameter problem", ICMPv6ParamProblem(ptr=40)),
    )


def _errors(f: Family) -> Iterator[Case]:
    kinds = _kinds(f)
    cause = "forwarded_icmp_error"

    def sent(source: int | str = WEB, **fields: Any) -> Any:
        """Return the header of a packet that a server sent to the client."""
        address = f.cluster(source) if isinstance(source, int) else source
        header = IP if f is V4 else IPv6
        return header(src=address, dst=f.client, **fields)

    def error(inner: Any, *, to: int | str = WEB, kind: Any = None, cut: int | None = None) -> Any:
        about = bytes(inner)[:cut]
        return ether() / f.ip(to, src=f.router) / (kind or kinds[0][1]) / about

    tcp = TCP(sport=80, dport=40000, flags="PA") / bytes(64)
    udp = UDP(sport=53, dport=40000) / bytes(64)
    for name, kind in kinds:
        yield Case(name, error(sent() / tcp, kind=kind), cause, A)
    yield Case("about UDP", error(sent() / udp), cause, B)
    least = len(sent()) + 8
    yield Case("the least there must be inside", error(sent() / tcp, cut=least), cause, A)
    yield Case("less than that", error(sent() / tcp, cut=least - 1), "dropped_icmp")
    yield Case("nothing inside", error(b""), "dropped_icmp")
    yield Case("a cut header inside", error(sent(), cut=len(sent()) - 1), "dropped_icmp")
    yield Case("error, tagged", ether() / Dot1Q(vlan=9) / error(sent() / tcp)[1], cause, A)
    behind = error(sent(FAR) / tcp, to=FAR)
    yield Case("error by another interface", behind, cause, BEHIND, behind=True)
    other_way = f.ip(WEB) / TCP(sport=40000, dport=80)
    yield Case("about a packet of the client's", error(other_way), "dropped_icmp")
    yield Case("about another address", error(sent(HOST) / tcp), "dropped_icmp")
    no_service = sent() / TCP(sport=81, dport=40000)
    yield Case("about no service", error(no_service), "dropped_icmp")
    yield Case("about no server", error(sent(EMPTY) / tcp, to=EMPTY), "dropped_no_server")
    yield Case("about no MAC", error(sent(NO_MAC) / tcp, to=NO_MAC), "dropped_no_mac")
    yield Case("about a server that is down", error(sent(DOWN) / tcp, to=DOWN), "dropped_no_reset")
    wild = sent(f.elsewhere) / TCP(sport=8080, dport=40000)
    yield Case("about a flow of any cluster", error(wild, to=f.elsewhere), cause, C)
    foreign = error(sent(f.elsewhere) / tcp, to=f.elsewhere)
    yield Case("about a flow that is none of ours", foreign, "passed_not_ours")
    yield Case("error to the host", error(sent(HOST) / wild[TCP], to=HOST), "passed_not_ours")
    to_other = error(sent() / tcp)
    to_other.dst = str(OTHER_MAC)
    yield Case("error to another MAC", to_other, "passed_other_mac")
    ping = ICMP(type=8) if f is V4 else ICMPv6EchoRequest()
    yield Case("about a ping", error(sent() / ping), "dropped_icmp")
    query = ICMP(type=13) if f is V4 else ICMPv6EchoReply(type=100)
    yield Case("ICMP of another kind", ether() / f.ip(WEB) / query, "dropped_icmp")


def _six_options() -> Any:
    headers: Any = IPv6ExtHdrDestOpt()
    for _ in range(5):
        headers = headers / IPv6ExtHdrDestOpt()
    return headers


def _inside() -> Iterator[Case]:
    """Options and extension headers of the packet that the error is about."""
    four = ether() / V4.ip(WEB, src=V4.router) / ICMP(type=3, code=4, nexthopmtu=1400)
    ours = {"src": V4.cluster(WEB), "dst": V4.client}
    tcp = TCP(sport=80, dport=40000)
    options = IP(**ours, options=[IPOption_Router_Alert()])
    yield Case("IPv4 options inside", four / bytes(options / tcp), "forwarded_icmp_error", A)
    first = IP(**ours, flags="MF") / tcp
    yield Case("a first fragment inside", four / bytes(first), "forwarded_icmp_error", A)
    later = IP(**ours, frag=10) / tcp
    yield Case("a later fragment inside", four / bytes(later), "dropped_icmp")
    yield Case("IPv4 of 16 bytes inside", four / bytes(IP(**ours, ihl=4) / tcp), "dropped_icmp")
    yield Case("version 6 inside IPv4", four / bytes(IP(**ours, version=6) / tcp), "dropped_icmp")
    six = ether() / V6.ip(WEB, src=V6.router) / ICMPv6PacketTooBig(mtu=1280)
    head = IPv6(src=V6.cluster(WEB), dst=V6.client)
    for name, part, cause in (
        ("an atomic fragment", IPv6ExtHdrFragment(), "forwarded_icmp_error"),
        ("an IPv6 first fragment", IPv6ExtHdrFragment(m=1), "forwarded_icmp_error"),
        ("an IPv6 later fragment", IPv6ExtHdrFragment(offset=10), "dropped_icmp"),
        ("destination options", IPv6ExtHdrDestOpt(), "forwarded_icmp_error"),
        ("hop-by-hop options", IPv6ExtHdrHopByHop(), "forwarded_icmp_error"),
        (
            "options and a fragment",
            IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment(m=1),
            "forwarded_icmp_error",
        ),
        (
            "options and a later fragment",
            IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment(offset=10),
            "dropped_icmp",
        ),
        ("seven headers", IPv6ExtHdrHopByHop() / _six_options(), "dropped_icmp"),
    ):
        server = A if cause == "forwarded_icmp_error" else None
        yield Case(f"{name} inside", six / bytes(head / part / tcp), cause, server)
    many = bytes(head / IPv6ExtHdrDestOpt() / tcp)
    yield Case("options that are cut off inside", six / many[:47], "dropped_icmp")
    odd = IPv6(src=V6.cluster(WEB), dst=V6.client, version=4)
    yield Case("version 4 inside IPv6", six / bytes(odd / tcp), "dropped_icmp")


CASES = (
    *in_both(_pings),
    *in_both(_errors),
    *_inside(),
)
