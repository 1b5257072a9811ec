"""What was sent and what was heard, in order, and questions to it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.network.frames import (
    Arp,
    Datagram,
    Echo,
    Frame,
    IcmpError,
    Ip,
    Malformed,
    Segment,
    Solicitation,
    parse,
)
from shunt.network.frames.icmp import quoted
from shunt.verify.claims import How, claim_of

if TYPE_CHECKING:
    from shunt.model.addresses import Address, Mac
    from shunt.verify.claims import Claim

_REQUEST = 1
_GROUP = 0x01  # in the first octet of a MAC: many receivers
_SLOWEST_ANSWER = 1.5  # seconds


@dataclass(frozen=True, slots=True)
class Event:
    """One frame. `phase` is the phase of the procedure in which it was sent or heard."""

    at: float
    phase: str
    frame: bytes
    parsed: Frame | Malformed
    sent: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A heard packet: when, from which MAC, its IP header."""

    at: float
    mac: Mac
    ip: Ip


@dataclass(frozen=True, slots=True)
class Voiced:
    """A claim that was heard; `delay` is the time since somebody here asked for the address."""

    at: float
    phase: str
    claim: Claim
    delay: float | None

    @property
    def answer(self) -> bool:
        """Whether it answers a question of ours.

        The answer to a duplicate detection looks like an unsolicited advertisement.
        """
        how = self.claim.how
        if how is How.UNSOLICITED:
            return self.delay is not None and self.delay < _SLOWEST_ANSWER
        return how in (How.REPLY, How.ADVERTISEMENT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request to an application; `error` None: it answered as it should.

    `unasked`: why what would tell could not be asked here.
    """

    connected: bool
    detail: str
    error: str | None = None
    unasked: str | None = None


# Headers that a claim is in, by IP version: a broken one may still be believed elsewhere.
_CLAIMING = {4: ("ethernet", "arp"), 6: ("ethernet", "ipv6", "icmp", "neighbour")}


class Transcript:
    """Grows by `sent` and `heard`; hostile frames only add to `malformed`.

    `concerned`: addresses that no malformed frame may have in it unnoticed.
    """

    def __init__(self) -> None:
        self.concerned: tuple[Address, ...] = ()
        self.unreadable: dict[Address, tuple[bytes, Malformed]] = {}  # the first one
        self.events: list[Event] = []
        self.phase = ""
        self.malformed = 0
        self.heard_count = 0
        self.claims: defaultdict[Address, list[Voiced]] = defaultdict(list)
        self.arp_replies: list[Arp] = []
        self.questions: list[tuple[Mac, Arp | Solicitation]] = []  # who asked everybody, what
        self.echoes: defaultdict[tuple[int, int], list[Answer]] = defaultdict(list)
        self.pings: list[tuple[Answer, Echo]] = []  # requests that came to us
        self.segments: defaultdict[int, list[tuple[Answer, Segment]]] = defaultdict(list)
        self.datagrams: defaultdict[int, list[Answer]] = defaultdict(list)
        self.errors: defaultdict[int, list[tuple[Answer, IcmpError]]] = defaultdict(list)
        self.outcomes: dict[int, Outcome] = {}  # by local port
        self._asked_at: dict[Address, float] = {}

    def sent(self, at: float, frame: bytes) -> None:
        """Keep a frame that was sent at `at` (seconds)."""
        parsed = parse(frame)
        self.events.append(Event(at, self.phase, frame, parsed, sent=True))
        if isinstance(parsed, Frame):
            question = _question(parsed)
            if question is not None:
                self._asked_at[question.target] = at

    def heard(self, at: float, frame: bytes, *, checksum_ready: bool = True) -> Frame | None:
        """Keep a frame that was heard; return what it says, None if it is malformed."""
        parsed = parse(frame, checksum_ready=checksum_ready)
        self.heard_count += 1
        self.events.append(Event(at, self.phase, frame, parsed, sent=False))
        if isinstance(parsed, Malformed):
            self.malformed += 1
            self._note_unreadable(frame, parsed)
            return None
        if (claim := claim_of(parsed)) is not None:
            asked = self._asked_at.get(claim.address)
            delay = None if asked is None else at - asked
            self.claims[claim.address].append(Voiced(at, self.phase, claim, delay))
        question = _question(parsed)
        # A question to one machine confirms what is known already (RFC 4861 section 7.3.3).
        if question is not None and parsed.link.destination.octets[0] & _GROUP:
            self.questions.append((parsed.link.source, question))
        elif isinstance(parsed.network, Arp):
            self.arp_replies.append(parsed.network)
        if isinstance(parsed.network, Ip):
            self._packet(Answer(at, parsed.link.source, parsed.network), parsed)
        return parsed

    def _note_unreadable(self, frame: bytes, parsed: Malformed) -> None:
        for address in self.concerned:
            if parsed.layer in _CLAIMING[address.version] and address.packed in frame:
                self.unreadable.setdefault(address, (frame, parsed))

    def _packet(self, answer: Answer, frame: Frame) -> None:
        message = frame.message
        if isinstance(message, Echo):
            if message.reply:
                self.echoes[message.identifier, message.sequence].append(answer)
            else:
                self.pings.append((answer, message))
        elif isinstance(message, Segment):
            self.segments[message.destination].append((answer, message))
        elif isinstance(message, Datagram):
            self.datagrams[message.destination].append(answer)
        elif isinstance(message, IcmpError) and (number := quoted(message)) is not None:
            self.errors[number].append((answer, message))

    def voices(self, address: Address) -> dict[Mac, list[Voiced]]:
        """Return who claimed the address and when, first come first."""
        found: dict[Mac, list[Voiced]] = {}
        for voiced in self.claims.get(address, []):
            found.setdefault(voiced.claim.mac, []).append(voiced)
        return found


def _question(frame: Frame) -> Arp | Solicitation | None:
    if isinstance(frame.network, Arp):
        return frame.network if frame.network.operation == _REQUEST else None
    return frame.message if isinstance(frame.message, Solicitation) else None
