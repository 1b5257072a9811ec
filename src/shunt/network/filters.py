"""Socket filters: which frames the kernel hands to a packet socket (classic BPF).

Instructions as in McCanne and Jacobson, "The BSD Packet Filter", USENIX Winter 1993. The kernel
has taken the 802.1Q tag off before a filter runs, so the EtherType is always at offset 12.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from shunt.network.frames import ethernet, ip, neighbour

if TYPE_CHECKING:
    from shunt.model.addresses import Mac

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30  # at a fixed offset
_EQUAL, _RETURN = 0x15, 0x06
_DESTINATION, _KIND, _IPV6_NEXT, _ICMPV6_TYPE = 0, 12, 20, 54
_WHOLE = 0x40000
_KEEP, _DROP = -1, -2  # jumps that `_linked` resolves


class Instruction(NamedTuple):
    """One instruction: operation, how far to jump if true or false, and its constant."""

    code: int
    if_true: int
    if_false: int
    constant: int


class Filter(tuple[Instruction, ...]):
    """A program for the kernel."""

    __slots__ = ()

    def packed(self) -> bytes:
        """Return the array of `struct sock_filter`."""
        return b"".join(struct.pack("HBBI", *instruction) for instruction in self)


_CLAIMS = (
    Instruction(_LOAD_HALF, 0, 0, _KIND),
    Instruction(_EQUAL, _KEEP, 0, ethernet.ARP),
    Instruction(_EQUAL, 0, _DROP, ethernet.IPV6),
    Instruction(_LOAD_BYTE, 0, 0, _IPV6_NEXT),
    *(Instruction(_EQUAL, _KEEP, 0, kind) for kind in ip.HEADERS_BEFORE_A_MESSAGE),
    Instruction(_EQUAL, 0, _DROP, ip.ICMPV6),
    Instruction(_LOAD_BYTE, 0, 0, _ICMPV6_TYPE),
    Instruction(_EQUAL, _KEEP, 0, neighbour.SOLICITATION),
    Instruction(_EQUAL, _KEEP, _DROP, neighbour.ADVERTISEMENT),
)


def claims_and_frames_to(*macs: Mac) -> Filter:
    """Return a filter that keeps ARP, neighbour discovery and every frame sent to one of `macs`.

    Whatever else flows on a loaded segment stays in the kernel. A packet of IPv6 with extension
    headers, which are rare, is kept: a claim may lie behind them.
    """
    to_a_mac = [instruction for mac in macs for instruction in _sent_to(mac)]
    return _linked([*to_a_mac, *_CLAIMS])


def _sent_to(mac: Mac) -> tuple[Instruction, ...]:
    return (
        Instruction(_LOAD_WORD, 0, 0, _DESTINATION),
        Instruction(_EQUAL, 0, 2, int.from_bytes(mac.octets[:4])),
        Instruction(_LOAD_HALF, 0, 0, _DESTINATION + 4),
        Instruction(_EQUAL, _KEEP, 0, int.from_bytes(mac.octets[4:])),
    )


def _linked(body: list[Instruction]) -> Filter:
    """Return `body` with its symbolic jumps led to the two returns that follow it."""
    keep, drop = len(body), len(body) + 1

    def target(place: int, jump: int) -> int:
        return jump if jump >= 0 else (keep if jump == _KEEP else drop) - place - 1

    linked = [
        Instruction(i.code, target(place, i.if_true), target(place, i.if_false), i.constant)
        for place, i in enumerate(body)
    ]
    ends = (Instruction(_RETURN, 0, 0, _WHOLE), Instruction(_RETURN, 0, 0, 0))
    return Filter((*linked, *ends))
