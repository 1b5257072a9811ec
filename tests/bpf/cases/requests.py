"""TCP and UDP to services and to what is none, and frames to other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import GRE, LLC

from tests.bpf.cases.case import Case, in_both
from tests.bpf.segment import (
    ANY_PORT,
    BEHIND,
    DOWN,
    EMPTY,
    FAR,
    HOST,
    NO_DEVICE,
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

if TYPE_CHECKING:
    from collections.abc import Iterator

_TCP_OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (7, 0)), ("WScale", 7)]
_MULTICAST = {"IPv4": "01:00:5e:00:02:0a", "IPv6": "33:33:00:00:00:10"}


def _services(f: Family) -> Iterator[Case]:
    def tcp(to: int | str, port: int, flags: str = "A") -> Any:
        return ether() / f.ip(to) / TCP(sport=40000, dport=port, flags=flags, seq=9) / b"payload"

    def udp(to: int | str, port: int) -> Any:
        return ether() / f.ip(to) / UDP(sport=40000, dport=port) / b"question"

    to_web = ether() / f.ip(WEB)
    opening = TCP(sport=40000, dport=80, flags="S", options=_TCP_OPTIONS)
    yield Case("SYN", to_web / opening, "forwarded", A, opened=1)
    yield Case("ACK", tcp(WEB, 80), "forwarded", A)
    yield Case("FIN", tcp(WEB, 80, "FA"), "forwarded", A, closed=1)
    yield Case("RST", tcp(WEB, 80, "R"), "forwarded", A, closed=1)
    yield Case("SYN and ACK opens nothing", tcp(WEB, 80, "SA"), "forwarded", A)
    yield Case("all flags", tcp(WEB, 80, "FSRPAUEC"), "forwarded", A, closed=1)
    yield Case("1500 bytes", tcp(WEB, 80) / bytes(1400), "forwarded", A)
    yield Case("padded to the least frame", bytes(tcp(WEB, 80)).ljust(100, b"\0"), "forwarded", A)
    marked = f.ip(WEB, tos=0xB9, ttl=1, id=77, flags="DF") if f is V4 else f.ip(
        WEB, tc=0xB9, hlim=1, fl=0x12345
    )  # fmt: skip
    yield Case("marks and the last hop", ether() / marked / TCP(dport=80), "forwarded", A, opened=1)
    yield Case("UDP", udp(WEB, 53), "forwarded", B)
    yield Case("UDP without payload", to_web / UDP(dport=53), "forwarded", B)
    yield Case("no service on the port", tcp(WEB, 81, "S"), "dropped_no_service")
    yield Case("no service for the protocol", udp(WEB, 80), "dropped_no_service")
    yield Case("any port", tcp(ANY_PORT, 9999, "S"), "forwarded", A, opened=1)
    yield Case("any port, port 0", tcp(ANY_PORT, 0, "S"), "forwarded", A, opened=1)
    yield Case("a port beside any port", tcp(ANY_PORT, 22, "S"), "forwarded", B, opened=1)
    yield Case("any port is of one protocol", udp(ANY_PORT, 9999), "dropped_no_service")
    yield Case("any cluster", tcp(f.elsewhere, 8080), "forwarded", C)
    yield Case("any cluster is not for named ones", tcp(WEB, 8080), "dropped_no_service")
    yield Case("any cluster leaves the host alone", tcp(HOST, 8080), "passed_not_ours")
    yield Case("not ours", tcp(f.elsewhere, 80, "S"), "passed_not_ours")
    yield Case("the host's own", tcp(HOST, 22, "S"), "passed_not_ours")
    yield Case("another dispatcher is active", tcp(STANDBY, 80), "forwarded", A)
    yield Case("no server", tcp(EMPTY, 80, "S"), "dropped_no_server")
    yield Case("no MAC", tcp(NO_MAC, 80), "dropped_no_mac")
    yield Case("by another interface", tcp(FAR, 80), "forwarded", BEHIND, behind=True)
    yield Case("UDP by another interface", udp(FAR, 53), "forwarded", BEHIND, behind=True)
    yield Case("by an interface that is not there", tcp(NO_DEVICE, 80), "dropped_no_device")
    yield Case("UDP to a server that is down", udp(DOWN, 53), "dropped_no_reset")


def _other_protocols(f: Family) -> Iterator[Case]:
    protocol = "proto" if f is V4 else "nh"
    yield Case("GRE", ether() / f.ip(WEB) / GRE() / b"x", "dropped_protocol")
    for name, number in (("ESP", 50), ("SCTP", 132), ("no next header", 59)):
        frame = ether() / f.ip(WEB, **{protocol: number}) / bytes(20)
        yield Case(name, frame, "dropped_protocol")
    yield Case("GRE, not ours", ether() / f.ip(f.elsewhere) / GRE() / b"x", "passed_not_ours")


def _other_macs(f: Family) -> Iterator[Case]:
    request = f.ip(WEB) / TCP(dport=80)
    for name, mac in (
        ("another machine's MAC", str(OTHER_MAC)),
        ("broadcast MAC", "ff:ff:ff:ff:ff:ff"),
        ("multicast MAC", _MULTICAST[str(f)]),
    ):
        yield Case(name, ether(dst=mac) / request, "passed_other_mac")


def _not_ip() -> Iterator[Case]:
    yield Case("an Ethernet header alone", ether(type=0x0800), "passed_truncated")
    yield Case("an unknown protocol", ether(type=0x88CC) / bytes(46), "passed_not_ip")
    yield Case("802.3 with a length", ether(type=60) / LLC() / bytes(57), "passed_not_ip")


CASES = (
    *in_both(_services, _other_protocols, _other_macs),
    Case("any cluster, any port", ether() / V6.ip(V6.elsewhere) / UDP(dport=7), "forwarded", C),
    Case(
        "any cluster, any port, leaves the host alone",
        ether() / V6.ip(HOST) / UDP(dport=7),
        "passed_not_ours",
    ),
    *_not_ip(),
)
