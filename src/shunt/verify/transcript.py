"""What was sent and what was heard, in order, and questions to it."""

from __future__ import annotations

from collections import Counter, defaultdict
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
    from collections.abc import Sized

    from shunt.model.addresses import Address, Mac
    from shunt.verify.claims import Claim

_REQUEST = 1
_GROUP = 0x01  # in the first octet of a MAC: many receivers
LATEST = 4.5  # seconds after a question in which a machine that is slow or hostile may answer

ATTEMPTS = 8  # sequence numbers of pings: fewer are used
# Others decide what is heard and how often. Of each kind so much is kept as tells it:
_CLAIMANTS = 64  # of an address, by speaker and subject; who is familiar is always kept
_CLAIMS = 4  # of such a pair in a phase
_ANSWERS = 16  # different ones to a question
_ASKED = 1024  # different questions by others
_EVENTS = 20_000  # heard frames


@dataclass(frozen=True, slots=True)
class Event:
    """One frame. `phase` is the phase of the procedure in which it was sent or heard."""

    at: float
    phase: str
    frame: bytes
    sent: bool

    @property
    def parsed(self) -> Frame | Malformed:
        """Return what the frame says."""
        return parse(self.frame, checksum_ready=False)


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
            return self.delay is not None and self.delay < LATEST
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
    """Grows by `sent` and `heard`, within bounds; hostile frames only add to counts.

    Attributes:
        concerned: Addresses that no malformed frame may have in it unnoticed.
        relevant: Addresses whose claims are kept, and questions for them.
        familiar: MACs whose claims are kept, however many others claim the same address.
        crowd: By address, how many claims were made by more claimants than can be told apart.
        unkept: How many heard frames are counted only.
    """

    def __init__(self) -> None:
        self.concerned: tuple[Address, ...] = ()
        self.relevant: frozenset[Address] = frozenset()
        self.familiar: frozenset[Mac] = frozenset()
        self.unreadable: dict[Address, tuple[bytes, Malformed]] = {}  # the first one
        self.events: list[Event] = []
        self.phase = ""
        self.malformed = 0
        self.heard_count = 0
        self.unkept = 0
        self.claims: dict[Address, list[Voiced]] = {}
        self.crowd: Counter[Address] = Counter()
        self.arp_replies: set[tuple[Address, Address]] = set()  # of whose MAC was told, to whom
        self.questions: dict[tuple[Mac, Arp | Solicitation], None] = {}  # who asked everybody, what
        self.speakers: dict[Mac, None] = {}  # who said anything of addresses
        self.echoes: defaultdict[tuple[int, int], list[Answer]] = defaultdict(list)
        self.pings: dict[int, Answer] = {}  # requests of ours that came to us, by identifier
        self.segments: defaultdict[int, list[tuple[Answer, Segment]]] = defaultdict(list)
        self.datagrams: defaultdict[int, list[Answer]] = defaultdict(list)
        self.errors: defaultdict[int, list[tuple[Answer, IcmpError]]] = defaultdict(list)
        self.outcomes: dict[int, Outcome] = {}  # by local port
        self._asked_at: dict[Address, float] = {}
        self._began: dict[str, float] = {}  # phases, by their first frame
        self._numbers: set[int] = set()  # of what was sent
        self._times: Counter[tuple[Address, Mac, Mac]] = Counter()
        self._in_phase: Counter[tuple[Address, Mac, Mac, str]] = Counter()
        self._told_apart: Counter[Address] = Counter()
        self._voices: dict[Address, dict[Mac, list[Voiced]]] = {}
        self._seen: set[tuple[object, ...]] = set()

    def sent(self, at: float, frame: bytes) -> None:
        """Keep a frame that was sent at `at` (seconds)."""
        parsed = parse(frame)
        self.events.append(Event(at, self.phase, frame, sent=True))
        self._began.setdefault(self.phase, at)
        if isinstance(parsed, Frame):
            question = _question(parsed)
            if question is not None:
                self._asked_at[question.target] = at
            elif isinstance(parsed.message, Echo):
                self._numbers.add(parsed.message.identifier)
            elif isinstance(parsed.message, Segment | Datagram):
                self._numbers.add(parsed.message.source)

    def lasted(self, phase: str) -> float:
        """Return how many seconds lie between the first frame of a phase and the last one sent."""
        last = next((event.at for event in reversed(self.events) if event.sent), 0.0)
        return last - self._began.get(phase, last)

    def heard(self, at: float, frame: bytes, *, checksum_ready: bool = True) -> Frame | None:
        """Keep a frame that was heard; return what it says, None if it is malformed."""
        parsed = parse(frame, checksum_ready=checksum_ready)
        self.heard_count += 1
        if self.heard_count - self.unkept <= _EVENTS:
            self.events.append(Event(at, self.phase, frame, sent=False))
        else:
            self.unkept += 1
        if isinstance(parsed, Malformed):
            self.malformed += 1
            self._note_unreadable(frame, parsed)
            return None
        if (claim := claim_of(parsed)) is not None and claim.address in self.relevant:
            self._claim(at, claim)
        question = _question(parsed)
        if question is not None:
            # A question to one machine confirms what is known already (RFC 4861 section 7.3.3).
            everybody = parsed.link.destination.octets[0] & _GROUP
            if everybody and question.target in self.relevant and len(self.questions) < _ASKED:
                self.questions[parsed.link.source, question] = None
        elif isinstance(parsed.network, Arp):
            arp = parsed.network
            if arp.sender in self.relevant and arp.target in self.relevant:
                self.arp_replies.add((arp.sender, arp.target))
        if isinstance(parsed.network, Ip):
            self._packet(Answer(at, parsed.link.source, parsed.network), parsed)
        if (question is not None or claim is not None) and len(self.speakers) < _ASKED:
            self.speakers[parsed.link.source] = None
        return parsed

    def _claim(self, at: float, claim: Claim) -> None:
        address, pair = claim.address, (claim.address, claim.said_by, claim.mac)
        if pair not in self._times:
            limit = _CLAIMANTS * (2 if {claim.said_by, claim.mac} & self.familiar else 1)
            own = claim.speaker is None and claim.mac in self.familiar
            if self._told_apart[address] >= limit and not own:
                self.crowd[address] += 1
                return
            self._told_apart[address] += 1
        self._times[pair] += 1
        self._in_phase[*pair, self.phase] += 1
        if self._in_phase[*pair, self.phase] > _CLAIMS:
            return
        asked = self._asked_at.get(address)
        delay = None if asked is None else max(0.0, at - asked)  # two clocks: never before
        voiced = Voiced(at, self.phase, claim, delay)
        self.claims.setdefault(address, []).append(voiced)
        self._voices.setdefault(address, {}).setdefault(claim.mac, []).append(voiced)

    def times(self, claim: Claim) -> int:
        """Return how often this speaker has said this."""
        return self._times[claim.address, claim.said_by, claim.mac]

    def _note_unreadable(self, frame: bytes, parsed: Malformed) -> None:
        for address in self.concerned:
            if parsed.layer in _CLAIMING[address.version] and address.packed in frame:
                self.unreadable.setdefault(address, (frame, parsed))

    def _packet(self, answer: Answer, frame: Frame) -> None:
        message, source = frame.message, (answer.mac, answer.ip.source)
        if isinstance(message, Echo):
            number, sequence = message.identifier, message.sequence
            if number not in self._numbers or sequence >= ATTEMPTS:
                return
            if not message.reply:
                self.pings.setdefault(number, answer)
            elif self._is_new(self.echoes.get((number, sequence)), number, sequence, *source):
                self.echoes[number, sequence].append(answer)
        elif isinstance(message, Segment):
            number = message.destination
            if self._is_new(self.segments.get(number), number, *source, message.flags):
                self.segments[number].append((answer, message))
        elif isinstance(message, Datagram):
            number = message.destination
            if self._is_new(self.datagrams.get(number), number, "datagram", *source):
                self.datagrams[number].append(answer)
        elif isinstance(message, IcmpError):
            number, said = quoted(message) or 0, (message.name, message.code)
            if self._is_new(self.errors.get(number), number, *said, *source):
                self.errors[number].append((answer, message))

    def _is_new(self, known: Sized | None, number: int, *said: object) -> bool:
        """Whether a packet answers a question of ours, as none has done before."""
        key = number, *said
        if number not in self._numbers or key in self._seen:
            return False
        if known is not None and len(known) >= _ANSWERS:
            return False
        self._seen.add(key)
        return True

    def voices(self, address: Address) -> dict[Mac, list[Voiced]]:
        """Return which MACs the address was said to be at, and by whom, first come first."""
        return self._voices.get(address, {})


def _question(frame: Frame) -> Arp | Solicitation | None:
    if isinstance(frame.network, Arp):
        return frame.network if frame.network.operation == _REQUEST else None
    return frame.message if isinstance(frame.message, Solicitation) else None
