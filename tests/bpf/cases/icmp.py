"""Pings, and ICMP errors about flows (RFC 792, RFC 4443)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    IPOption_EOL,
    IPOption_LSRR,
    IPOption_NOP,
    IPOption_Router_Alert,
    IPOption_RR,
    IPOption_SSRR,
)
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
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import Dot1Q, Ether

from tests.bpf.cases.case import Case, in_both
from tests.bpf.segment import (
    BEHIND,
    BROADCAST,
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


def _ping(f: Family, *, source: str | None = None, **fields: Any) -> Any:
    """Return a ping from an address, without its Ethernet header."""
    if f is V4:
        return f.ip(WEB, src=source or f.client) / ICMP(type=8, id=7, seq=3, **fields) / b"abc"
    data = {"id": 7, "seq": 3, "data": b"abc", **fields}
    return f.ip(WEB, src=source or f.client) / ICMPv6EchoRequest(**data)


def _martians(f: Family) -> Iterator[Case]:
    """Sources that RFC 1122, section 3.2.1.3, and RFC 4291, section 2, give to no packet."""
    none: tuple[str, ...]
    some: tuple[str, ...]
    if f is V4:
        none = ("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "224.0.0.1",
                "239.255.255.255", "240.0.0.1", "255.255.255.255", BROADCAST)  # fmt: skip
        some = ("1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255", "192.0.2.254")
    else:
        none = ("::", "::1", "ff02::1", "ff0e::5", "ffff::1", "::ffff:192.0.2.1")
        some = ("::2", "fe80::1", "feff::1", "::1:ffff:c000:201", "0:0:1::")
    for source in (*none, f.cluster(WEB), f.cluster(STANDBY)):
        yield Case(f"ping from {source}", ether() / _ping(f, source=source), "dropped_martian")
    for source in some:
        request = _ping(f, source=source)
        back = Ether(src=str(OWN), dst=str(CLIENT_MAC))
        answer = IP(src=f.cluster(WEB), dst=source, ttl=64) if f is V4 else IPv6(
            src=f.cluster(WEB), dst=source, hlim=64
        )  # fmt: skip
        said = ICMP(type=0, id=7, seq=3) / b"abc" if f is V4 else ICMPv6EchoReply(
            id=7, seq=3, data=b"abc"
        )  # fmt: skip
        yield Case(f"ping from {source}", ether() / request, "answered_ping",
                   answer=back / answer / said)  # fmt: skip
    for mac in ("ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "03:00:00:00:00:01"):
        yield Case(f"ping from MAC {mac}", ether(src=mac) / _ping(f), "dropped_martian")


def _broken(f: Family) -> Iterator[Case]:
    """Pings that hosts discard (RFC 1122, section 3.2.2.6)."""
    wrong: dict[str, Any] = {"chksum": 0x1234} if f is V4 else {"cksum": 0x1234}
    malformed = "dropped_malformed"
    yield Case("ping with a wrong sum", ether() / _ping(f, **wrong), malformed)
    for size in (1, 2, 3, 63, 64, 65, 1400):
        data = bytes(n % 7 for n in range(size))
        echo = ICMP(type=8) / data if f is V4 else ICMPv6EchoRequest(data=data)
        whole = bytes(ether() / f.ip(WEB) / echo)
        last = whole[:-1] + bytes([whole[-1] ^ 1])
        yield Case(f"ping whose last byte of {size} flipped", last, malformed)
    spent = _ping(f)
    spent.ttl = 0
    if f is V6:
        spent.hlim = 0
    yield Case("ping with no hop left", ether() / spent, malformed)
    whole = bytes(ether() / _ping(f))
    yield Case("ping that lacks its last byte", whole[:-1], malformed)
    padded = whole.ljust(80, b"\xaa")
    answer = bytes(Ether(src=str(OWN), dst=str(CLIENT_MAC)) / _pong(f)).ljust(80, b"\xaa")
    yield Case("ping with padding that is not zero", padded, "answered_ping", answer=answer)
    if f is V4:
        odd = _ping(f)
        odd.chksum = 0x1234
        yield Case("ping with a wrong sum of the header", ether() / odd, malformed)
        for length in (19, 27):
            short = _ping(f)
            short.len = length
            yield Case(f"ping of {length} bytes by its header", ether() / short, malformed)
    else:
        short = _ping(f)
        short.plen = 7
        yield Case("ping of 7 bytes by its header", ether() / short, malformed)


def _pong(f: Family) -> Any:
    if f is V4:
        return IP(src=f.cluster(WEB), dst=f.client, ttl=64) / ICMP(type=0, id=7, seq=3) / b"abc"
    return IPv6(src=f.cluster(WEB), dst=f.client, hlim=64) / ICMPv6EchoReply(
        id=7, seq=3, data=b"abc"
    )


def _routed() -> Iterator[Case]:
    """Source routing: the answer would have to go by the same way back."""
    back = Ether(src=str(OWN), dst=str(CLIENT_MAC))
    ping = ICMP(type=8, id=7, seq=3) / b"abc"
    reply = ICMP(type=0, id=7, seq=3) / b"abc"
    record = IPOption_RR(pointer=4, routers=["0.0.0.0"] * 2)
    for name, option in (
        ("a loose source route", IPOption_LSRR(pointer=4, routers=["203.0.113.1"])),
        ("a strict source route", IPOption_SSRR(pointer=4, routers=["203.0.113.1"])),
    ):
        for where, options in (
            ("", [option]),
            (" behind another option", [record, option]),
            (" behind nothing", [IPOption_NOP(), option]),
        ):
            asked = ether() / V4.ip(WEB, options=options) / ping
            yield Case(f"ping with {name}{where}", asked, "dropped_martian")
    for name, options in (
        ("a recorded route", [record]),
        ("options behind their end", [IPOption_EOL(), IPOption_LSRR(routers=["203.0.113.1"])]),
    ):
        fields = {"dst": V4.client, "src": V4.cluster(WEB), "ttl": 64, "options": options}
        yield Case(f"ping with {name}", ether() / V4.ip(WEB, options=options) / ping,
                   "answered_ping", answer=back / IP(**fields) / reply)  # fmt: skip
    nonsense = bytes(ether() / V4.ip(WEB, options=[record]) / ping)
    broken = nonsense[:35] + b"\0" + nonsense[36:]
    yield Case("ping with an option of no length", broken, "dropped_martian")
    six, echo = ether() / V6.ip(WEB), ICMPv6EchoRequest(id=7, seq=3, data=b"abc")
    routing = IPv6ExtHdrRouting(addresses=["2001:db8::5"], segleft=0)
    yield Case("ping behind a routing header", six / routing / echo, "dropped_martian")
    both = IPv6ExtHdrHopByHop() / routing
    yield Case("ping behind two headers, one of routing", six / both / echo, "dropped_martian")
    head = IPv6(src=V6.cluster(WEB), dst=V6.client, hlim=64)
    answer = back / head / IPv6ExtHdrHopByHop() / ICMPv6EchoReply(id=7, seq=3, data=b"abc")
    yield Case("ping behind hop-by-hop options", six / IPv6ExtHdrHopByHop() / echo,
               "answered_ping", answer=answer)  # fmt: skip
    wrong = ICMPv6EchoRequest(id=7, seq=3, data=b"abc", cksum=0x1234)
    yield Case("the same with a wrong sum", six / IPv6ExtHdrHopByHop() / wrong,
               "dropped_malformed")  # fmt: skip


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
    *in_both(_pings, _martians, _broken),
    *_routed(),
    *in_both(_errors),
    *_inside(),
)
