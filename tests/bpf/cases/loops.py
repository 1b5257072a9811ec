"""What comes from the very server that it would go to: sent back by it, or a request of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig
from scapy.layers.l2 import Dot1AD, Dot1Q

from tests.bpf.cases.case import Case, in_both
from tests.bpf.segment import ANY_PORT, BEHIND, FAR, V4, WEB, A, B, Family, ether

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOP = "dropped_loop"


def _cases(f: Family) -> Iterator[Case]:
    tcp, udp = TCP(sport=40000, dport=80, flags="A"), UDP(sport=40000, dport=53)
    last = {"ttl": 1} if f is V4 else {"hlim": 1}

    def sent_by(server: Any) -> Any:
        return ether(src=str(server.mac))

    yield Case("TCP", sent_by(A) / f.ip(WEB) / tcp, _LOOP, loops=A)
    yield Case("a SYN", sent_by(A) / f.ip(WEB) / TCP(dport=80, flags="S"), _LOOP, loops=A)
    yield Case("UDP", sent_by(B) / f.ip(WEB) / udp, _LOOP, loops=B)
    yield Case("at its last hop", sent_by(A) / f.ip(WEB, **last) / tcp, _LOOP, loops=A)
    yield Case("tagged", sent_by(A) / Dot1Q(vlan=7) / f.ip(WEB) / tcp, _LOOP, loops=A)
    twice = Dot1AD(vlan=3) / Dot1Q(vlan=7, prio=5)
    yield Case("tagged twice", sent_by(A) / twice / f.ip(WEB) / tcp, _LOOP, loops=A)
    behind = sent_by(BEHIND) / f.ip(FAR) / tcp
    yield Case("by another interface", behind, _LOOP, loops=BEHIND)
    yield Case("a server asks another one", sent_by(A) / f.ip(WEB) / udp, "forwarded", B)
    yield Case("a MAC of the same maker", ether(src="02:00:00:00:0a:ff") / f.ip(WEB) / tcp,
               "forwarded", A)  # fmt: skip
    yield Case("a MAC with the same end", ether(src="02:01:00:00:0a:01") / f.ip(WEB) / tcp,
               "forwarded", A)  # fmt: skip
    inner = f.ip(f.client, src=f.cluster(WEB)) / TCP(sport=80, dport=40000)
    kind = ICMP(type=3, code=4) if f is V4 else ICMPv6PacketTooBig(mtu=1400)
    error = f.ip(WEB, src=f.router) / kind / bytes(inner)
    yield Case("an ICMP error", sent_by(A) / error, _LOOP, loops=A)


def _own() -> Iterator[Case]:
    """The address that names server A is of IPv4; by another one it is not known."""
    own = {"src": str(A.address)}
    for name, to in (("its own request", WEB), ("its own request, any port", ANY_PORT)):
        request = V4.ip(to, **own) / TCP(dport=80, flags="S")
        yield Case(name, ether(src=str(A.mac)) / request, "dropped_own")
    other = V4.ip(WEB, src=str(B.address)) / TCP(dport=80, flags="S")
    yield Case("another one's request", ether(src=str(A.mac)) / other, _LOOP, loops=A)
    asks_b = V4.ip(WEB, **own) / UDP(sport=7, dport=53)
    yield Case("its own request to another one", ether(src=str(A.mac)) / asks_b, "forwarded", B)


CASES = (*in_both(_cases), *_own())
