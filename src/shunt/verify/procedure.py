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
    arp_request,
    echo_request,
    gratuitous_arp,
    listener_reports,
    neighbour_solicitation,
    tcp_syn,
    udp_datagram,
    unsolicited_advertisement,
)
from shunt.network.frames.listener import listener_report_2
from shunt.network.frames.neighbour import solicited_node
from shunt.verify import borrow, responder
from shunt.verify.ledger import Key, Ledger, Purpose
from shunt.verify.phase import Outgoing, Phase, Request
from shunt.verify.reading import AGAIN, DOUBTS, Reading
from shunt.verify.subject import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shunt.model.addresses import Address, Mac
    from shunt.verify.subject import Cluster, Examined, Port, Subject
    from shunt.verify.transcript import Transcript

ROUNDS = 3
_GAP = 0.3  # seconds between rounds
_CONTROL = 0.8  # an owner of a borrowed address gets this long to object
_PATIENCE = 0.7  # for an answer that is likely to come
_LISTEN = 0.9  # behind the last question, 1.5 s in all: proxies wait up to 0.8 s
_STRANGERS = 8  # MACs that are looked into
FAR = IPv4Address("198.51.100.77")  # outside of every segment: TEST-NET-2, RFC 5737


def _groups(offered: Mapping[int, tuple[Address, ...]]) -> tuple[IPv6Address, ...]:
    """Return the groups in which neighbour solicitations for these addresses arrive."""
    addresses = [address for each in offered.values() for address in each]
    groups = (solicited_node(each) for each in addresses if isinstance(each, IPv6Address))
    return tuple(dict.fromkeys(groups))


class Procedure:
    """One examination of `subject`; results are read from `transcript` and `ledger`.

    `offered` are the candidates for borrowed addresses by IP version; an operator's own choice is
    offered alone. `connects`: a real TCP stack is at hand for requests; False: it is missed, None:
    no requests are wished. `card`: the interface's own MAC, where an operator chose `mac`; the
    servers are asked from it first, for at a server's MAC no answer would arrive.
    """

    def __init__(
        self,
        subject: Subject,
        mac: Mac,
        offered: Mapping[int, tuple[Address, ...]],
        *,
        connects: bool | None = None,
        transcript: Transcript | None = None,
        card: Mac | None = None,
        first_number: int = 20000,
    ) -> None:
        self.subject = subject
        self.identity = Identity(mac, groups=_groups(offered))
        self._responder = responder.Responder()
        self.reading = Reading(
            subject, Ledger(first_number), transcript, requests_wanted=connects is not None
        )
        self._offered = offered
        self._connects = bool(connects)
        self._card = card

    def hear(self, at: float, frame: bytes, *, checksum_ready: bool = True) -> tuple[bytes, ...]:
        """Take in a frame; return the frames to answer with."""
        heard = self.reading.transcript.heard(at, frame, checksum_ready=checksum_ready)
        return () if heard is None else self._responder.answer(self.identity, heard, at)

    def phases(self) -> Iterator[Phase]:
        """Yield the phases in order; read what was heard between them."""
        for phase in self._phases():
            self.reading.transcript.phase = phase.name
            yield phase

    def _phases(self) -> Iterator[Phase]:
        if self._card is not None and self._card != self.identity.mac:
            yield self._from_card(self._card)
            self._check_macs()
        yield self._control()
        for _ in range(ROUNDS - 1):
            if self.reading.unheard():
                yield self._control_again()
        self._check_macs()
        self._borrow()
        yield self._silence(first=True)
        if self.identity.borrowed:
            yield self._answers()
            for attempt in range(1, ROUNDS):
                if again := self._unanswered(attempt):
                    yield Phase("answers", "ask again", again, (), _PATIENCE)
            if known := self._from_spare():
                yield Phase(
                    "answers", "ask from an address that nobody knows", known, (), _PATIENCE
                )
            if doubts := self._doubts():
                yield Phase(DOUBTS, "find out why something is wrong", doubts, (), _LISTEN)
        yield self._silence_again()
        for _ in range(ROUNDS - 1):
            if self.reading.unheard(AGAIN):
                yield self._control_again(AGAIN)

    def _control(self) -> Phase:
        own = [
            Outgoing(frame)
            for server in self.subject.servers.values()
            for address in server.addresses
            for frame in self._who_has(address)
        ]
        reports = map(Outgoing, listener_reports(self.identity.mac, self.identity.groups))
        probes = [
            Outgoing(frame, _GAP * turn)
            for turn in range(ROUNDS)
            for addresses in self._offered.values()
            for address in addresses
            for frame in self._who_has(address)
        ]
        return Phase(
            "control",
            "ask for every server's own address, and for addresses that may be free",
            (*reports, *own, *probes),
            patience=_CONTROL - _GAP * (ROUNDS - 1) if probes else _PATIENCE,
            settled=lambda: not probes and not self.reading.unheard(),
        )

    def _control_again(self, phase: str | None = None) -> Phase:
        """Ask for who has not answered yet; with a `phase`, in that phase, as a part of it."""
        again = [
            Outgoing(frame)
            for address in self.reading.unheard(phase)
            for frame in self._who_has(address)
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
        packets, asker, spare = borrow.choose(self._offered, self.reading.transcript.claims)
        self.identity = replace(self.identity, borrowed=packets, asker=asker, spare=spare)
        self.reading.identity = self.identity

    def _silence(self, *, first: bool) -> Phase:
        everybody = [
            Outgoing(frame, _GAP * turn)
            for turn in range(ROUNDS)
            for cluster in self.subject.clusters
            for frame in (
                *self._who_has(cluster.address),
                *self._who_has(cluster.address, asking=True),
            )
        ]
        each = [
            Outgoing(frame)
            for server, cluster in self.subject.pairs
            if (mac := self.reading.mac(server.name)) is not None
            for frame in self._who_has(cluster.address, asking=True, only=mac)
        ]
        return Phase(
            "silence",
            "ask everybody, and each server, who has the cluster addresses",
            (*self._announcements(), *everybody, *each) if first else tuple(everybody),
            patience=_PATIENCE if self.subject.live and self.subject.dispatcher is None else 0.0,
        )

    def _silence_again(self) -> Phase:
        """Ask for the cluster addresses once more, and whether the servers are still there."""
        silence = self._silence(first=False)
        own = [
            Outgoing(frame)
            for server in self.subject.servers.values()
            for address in server.addresses
            for frame in self._who_has(address)
        ]
        outgoing = (*silence.outgoing, *own)
        return replace(silence, name=AGAIN, outgoing=outgoing, patience=_LISTEN)

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
            for frame in self._ping(server, cluster.address, Purpose.PING)
        ]
        foreign = [
            Outgoing(frame)
            for server in self.subject.servers.values()
            for version in self.subject.versions
            for frame in self._foreign(server, version)
        ]
        raw: list[Outgoing] = []
        requests: list[Request] = []
        for server, cluster in self.subject.pairs:
            for port in cluster.ports:
                if self._connects and port.protocol is Protocol.TCP:
                    requests.extend(self._request(server, cluster.address, port))
                else:
                    raw.extend(map(Outgoing, self._knock(server, cluster.address, port)))
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
            for frame in self._ping(server, cluster.address, Purpose.PING, attempt)
        ]
        ports = [
            Outgoing(frame)
            for server, cluster in self.subject.pairs
            for port in cluster.ports
            if not (self._connects and port.protocol is Protocol.TCP)
            and not self.reading.replied(Key(Purpose.PORT, server.name, cluster.address, port))
            for frame in self._knock(server, cluster.address, port)
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
        macs = list(dict.fromkeys(mac for _, mac in claimants))[:_STRANGERS]
        for cluster, mac in claimants:
            for port in cluster.ports if mac in macs else ():
                key = Key(Purpose.STRANGER_PORT, "", cluster.address, port, mac)
                if port.protocol is Protocol.TCP and not self.reading.replied(key):
                    yield from map(Outgoing, self._knock_at(mac, key))

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

    def _doubts(self) -> tuple[Outgoing, ...]:
        """Return what tells the possible causes apart, where something is wrong."""
        frames: list[bytes] = []
        for server, cluster in self.reading.doubtful():
            for address in server.addresses:  # is it there at all, still?
                frames.extend(self._who_has(address))
            if not self.reading.echoes(Key(Purpose.PING, server.name, cluster.address)):
                frames.extend(self._ping(server, cluster.address, Purpose.PING, ROUNDS))
            own = self.reading.own(server, cluster.address.version)
            if own is None:
                continue
            frames.extend(self._ping(server, own, Purpose.OWN_PING))
            for port in cluster.ports:
                key = Key(Purpose.OWN_PORT, server.name, own, port)
                frames.extend(self._knock(server, own, port, key))
            if isinstance(own, IPv4Address):
                frames.extend(self._who_has(own, asking=True))
                frames.append(arp_request(self.identity.mac, own, FAR))
        for cluster, mac in self.reading.strangers()[:_STRANGERS]:
            frames.extend(self._look_into(cluster, mac))
        for cluster, mac in self.reading.dispatchers():
            handed = set(self.reading.handed_over(cluster, mac).values())
            for name in handed or cluster.servers:
                frames.extend(self._whose(cluster, name, mac))
        twice = dict.fromkeys(frames)
        return tuple(Outgoing(frame, _GAP * turn) for turn in range(2) for frame in twice)

    def _whose(self, cluster: Cluster, name: str, mac: Mac) -> Iterator[bytes]:
        """Ask a MAC whether it is a server's: for the server's own address, no router between."""
        for own in self.subject.servers[name].addresses:
            yield from self._ping_at(mac, Key(Purpose.WHOSE_MAC, name, own, None, mac), ttl=1)
            for port in cluster.ports:
                if port.protocol is Protocol.TCP:
                    key = Key(Purpose.WHOSE_MAC, name, own, port, mac)
                    yield from self._knock_at(mac, key, ttl=1)

    def _look_into(self, cluster: Cluster, mac: Mac) -> Iterator[bytes]:
        """Ask a MAC that nobody knows whether it is a server's, and what it does with packets."""
        for name in cluster.servers:
            for own in self.subject.servers[name].addresses:
                key = Key(Purpose.WHOSE_MAC, name, own, None, mac)
                yield from self._ping_at(mac, key, ttl=1)
        yield from self._ping_at(mac, Key(Purpose.STRANGER_PING, "", cluster.address, None, mac))
        for port in cluster.ports:
            yield from self._knock_at(
                mac, Key(Purpose.STRANGER_PORT, "", cluster.address, port, mac)
            )

    def _who_has(
        self, address: Address, *, asking: bool = False, only: Mac | None = None
    ) -> Iterator[bytes]:
        """Yield a question to everybody, or to one MAC; `asking`: in the name of an address."""
        mac, sender = self.identity.mac, self.identity.asker.get(address.version)
        if asking and sender is None and only is None:
            return
        if isinstance(address, IPv4Address):
            if asking and isinstance(sender, IPv4Address):
                frame = arp_request(mac, address, sender)
            else:
                frame = arp_request(mac, address)
            yield frame if only is None else only.octets + frame[6:]
        elif asking and isinstance(sender, IPv6Address):
            yield neighbour_solicitation(mac, address, sender, only)
        else:
            yield neighbour_solicitation(mac, address, destination=only)

    def _envelope(self, mac: Mac, to: Address, ttl: int = 64) -> Envelope | None:
        source = self.identity.borrowed.get(to.version)
        return None if source is None else Envelope(self.identity.mac, mac, source, to, ttl)

    def _ping(
        self, server: Examined, address: Address, purpose: Purpose, attempt: int = 0
    ) -> Iterator[bytes]:
        mac = self.reading.mac(server.name)
        if mac is not None:
            key = Key(purpose, server.name, address)
            yield from self._ping_at(mac, key, attempt=attempt)

    def _ping_at(self, mac: Mac, key: Key, *, ttl: int = 64, attempt: int = 0) -> Iterator[bytes]:
        assert key.address is not None
        envelope = self._envelope(mac, key.address, ttl)
        if envelope is not None:
            number = self.reading.ledger.number(key)
            yield echo_request(envelope, number, attempt, b"shunt verify")

    def _foreign(self, server: Examined, version: int) -> Iterator[bytes]:
        mac, to = self.reading.mac(server.name), self.identity.asker.get(version)
        if mac is None or to is None or to == self.identity.borrowed.get(version):
            return
        yield from self._ping_at(mac, Key(Purpose.FOREIGN, server.name, to))

    def _knock(
        self, server: Examined, address: Address, port: Port, key: Key | None = None
    ) -> Iterator[bytes]:
        mac = self.reading.mac(server.name)
        if mac is not None:
            yield from self._knock_at(mac, key or Key(Purpose.PORT, server.name, address, port))

    def _knock_at(self, mac: Mac, key: Key, *, ttl: int = 64) -> Iterator[bytes]:
        assert key.address is not None
        assert key.port is not None
        envelope = self._envelope(mac, key.address, ttl)
        if envelope is None:
            return
        number = self.reading.ledger.number(key)
        ports = number, key.port.number
        if key.port.protocol is Protocol.TCP:
            yield tcp_syn(envelope, ports, sequence=number << 16)
        else:
            yield udp_datagram(envelope, ports)

    def _request(self, server: Examined, address: Address, port: Port) -> Iterator[Request]:
        mac = self.reading.mac(server.name)
        if mac is not None and address.version in self.identity.borrowed:
            key = Key(Purpose.PORT, server.name, address, port)
            yield Request(self.reading.ledger.number(key), server.name, mac, address, port)
