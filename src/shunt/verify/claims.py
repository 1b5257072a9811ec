"""Who says that an address is theirs: the one thing that both `verify` and `watch` listen for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from shunt.network.frames import Advertisement, Arp, Ip, Solicitation
from shunt.network.frames.neighbour import UNSPECIFIED

if TYPE_CHECKING:
    from shunt.model.addresses import Address, Mac
    from shunt.network.frames import Frame

_REQUEST = 1
_GROUP = 0x01  # in the first octet of a MAC: many receivers


class How(StrEnum):
    """In which kind of frame an address was claimed."""

    REPLY = "ARP reply"
    REQUEST = "ARP request in its name"
    GRATUITOUS = "gratuitous ARP"
    ADVERTISEMENT = "neighbour advertisement"
    UNSOLICITED = "unsolicited neighbour advertisement"
    SOLICITATION = "neighbour solicitation in its name"
    PROBE = "ARP probe"
    DETECTION = "duplicate address detection"

    @property
    def asks(self) -> bool:
        """Whether it came along with a question about another address."""
        return self in (How.REQUEST, How.SOLICITATION)

    @property
    def intends(self) -> bool:
        """Whether it only asks if the address is free; nobody learns a MAC from that."""
        return self in (How.PROBE, How.DETECTION)


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody said that `address` is at `mac`.

    `speaker` is the MAC that sent the frame, if it is another one: who is named need not be who
    spoke. A published entry may name anybody.
    """

    address: Address
    mac: Mac
    how: How
    speaker: Mac | None = None

    @property
    def said_by(self) -> Mac:
        """Return the MAC that sent the frame."""
        return self.speaker or self.mac


def claim_of(frame: Frame) -> Claim | None:
    """Return what the frame claims; None for a frame that fills no neighbour table."""
    claim = _claim_of_arp(frame.network) if isinstance(frame.network, Arp) else _claim_of_nd(frame)
    if claim is None or claim.mac == frame.link.source:
        return claim
    return replace(claim, speaker=frame.link.source)


def intention_of(frame: Frame) -> Claim | None:
    """Return what a machine is about to claim: it asks everybody whether the address is free.

    An ARP request without a sender (RFC 5227 section 2.1.1), or a solicitation from the
    unspecified address (RFC 4862 section 5.4.2). Some ask so who want to know and no more.
    """
    arp, message, source = frame.network, frame.message, frame.link.source
    if not frame.link.destination.octets[0] & _GROUP:
        return None
    if isinstance(arp, Arp) and arp.operation == _REQUEST and arp.claims is None:
        speaker = None if arp.sender_mac == source else source
        return Claim(arp.target, arp.sender_mac, How.PROBE, speaker)
    if isinstance(message, Solicitation) and isinstance(arp, Ip) and arp.source == UNSPECIFIED:
        return Claim(message.target, source, How.DETECTION)
    return None


def _claim_of_nd(frame: Frame) -> Claim | None:
    message = frame.message
    if isinstance(message, Advertisement):
        how = How.ADVERTISEMENT if message.solicited else How.UNSOLICITED
        return Claim(message.target, message.mac or frame.link.source, how)
    if isinstance(message, Solicitation) and message.mac and isinstance(frame.network, Ip):
        return Claim(frame.network.source, message.mac, How.SOLICITATION)
    return None


def _claim_of_arp(arp: Arp) -> Claim | None:
    if arp.claims is None:
        return None
    if arp.sender == arp.target:
        return Claim(arp.sender, arp.sender_mac, How.GRATUITOUS)
    how = How.REQUEST if arp.operation == _REQUEST else How.REPLY
    return Claim(arp.sender, arp.sender_mac, how)
