"""Fragments: the first one has the ports, the others follow it (RFC 791, RFC 8200, section 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scapy.layers.inet import ICMP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Dot1Q

from tests.bpf.cases.case import Case, in_both
from tests.bpf.segment import (
    BEHIND,
    DOWN,
    FAR,
    V4,
    V6,
    WEB,
    A,
    B,
    Family,
    ether,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58, "options": 60}


def _fragment(f: Family, number: int, place: int, inside: str, to: int | str = WEB) -> Any:
    """Return an IP header for fragment `place` (0 first, 1 middle, 2 last) of packet `number`."""
    more, offset = int(place < 2), place * 185
    if f is V4:
        return f.ip(to, id=number, flags=more, frag=offset, proto=_PROTOCOLS[inside])
    return f.ip(to) / IPv6ExtHdrFragment(m=more, offset=offset, id=number, nh=_PROTOCOLS[inside])


def _cases(f: Family) -> Iterator[Case]:
    rest, cause = bytes(1480), "forwarded_fragment"

    def part(number: int, place: int, inside: str = "tcp", to: int | str = WEB) -> Any:
        return ether() / _fragment(f, number, place, inside, to)

    first = part(1, 0) / TCP(dport=80, flags="PA") / bytes(1460)
    yield Case("first fragment", first, "forwarded", A)
    yield Case("middle fragment", part(1, 1) / rest, cause, A, before=(first,))
    yield Case("last fragment", part(1, 2) / b"tail", cause, A, before=(first,))
    udp = part(2, 0, "udp") / UDP(dport=53) / bytes(1472)
    yield Case("first fragment, UDP", udp, "forwarded", B)
    yield Case("last fragment, UDP", part(2, 2, "udp") / b"x", cause, B, before=(udp,))
    yield Case("fragment of an unknown packet", part(900, 1) / rest, "dropped_early_fragment")
    other_id = part(3, 1) / rest
    yield Case("fragment of another packet", other_id, "dropped_early_fragment", before=(first,))
    yield Case("fragment elsewhere", part(1, 1, to=f.elsewhere) / rest, "passed_not_ours")
    tagged = ether() / Dot1Q(vlan=9) / _fragment(f, 1, 2, "tcp") / b"tail"
    yield Case("tagged fragment", tagged, cause, A, before=(first,))
    far = part(4, 0, to=FAR) / TCP(dport=80, flags="A") / rest
    yield Case("last fragment by another interface", part(4, 2, to=FAR) / b"x", cause, BEHIND,
               before=(far,), behind=True)  # fmt: skip
    opening = part(5, 0) / TCP(dport=80, flags="S") / rest
    yield Case("first fragment that opens", opening, "forwarded", A, opened=1)
    yield Case("a fragment opens nothing", part(5, 2) / b"x", cause, A, before=(opening,))
    down = part(6, 0, to=DOWN) / TCP(dport=80, flags="A") / rest
    yield Case("first fragment to a server that is down", down, "dropped_no_reset")
    icmp = "icmp" if f is V4 else "icmp6"
    yield Case("later fragment of a ping", part(7, 1, icmp) / rest, "dropped_icmp")
    short = bytes(part(8, 0) / TCP(dport=80))[:-1]
    yield Case("first fragment without its header", short, "dropped_malformed")


def _ipv4() -> Iterator[Case]:
    options = {"options": [IPOption_Router_Alert()]}
    first = ether() / V4.ip(WEB, id=20, flags="MF", **options) / UDP(dport=53) / bytes(1472)
    last = ether() / V4.ip(WEB, id=20, frag=185, proto=17, **options) / b"x"
    yield Case("options in fragments", last, "forwarded_fragment", B, before=(first,))
    other = ether() / V4.ip(WEB, id=20, frag=185, proto=6) / b"x"
    yield Case("fragment of another protocol", other, "dropped_early_fragment", before=(first,))
    ping = ether() / V4.ip(WEB, id=21, flags="MF") / ICMP(type=8) / bytes(1472)
    yield Case("first fragment of a ping", ping, "dropped_icmp")


def _ipv6() -> Iterator[Case]:
    hop, target = IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt()
    first = ether() / V6.ip(WEB) / hop / IPv6ExtHdrFragment(m=1, id=30) / UDP(dport=53) / bytes(96)
    last = ether() / V6.ip(WEB) / hop / IPv6ExtHdrFragment(offset=13, id=30, nh=17) / b"x"
    yield Case("extension before fragments", last, "forwarded_fragment", B, before=(first,))
    behind = IPv6ExtHdrFragment(m=1, id=31) / target / TCP(dport=80, flags="A") / bytes(68)
    first = ether() / V6.ip(WEB) / behind
    yield Case("extension within the first fragment", first, "forwarded", A)
    last = ether() / V6.ip(WEB) / IPv6ExtHdrFragment(offset=12, id=31, nh=60) / b"x"
    yield Case("extension within, last fragment", last, "forwarded_fragment", A, before=(first,))


CASES = (*in_both(_cases), *_ipv4(), *_ipv6())
