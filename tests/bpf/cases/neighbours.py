"""Who has a cluster address: ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6NDOptUnknown,
    IPv6,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether

from tests.bpf.cases.case import Case
from tests.bpf.segment import BROADCAST, CLIENT_MAC, HOST, OTHER_MAC, STANDBY, V4, V6, WEB, ether
from tests.bpf.world import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = "ff:ff:ff:ff:ff:ff"
ZERO = "00:00:00:00:00:00"


def _arp() -> Iterator[Case]:
    web, client = V4.cluster(WEB), V4.client
    asking = {"op": 1, "hwsrc": str(CLIENT_MAC), "psrc": client, "pdst": web}
    reply = ARP(op=2, hwsrc=str(OWN), psrc=web, hwdst=str(CLIENT_MAC), pdst=client)
    back = Ether(src=str(OWN), dst=str(CLIENT_MAC))

    def request(target: str = str(OWN), **fields: Any) -> Any:
        return ether(dst=target) / ARP(**{**asking, **fields})

    yield Case("ARP request", request(ALL), "answered_arp", answer=back / reply)
    padded = bytes(request(ALL)).ljust(60, b"\0")
    answer = bytes(back / reply).ljust(60, b"\0")
    yield Case("ARP request, padded", padded, "answered_arp", answer=answer)
    yield Case("ARP request to our MAC", request(), "answered_arp", answer=back / reply)
    yield Case("ARP request to another MAC", request(str(OTHER_MAC)), "passed_other_mac")
    tagged = ether(dst=ALL) / Dot1Q(vlan=9) / ARP(**asking)
    answer = back / Dot1Q(vlan=9) / reply
    yield Case("ARP request, tagged", tagged, "answered_arp", answer=answer)
    to_nobody = ARP(op=2, hwsrc=str(OWN), psrc=web, hwdst=str(CLIENT_MAC), pdst="0.0.0.0")
    yield Case("ARP probe", request(ALL, psrc="0.0.0.0"), "answered_arp", answer=back / to_nobody)
    for name, target in (
        ("another machine", V4.elsewhere),
        ("the host", V4.cluster(HOST)),
        ("a cluster address that is another dispatcher's", V4.cluster(STANDBY)),
    ):
        yield Case(f"ARP request for {name}", request(ALL, pdst=target), "passed_arp")
    yield Case("ARP reply from another machine", request(op=2, pdst=V4.cluster(HOST)), "passed_arp")
    theirs = {"hwsrc": str(OTHER_MAC), "psrc": web}
    for name, frame in (
        ("request", request(ALL, **theirs, pdst=client)),
        ("reply", request(op=2, **theirs, pdst=client)),
        ("announcement", request(ALL, **theirs, pdst=web)),
        ("reply to another MAC", request(str(CLIENT_MAC), op=2, **theirs, pdst=client)),
    ):
        yield Case(f"ARP {name} that claims a cluster address", frame, "passed_claim")
    ours = request(ALL, hwsrc=str(OWN), psrc=web, pdst=V4.cluster(HOST))
    yield Case("our own ARP announcement comes back", ours, "passed_arp")
    for sender in ("127.0.0.1", "0.0.0.1", "224.0.0.1", "255.255.255.255", BROADCAST):
        yield Case(f"ARP request of {sender}", request(ALL, psrc=sender), "dropped_martian")
    many = "03:00:00:00:00:0c"
    yield Case("ARP request of many", request(ALL, hwsrc=many), "dropped_martian")
    from_many = ether(src=many, dst=ALL) / ARP(**asking)
    yield Case("ARP request from a MAC of many", from_many, "dropped_martian")
    yield Case("ARP request of many, not ours", request(ALL, hwsrc=many, pdst=V4.elsewhere),
               "passed_arp")  # fmt: skip
    for name, fields in (
        ("another hardware", {"hwtype": 6}),
        ("another protocol", {"ptype": 0x86DD}),
        ("long hardware addresses", {"hwlen": 8}),
        ("long protocol addresses", {"plen": 16}),
    ):
        odd = bytes(request(ALL, **fields)).ljust(80, b"\0")
        yield Case(f"ARP of {name}", odd, "passed_arp")
    yield Case("ARP cut off", bytes(request(ALL))[:-1], "passed_arp")


def _solicitations() -> Iterator[Case]:
    web, client = V6.cluster(WEB), V6.client
    ours = ICMPv6NDOptDstLLAddr(lladdr=str(OWN))
    theirs = ICMPv6NDOptSrcLLAddr(lladdr=str(CLIENT_MAC))
    many = "33:33:ff:00:00:10"
    group = "ff02::1:ff00:10"

    def ask(mac: str, to: str, *, source: str = client, hops: int = 255, code: int = 0) -> Any:
        return ether(dst=mac) / IPv6(src=source, dst=to, hlim=hops) / ICMPv6ND_NS(
            tgt=web, code=code
        )  # fmt: skip

    def said(*, solicited: int = 1, to: str = client) -> Any:
        return IPv6(src=web, dst=to, hlim=255) / ICMPv6ND_NA(
            R=0, S=solicited, O=1, tgt=web
        ) / ours  # fmt: skip

    back = Ether(src=str(OWN), dst=str(CLIENT_MAC))
    yield Case("solicitation", ask(many, group) / theirs, "answered_nd", answer=back / said())
    yield Case("solicitation to our MAC", ask(str(OWN), web) / theirs, "answered_nd",
               answer=back / said())  # fmt: skip
    yield Case("solicitation without option", ask(str(OWN), web), "answered_nd",
               answer=back / said())  # fmt: skip
    probe = ask(many, group, source="::")
    to_all = Ether(src=str(OWN), dst="33:33:00:00:00:01") / said(solicited=0, to="ff02::1")
    yield Case("duplicate address detection", probe, "answered_nd", answer=to_all)
    tagged = ether(dst=many) / Dot1Q(vlan=9) / probe[IPv6]
    answer = Ether(src=str(OWN), dst="33:33:00:00:00:01") / Dot1Q(vlan=9) / to_all[IPv6]
    yield Case("duplicate address detection, tagged", tagged, "answered_nd", answer=answer)
    yield Case("solicitation to another MAC", ask(str(OTHER_MAC), web) / theirs, "passed_other_mac")
    yield Case("solicitation from afar", ask(many, group, hops=254) / theirs, "passed_not_ours")
    yield Case("solicitation with a code", ask(many, group, code=1) / theirs, "passed_not_ours")
    yield Case("solicitation cut off", bytes(ask(many, group))[:-1], "passed_not_ours")
    behind = ether(dst=many) / IPv6(src=client, dst=group, hlim=255) / IPv6ExtHdrHopByHop()
    extended = behind / ICMPv6ND_NS(tgt=web) / theirs
    yield Case("solicitation behind an extension header", extended, "passed_not_ours")
    yield from _unsound(ask(many, group), theirs)
    claim = ether(src=str(OTHER_MAC), dst=many) / ask(many, group, source=web)[IPv6]
    yield Case("solicitation by who claims the cluster address", claim, "passed_claim")
    for name, target in (
        ("another machine", V6.elsewhere),
        ("the host", V6.cluster(HOST)),
        ("a cluster address that is another dispatcher's", V6.cluster(STANDBY)),
    ):
        frame = ether(dst=many) / IPv6(src=client, dst=group, hlim=255) / ICMPv6ND_NS(tgt=target)
        yield Case(f"solicitation for {name}", frame / theirs, "passed_not_ours")


def _unsound(sound: Any, option: Any) -> Iterator[Case]:
    """Solicitations that nodes discard (RFC 4861, section 7.1.1)."""

    def changed(more: Any = None, **fields: Any) -> Any:
        frame = sound.copy()
        for name, value in fields.items():
            setattr(frame[IPv6], name, value)
        return frame / more if more is not None else frame

    wrong = changed(option)
    wrong[ICMPv6ND_NS].cksum = 0x1234
    malformed, martian = "dropped_malformed", "dropped_martian"
    yield Case("solicitation with a wrong sum", wrong, malformed)
    for source in ("ff02::1", "::1", "::ffff:192.0.2.1"):
        yield Case(f"solicitation from {source}", changed(option, src=source), martian)
    for mac in (ALL, "33:33:00:00:00:01"):
        frame = changed(option)
        frame.src = mac
        yield Case(f"solicitation from MAC {mac}", frame, martian)
    nobody = {"src": "::"}
    yield Case("solicitation of nobody with a MAC", changed(option, **nobody), malformed)
    for name, group in (
        ("the address itself", V6.cluster(WEB)),
        ("another group", "ff02::1:ff00:11"),
        ("all nodes", "ff02::1"),
    ):
        yield Case(f"solicitation of nobody to {name}", changed(dst=group, **nobody), malformed)
    nonce = ICMPv6NDOptUnknown(type=14, len=1, data=b"nonce6")  # RFC 7527
    to_all = IPv6(src=V6.cluster(WEB), dst="ff02::1", hlim=255)
    said = ICMPv6ND_NA(R=0, S=0, O=1, tgt=V6.cluster(WEB)) / ICMPv6NDOptDstLLAddr(lladdr=str(OWN))
    answer = Ether(src=str(OWN), dst="33:33:00:00:00:01") / to_all / said
    yield Case("solicitation of nobody with a nonce", changed(nonce, **nobody), "answered_nd",
               answer=answer)  # fmt: skip
    empty = ICMPv6NDOptUnknown(type=1, len=0, data=bytes(6))
    yield Case("solicitation with an option of no length", changed(empty), malformed)
    yield Case("solicitation with a second one", changed(option / empty), malformed)
    beyond = ICMPv6NDOptUnknown(type=1, len=2, data=bytes(6))
    yield Case("solicitation with an option beyond its end", changed(beyond), malformed)


def _advertisements() -> Iterator[Case]:
    web, client = V6.cluster(WEB), V6.client

    def say(source: str, target: str, *, hops: int = 255) -> Any:
        frame = ether(src=source, dst="33:33:00:00:00:01")
        return frame / IPv6(src=target, dst="ff02::1", hlim=hops) / ICMPv6ND_NA(tgt=target)

    option = ICMPv6NDOptDstLLAddr(lladdr=str(OTHER_MAC))
    claim = say(str(OTHER_MAC), web) / option
    yield Case("advertisement that claims a cluster address", claim, "passed_claim")
    bare = say(str(OTHER_MAC), web)
    yield Case("the same without option", bare, "passed_claim")
    yield Case("the same from afar", say(str(OTHER_MAC), web, hops=64), "passed_not_ours")
    yield Case("our own advertisement comes back", say(str(OWN), web), "passed_not_ours")
    other = say(str(OTHER_MAC), client)
    yield Case("advertisement of another address", other, "passed_not_ours")
    yield Case("advertisement cut off", bytes(bare)[:-1], "passed_not_ours")
    routers = ether(dst="33:33:00:00:00:01") / IPv6(src="fe80::1", dst="ff02::1") / ICMPv6ND_RA()
    yield Case("router advertisement", routers, "passed_not_ours")


CASES = (*_arp(), *_solicitations(), *_advertisements())
