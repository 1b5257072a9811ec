"""The procedure, without any input or output: what to send in each phase, from what was heard.

`Procedure.phases` is a generator. Whoever runs it sends a phase's frames, lets `hear` know of each
frame that comes (and sends what that returns), and asks for the next phase when the phase is
settled or its patience is over. The order is the page's; docs/verify.md shows both side by side.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from shunt.errors import UsageError
from shunt.model.config import Protocol
from shunt.network.frames import (
    Envelope,
    echo_request,
    gratuitous_arp,
    listener_reports,
    unsolicited_advertisement,
)
from shunt.network.frames.listener import link_local, listener_report_2
from shunt.network.frames.neighbour import solicited_node
from shunt.verify import borrow, doubts, responder
from shunt.verify.doubts import GAP, ROUNDS
from shunt.verify.ledger import Key, Ledger, Purpose
from shunt.verify.phase import Outgoing, Phase, Request
from shunt.verify.questions import Questions
from shunt.verify.reading import AGAIN, DOUBTS, STRANGERS, Reading
from shunt.verify.subject import Identity
from shunt.verify.transcript import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shunt.model.addresses import Address, Mac
    from shunt.verify.subject import Subject
    from shunt.verify.transcript import Transcript
    from shunt.verify.wide import Network

_CONTROL = 0.8  # an owner of a borrowed address gets this long to object
_PATIENCE = 0.7  # for an answer that is likely to come
_AT_ONCE = 0.1  # for an answer that takes a right machine no time
_LISTEN = 0.9  # behind the last question, 1.5 s in all: proxies wait up to 0.8 s
_ACQUAINTED = 8  # machines that were heard, and so far say nothing of a cluster address


def _groups(mac: Mac, offered: Mapping[int, tuple[Address, ...]]) -> tuple[IPv6Address, ...]:
    """Return the groups in which neighbour solicitations for these addresses arrive."""
    addresses = [address for each in offered.values() for address in each]
    if 6 in offered:
        addresses.append(link_local(mac))
    groups = (solicited_node(each) for each in addresses if isinstance(each, IPv6Address))
    return tuple(dict.fromkeys(groups))


class Procedure:
    """One examination of `subject`; results are read from `transcript` and `ledger`.

    `offered` are the candidates for borrowed addresses by IP version; an operator's own choice is
    offered alone. `connects`: a real TCP stack is at hand for requests; False: it is missed, None:
    no requests are wished. `card`: the interface's own MAC, where an operator chose `mac`; the
    servers are asked from it first, for at a server's MAC no answer would arrive. `networks` are
    the segment's. `listen`: for how many seconds late answers to who has a cluster address are
    waited for.
    """

    def __init__(  # noqa: PLR0913 - what `examine` has found out
        self,
        subject: Subject,
        mac: Mac,
        offered: Mapping[int, tuple[Address, ...]],
        *,
        connects: bool | None = None,
        transcript: Transcript | None = None,
        card: Mac | None = None,
        first_number: int = 20000,
        networks: tuple[Network, ...] = (),
        listen: float = LATEST,
    ) -> None:
        self.subject = subject
        self._responder = responder.Responder()
        self.reading = Reading(
            subject,
            Ledger(first_number),
            transcript,
            requests_wanted=connects is not None,
            networks=networks,
        )
        self.identity = Identity(mac, groups=_groups(mac, offered))
        self.reading.listen_to(offered)
        self._ask = Questions(self.reading)
        self._listen = listen
        self._offered = offered
        self._connects = bool(connects)
        self._card = card

    @property
    def identity(self) -> Identity:
        """Return whom the verifier pretends to be by now."""
        return self.reading.identity

    @identity.setter
    def identity(self, identity: Identity) -> None:
        self.reading.identity = identity

    def hear(self, at: float, frame: bytes, *, checksum_ready: bool = True) -> tuple[bytes, ...]:
        """Take in a frame; return the frames to answer with."""
        heard = self.reading.transcript.heard(at, frame, checksum_ready=checksum_ready)
        return () if heard is None else self._responder.answer(self.identity, heard, at)

    def phases(self) -> Iterator[Phase]:
        """Yield the phases in order; read what was heard between them."""
        for phase in self._phases():
            self.reading.transcript.phase = phase.name
            self.reading.transcript.familiar = frozenset(self.reading.owners())
            yield phase

    def _phases(self) -> Iterator[Phase]:
        if self._card is not None and self._card != self.identity.mac:
            yield self._from_card(self._card)
            self._check_macs()
        yield self._control()
        self._borrow()
        for _ in range(ROUNDS - 1):
            if self.reading.unheard():
                yield self._control_again()
                self._borrow()  # somebody may have objected only now
        self._check_macs()
        yield self._silence(first=True)
        if self.identity.borrowed:
            yield from self._packets()
        yield self._silence_again()
        for _ in range(ROUNDS - 1):
            if self.reading.unheard(AGAIN):
                yield self._control_again(AGAIN)
        late = (*doubts.confirmed(self._ask), *doubts.strangers(self._ask))
        if late:
            frames = doubts.twice(late)
            yield Phase(DOUBTS, "find out who answered only now", frames, (), _LISTEN)

    def _packets(self) -> Iterator[Phase]:
        yield self._answers()
        for attempt in range(1, ROUNDS):
            if again := self._unanswered(attempt):
                yield Phase("answers", "ask again", again, (), _PATIENCE)
        if known := self._from_spare():
            yield Phase("answers", "ask from an address that nobody knows", known, (), _PATIENCE)
        if wrong := doubts.causes(self._ask):
            yield Phase(DOUBTS, "find out why something is wrong", wrong, (), _LISTEN)
        if cold := doubts.cold(self._ask):
            yield Phase(DOUBTS, "find out who can ask for a MAC", cold, (), _LISTEN)

    def _control(self) -> Phase:
        own = [
            Outgoing(frame)
            for server in self.subject.servers.values()
            for address in server.addresses
            for frame in self._ask.who_has(address)
        ]
        reports = map(Outgoing, listener_reports(self.identity.mac, self.identity.groups))
        probes = [
            Outgoing(frame, GAP * turn)
            for turn in range(ROUNDS)
            for addresses in self._offered.values()
            for address in addresses
            for frame in self._ask.who_has(address)
        ]
        return Phase(
            "control",
            "ask for every server's own address, and for addresses that may be free",
            (*reports, *own, *probes),
            patience=_CONTROL - GAP * (ROUNDS - 1) if probes else _PATIENCE,
            settled=lambda: not probes and not self.reading.unheard(),
        )

    def _control_again(self, phase: str | None = None) -> Phase:
        """Ask for who has not answered yet; with a `phase`, in that phase, as a part of it."""
        again = [
            Outgoing(frame)
            for address in self.reading.unheard(phase)
            for frame in self._ask.both_forms(address)
        ]
        return Phase(
            phase or "control",
            "ask again for the servers that did not answer",
            tuple(again),
            patience=_PATIENCE,
            settled=lambda: not self.reading.unheard(phase),
        )

    def _from_card(self, card: Mac) -> Phase:
        mac, self.identity = self.identity.mac, replace(self.identity, mac=card)
        asked = self._control_again()
        self.identity = replace(self.identity, mac=mac)
        return asked

    def _check_macs(self) -> None:
        given, mine = self.subject.dispatcher, self.identity.mac
        if (name := self.reading.owners().get(mine)) is not None:
            raise UsageError(f"{mine}, to send from, is the MAC of server {name}")
        if given == mine:
            raise UsageError(f"{mine}, to send from, is the dispatcher's MAC")
        if given is not None and (name := self.reading.owners().get(given)) is not None:
            raise UsageError(
                f"{given} is the MAC of server {name}, not the dispatcher's",
                hint="Give the MAC of the dispatcher's interface, or --live alone to find it.",
            )

    def _borrow(self) -> None:
        clusters = tuple(cluster.address for cluster in self.subject.clusters)
        packets, asker, spare, last = borrow.choose(
            self._offered, self.reading.transcript.claims, clusters
        )
        self.identity = replace(
            self.identity, borrowed=packets, asker=asker, spare=spare, doubts=last
        )

    def _silence(self, *, first: bool) -> Phase:
        everybody = [
            Outgoing(frame, GAP * turn)
            for turn in range(ROUNDS)
            for cluster in self.subject.clusters
            for frame in self._ask.both_forms(cluster.address)
        ]
        each = [
            Outgoing(frame)
            for server, cluster in self.subject.pairs
            if (mac := self.reading.mac(server.name)) is not None
            for frame in self._ask.who_has(cluster.address, asking=True, only=mac)
        ]
        return Phase(
            "silence",
            "ask everybody, and each server, who has the cluster addresses",
            (*self._announcements(), *everybody, *each) if first else tuple(everybody),
            patience=_PATIENCE if self.subject.live and self.subject.dispatcher is None else 0.0,
        )

    def _silence_again(self) -> Phase:
        """Ask for the cluster addresses once more, and whether the servers are still there.

        This time in the name of an address: who minds that form only is heard here. And those
        are asked one by one who were heard on the segment and may answer nothing else.
        """
        silence = self._silence(first=False)
        own = [
            Outgoing(frame)
            for server in self.subject.servers.values()
            for address in server.addresses
            for frame in self._ask.who_has(address, asking=True)
        ]
        each = [
            Outgoing(frame)
            for mac in self.reading.acquainted()
            for cluster in self.subject.clusters
            for frame in self._ask.who_has(cluster.address, asking=True, only=mac)
        ][: _ACQUAINTED * len(self.subject.clusters)]
        last = max(each.at for each in silence.outgoing)
        masks: list[Outgoing] = []  # while late answers are waited for
        if not doubts.is_small(self._ask):
            telling = dict.fromkeys(doubts.telling_masks(self._ask))
            masks = [Outgoing(frame, last) for frame in telling]
        return replace(
            silence,
            name=AGAIN,
            outgoing=(*silence.outgoing, *own, *each, *masks),
            patience=_AT_ONCE,
            least=last
            + max(_LISTEN, self._listen - self.reading.transcript.lasted("silence") - last),
        )

    def _announcements(self) -> Iterator[Outgoing]:
        """Yield the announcements of what was borrowed (RFC 5227 section 2.3).

        A server that knew such an address, from an earlier examination, learns its new MAC. Before
        them switches hear once more which groups are heard.
        """
        mac = self.identity.mac
        yield from map(Outgoing, listener_report_2(mac, self.identity.groups))
        for address in self.identity.addresses:
            if isinstance(address, IPv4Address):
                yield from map(Outgoing, gratuitous_arp(mac, address))
            else:
                yield Outgoing(unsolicited_advertisement(mac, address))

    def _answers(self) -> Phase:
        pings = [
            Outgoing(frame)
            for server, cluster in self.subject.pairs
            for frame in self._ask.ping(server, cluster.address, Purpose.PING)
        ]
        foreign = [
            Outgoing(frame)
            for server in self.subject.servers.values()
            for version in self.subject.versions
            for frame in self._ask.foreign(server, version)
        ]
        if doubts.is_small(self._ask):
            foreign += doubts.every_mask(self._ask)
        raw: list[Outgoing] = []
        requests: list[Request] = []
        for server, cluster in self.subject.pairs:
            for port in cluster.ports:
                if self._connects and port.protocol is Protocol.TCP:
                    requests.extend(self._ask.request(server, cluster.address, port))
                else:
                    raw.extend(map(Outgoing, self._ask.knock(server, cluster.address, port)))
        raw.extend(self._through_dispatcher())
        return Phase(
            "answers",
            "send to the cluster address at each server: a ping, its ports, a foreign frame",
            (*pings, *raw, *foreign),
            tuple(requests),
            patience=_PATIENCE,
            settled=self.reading.answered,
        )

    def _unanswered(self, attempt: int) -> tuple[Outgoing, ...]:
        pings = [
            Outgoing(frame)
            for server, cluster in self.subject.pairs
            if not self.reading.echoes(Key(Purpose.PING, server.name, cluster.address))
            for frame in self._ask.ping(server, cluster.address, Purpose.PING, attempt)
        ]
        ports = [
            Outgoing(frame)
            for server, cluster in self.subject.pairs
            for port in cluster.ports
            if not (self._connects and port.protocol is Protocol.TCP)
            and not self.reading.replied(Key(Purpose.PORT, server.name, cluster.address, port))
            for frame in self._ask.knock(server, cluster.address, port)
        ]
        return (*pings, *ports, *self._through_dispatcher())

    def _through_dispatcher(self) -> Iterator[Outgoing]:
        """Yield, where one runs, a knock at every MAC that may be its, until it is answered.

        Whoever hands it over to a server is the dispatcher.
        """
        if not self.subject.live:
            return
        given = self.subject.dispatcher
        claimants = sorted(self.reading.claimants(), key=lambda each: each[1] != given)
        macs = list(dict.fromkeys(mac for _, mac in claimants))[:STRANGERS]
        for cluster, mac in claimants:
            for port in cluster.ports if mac in macs else ():
                key = Key(Purpose.STRANGER_PORT, "", cluster.address, port, mac)
                if port.protocol is Protocol.TCP and not self.reading.replied(key):
                    yield from map(Outgoing, self._ask.knock_at(mac, key))

    def _from_spare(self) -> tuple[Outgoing, ...]:
        """Return pings to servers that answered and had not to ask for the first address."""
        frames: list[Outgoing] = []
        for server, cluster in self.subject.pairs:
            spare = self.identity.spare.get(cluster.address.version)
            mac = self.reading.mac(server.name)
            key = Key(Purpose.PING, server.name, cluster.address)
            if spare is None or mac is None or not self.reading.echoes(key):
                continue
            if not self.reading.asked(server, cluster.address.version):
                envelope = Envelope(self.identity.mac, mac, spare, cluster.address)
                frames.append(Outgoing(echo_request(envelope, self.reading.ledger.number(key), 0)))
        return tuple(frames)
