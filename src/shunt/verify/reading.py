"""Questions to the transcript in the words of the examination: servers, clusters, ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.addresses import ZERO
from shunt.model.config import Protocol
from shunt.network.frames import Arp, Flag
from shunt.verify.ledger import Key, Ledger, Purpose
from shunt.verify.subject import Identity
from shunt.verify.transcript import Transcript

if TYPE_CHECKING:
    from shunt.model.addresses import Address, Mac
    from shunt.network.frames import IcmpError, Segment
    from shunt.verify.subject import Cluster, Examined, Subject
    from shunt.verify.transcript import Answer, Voiced


class Reading:
    """What the transcript says so far of `subject`."""

    def __init__(self, subject: Subject, ledger: Ledger) -> None:
        self.subject = subject
        self.ledger = ledger
        self.identity = Identity(ZERO)
        self.transcript = Transcript()
        self._owners: dict[Mac, str] = {}
        self._owners_at = -1  # how many frames had been heard when they were found

    def macs(self, server: Examined) -> dict[Mac, list[Voiced]]:
        """Return the MACs that claimed one of the server's own addresses, first come first."""
        found: dict[Mac, list[Voiced]] = {}
        for address in server.addresses:
            for mac, voices in self.transcript.voices(address).items():
                found.setdefault(mac, []).extend(voices)
        return found

    def mac(self, name: str) -> Mac | None:
        """Return the MAC at which the server is examined."""
        for address in self.subject.servers[name].addresses:
            for voiced in self.transcript.claims.get(address, ()):
                return voiced.claim.mac
        return None

    def unheard(self) -> tuple[Address, ...]:
        """Return the servers' own addresses for which nobody has answered yet."""
        return tuple(
            address
            for server in self.subject.servers.values()
            for address in server.addresses
            if not self.answers_for(address)
        )

    def answers_for(self, address: Address) -> bool:
        """Whether somebody has answered who has the address."""
        return any(voiced.answer for voiced in self.transcript.claims.get(address, ()))

    def controlled(self, server: Examined, version: int) -> bool:
        """Whether silence means something: the own address of that IP version has answered.

        A server without an own address of the version is known by another one.
        """
        own = [each for each in server.addresses if each.version == version] or server.addresses
        return any(map(self.answers_for, own))

    def own(self, server: Examined, version: int) -> Address | None:
        """Return the server's own address of an IP version."""
        return next((each for each in server.addresses if each.version == version), None)

    def owners(self) -> dict[Mac, str]:
        """Return whose each MAC is: learnt with an own address, or found by asking the MAC."""
        if self._owners_at != self.transcript.heard_count:
            self._owners_at = self.transcript.heard_count
            self._owners = self._find_owners()
        return self._owners

    def _find_owners(self) -> dict[Mac, str]:
        found: dict[Mac, str] = {}
        for server in self.subject.servers.values():
            for mac in self.macs(server):
                found.setdefault(mac, server.name)
        for cluster in self.subject.clusters:
            for mac in self.transcript.voices(cluster.address):
                if mac not in found and (name := self._owner_of(mac)):
                    found[mac] = name
        return found

    def _owner_of(self, mac: Mac) -> str | None:
        for server in self.subject.servers.values():
            for own in server.addresses:
                if self.echoes(Key(Purpose.WHOSE_MAC, server.name, own, None, mac)):
                    return server.name
        return None

    def strangers(self) -> tuple[tuple[Cluster, Mac], ...]:
        """Return the MACs, no server's and not the dispatcher's, that claim a cluster address."""
        owners = self.owners()
        excepted = {mac for _, mac in self.dispatchers()}
        return tuple(
            (cluster, mac)
            for cluster in self.subject.clusters
            for mac in self.transcript.voices(cluster.address)
            if mac not in owners and mac not in excepted
        )

    def dispatchers(self) -> tuple[tuple[Cluster, Mac], ...]:
        """Return, where one runs, the dispatcher's MAC for each cluster address that it claims.

        Without a given MAC it is the one that claims the most cluster addresses, the first of
        equals, if it is no server's.
        """
        if not self.subject.live:
            return ()
        claimed = {
            cluster.address: list(self.transcript.voices(cluster.address))
            for cluster in self.subject.clusters
        }
        chosen = self.subject.dispatcher
        if chosen is None:
            owners = self.owners()
            count: dict[Mac, int] = {}
            for macs in claimed.values():
                for mac in macs:
                    if mac not in owners:
                        count[mac] = count.get(mac, 0) + 1
            chosen = max(count, key=lambda mac: count[mac], default=None)
        return tuple(
            (cluster, chosen)
            for cluster in self.subject.clusters
            if chosen is not None and chosen in claimed[cluster.address]
        )

    def echoes(self, key: Key) -> list[Answer]:
        """Return the answers to a ping, whichever attempt."""
        number = self.ledger.known(key)
        if number is None:
            return []
        found = self.transcript.echoes
        return [
            answer
            for attempt in range(4)
            for answer in found.get((number, attempt), [])
            if answer.ip.source == key.address
        ]

    def segments(self, key: Key) -> list[tuple[Answer, Segment]]:
        """Return the TCP segments that answered a knock or a request."""
        number = self.ledger.known(key)
        if number is None or key.port is None:
            return []
        return [
            (answer, segment)
            for answer, segment in self.transcript.segments.get(number, [])
            if answer.ip.source == key.address and segment.source == key.port.number
        ]

    def opened(self, key: Key) -> tuple[Answer, Segment] | None:
        """Return the segment that accepted the connection."""
        wanted = Flag.SYN | Flag.ACK
        return next((e for e in self.segments(key) if e[1].flags & wanted == wanted), None)

    def refused(self, key: Key) -> tuple[Answer, Segment] | None:
        """Return the segment that refused the connection."""
        return next((e for e in self.segments(key) if e[1].flags & Flag.RST), None)

    def rejected(self, key: Key) -> tuple[Answer, IcmpError] | None:
        """Return the ICMP error that answered."""
        number = self.ledger.known(key)
        errors = [] if number is None else self.transcript.errors.get(number, [])
        return next((e for e in errors if _is_rejection(*e)), None)

    def datagrams(self, key: Key) -> list[Answer]:
        """Return the UDP datagrams that answered."""
        number = self.ledger.known(key)
        found = [] if number is None else self.transcript.datagrams.get(number, [])
        return [answer for answer in found if answer.ip.source == key.address]

    def asked(self, server: Examined, version: int) -> tuple[Mac, Address] | None:
        """Return which MAC of the server's asked everybody for a borrowed address, and which.

        Questions in a cluster address's name do not count: they are leaks.
        """
        clusters = {cluster.address for cluster in self.subject.clusters}
        identity, owners = self.identity, self.owners()
        ours = {each.get(version) for each in (identity.borrowed, identity.spare)}
        for mac, question in self.transcript.questions:
            in_its_name = isinstance(question, Arp) and question.sender in clusters
            if owners.get(mac) == server.name and question.target in ours and not in_its_name:
                return mac, question.target
        return None

    def replied(self, key: Key) -> bool:
        """Whether anything at all answered for the port."""
        return bool(self.segments(key) or self.rejected(key) or self.datagrams(key))

    def answered(self) -> bool:
        """Whether every ping and every TCP port has answered, and every request has ended."""
        for server, cluster in self.subject.pairs:
            if self.ledger.known(ping := Key(Purpose.PING, server.name, cluster.address)) is None:
                continue
            if not self.echoes(ping):
                return False
            for port in cluster.ports:
                key = Key(Purpose.PORT, server.name, cluster.address, port)
                if port.protocol is Protocol.TCP and not self.replied(key):
                    return False
        return True

    def doubtful(self) -> list[tuple[Examined, Cluster]]:
        """Return the pairs with an unanswered ping or a port that is not open."""
        return [
            (server, cluster)
            for server, cluster in self.subject.pairs
            if self.mac(server.name) is not None
            and (
                not self.echoes(Key(Purpose.PING, server.name, cluster.address))
                or any(
                    not self.opened(Key(Purpose.PORT, server.name, cluster.address, port))
                    for port in cluster.ports
                    if port.protocol is Protocol.TCP
                )
            )
        ]


def _is_rejection(answer: Answer, error: IcmpError) -> bool:
    """Whether a firewall or the stack said no, and not a router that finds nobody."""
    found_nobody = (0, 1) if answer.ip.source.version == 4 else (0, 3)
    return error.name == "destination unreachable" and error.code not in found_nobody
