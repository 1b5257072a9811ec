"""Questions to the transcript in the words of the examination: servers, clusters, ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.addresses import ZERO
from shunt.model.config import Protocol
from shunt.network.frames import Arp, Flag
from shunt.verify import wide
from shunt.verify.ledger import Key, Ledger, Purpose
from shunt.verify.subject import Identity
from shunt.verify.transcript import ATTEMPTS, Transcript

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.model.addresses import Address, Mac
    from shunt.network.frames import IcmpError, Segment
    from shunt.verify.subject import Cluster, Examined, Port, Subject
    from shunt.verify.transcript import Answer, Voiced
    from shunt.verify.wide import Network


STRANGERS = 8  # MACs that are looked into; with more, a crowd is at work
DOUBTS, AGAIN = "doubts", "silence again"  # names of phases


class Reading:
    """What the transcript says so far of `subject`."""

    def __init__(
        self,
        subject: Subject,
        ledger: Ledger,
        transcript: Transcript | None = None,
        *,
        requests_wanted: bool = False,
        networks: tuple[Network, ...] = (),
    ) -> None:
        self.subject = subject
        self.ledger = ledger
        self.identity = Identity(ZERO)
        self.requests_wanted = requests_wanted
        self.networks = networks
        self.transcript = transcript or Transcript()
        self.transcript.concerned = tuple(cluster.address for cluster in subject.clusters)
        own = {address for each in subject.servers.values() for address in each.addresses}
        self.transcript.relevant = frozenset({*self.transcript.concerned, *own})
        self._owners: dict[Mac, str] = {}
        self._owners_at = -1  # how many frames had been heard when they were found

    def listen_to(self, offered: Mapping[int, tuple[Address, ...]]) -> None:
        """Keep what is said of these addresses, too, and to the far askers."""
        ours = {address for each in offered.values() for address in each}
        far = wide.far_askers(self.networks)
        self.transcript.relevant |= frozenset({*ours, *far})

    def held(self, server: Examined) -> frozenset[Address]:
        """Return the addresses that the server has by right: its own, and those of clusters."""
        clusters = [each for each in self.subject.clusters if server.name in each.servers]
        served = {cluster.address for cluster in clusters}
        return frozenset({*server.addresses, *served, *server.held})

    def swallowed(self, server: Examined, cluster: Cluster) -> tuple[Address, ...]:
        """Return the addresses that the server takes for its own beside the cluster's.

        What another machine says is its own is another cluster's address, that the server may
        have as well. If it is only one, it may be the server's card's.
        """
        keys = self.ledger.asked(Purpose.WIDE, server.name)
        answered = [key.address for key in keys if key.address and self.echoes(key)]
        if not answered:
            return ()
        every = wide.every(cluster.address, self.held(server))
        asked = {*every, *wide.witnesses(cluster.address, every)}
        found = tuple(address for address in answered if address in asked)
        if not found or wide.proven(cluster.address, found):
            return found
        return tuple(address for address in found if not self.transcript.claims.get(address))

    def acquainted(self) -> tuple[Mac, ...]:
        """Return the MACs that were heard and are neither servers' nor claim a cluster address."""
        known = self.owners().keys() | {mac for _, mac in self.claimants()}
        return tuple(mac for mac in self.transcript.speakers if mac not in known)

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

    def unheard(self, phase: str | None = None) -> tuple[Address, ...]:
        """Return the servers' own addresses for which nobody has answered yet, or in a phase."""
        return tuple(
            address
            for server in self.subject.servers.values()
            for address in server.addresses
            if not self.answers_for(address, phase)
        )

    def answers_for(self, address: Address, phase: str | None = None) -> bool:
        """Whether somebody has answered who has the address, ever or in a phase."""
        return any(
            voiced.answer and (phase is None or voiced.phase == phase)
            for voiced in self.transcript.claims.get(address, ())
        )

    def controlled(self, server: Examined, version: int, phase: str | None = None) -> bool:
        """Whether silence means something: the own address of that IP version has answered.

        A server without an own address of the version is known by another one. With a `phase`:
        whether it answered in that phase.
        """
        own = [each for each in server.addresses if each.version == version] or server.addresses
        return any(self.answers_for(each, phase) for each in own)

    def lived_on(self, server: Examined, version: int) -> bool:
        """Whether the server was there after it had been asked for silence."""
        if any(self.controlled(server, version, phase) for phase in (DOUBTS, AGAIN)):
            return True
        clusters = [
            cluster
            for cluster in self.subject.clusters
            if server.name in cluster.servers and cluster.address.version == version
        ]
        return any(self.spoke(server, cluster) for cluster in clusters)

    def spoke(self, server: Examined, cluster: Cluster) -> bool:
        """Whether the server has answered anything from the cluster address."""
        keys = [Key(Purpose.PORT, server.name, cluster.address, port) for port in cluster.ports]
        pinged = self.echoes(Key(Purpose.PING, server.name, cluster.address))
        return bool(pinged) or any(map(self.replied, keys))

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
            for address in server.addresses:
                voices = self.transcript.claims.get(address, ())
                speakers = {voiced.claim.said_by for voiced in voices}
                if len(speakers) == 1:  # a card may speak for a bond's MAC
                    found.setdefault(speakers.pop(), server.name)
        for cluster in self.subject.clusters:
            for mac in self.transcript.voices(cluster.address):
                if mac not in found and (name := self._owner_of(mac)):
                    found[mac] = name
        return found

    def _owner_of(self, mac: Mac) -> str | None:
        """Return the server that takes its own address's packets at a MAC: pings, or segments."""
        for server in self.subject.servers.values():
            for own in server.addresses:
                if self.echoes(Key(Purpose.WHOSE_MAC, server.name, own, None, mac)):
                    return server.name
        for cluster in self.subject.clusters:
            for name in cluster.servers:
                for own in self.subject.servers[name].addresses:
                    for port in cluster.ports:
                        if self.segments(Key(Purpose.WHOSE_MAC, name, own, port, mac)):
                            return name
        return None

    def strangers(self) -> tuple[tuple[Cluster, Mac], ...]:
        """Return the MACs, no server's and not the dispatcher's, that claim a cluster address."""
        excepted = {mac for _, mac in self.dispatchers()}
        return tuple((cluster, mac) for cluster, mac in self.claimants() if mac not in excepted)

    def claimants(self) -> tuple[tuple[Cluster, Mac], ...]:
        """Return the MACs, no server's, that claim a cluster address, first come first."""
        owners = self.owners()
        return tuple(
            (cluster, mac)
            for cluster in self.subject.clusters
            for mac, voices in self.transcript.voices(cluster.address).items()
            if mac not in owners and any(v.claim.said_by not in owners for v in voices)
        )

    def looked_into(self, cluster: Cluster, mac: Mac) -> bool:
        """Whether the MAC was asked what it does with the cluster address's packets."""
        key = Key(Purpose.STRANGER_PING, "", cluster.address, None, mac)
        return self.ledger.known(key) is not None

    def said_by(self, server: Examined, cluster: Cluster) -> dict[Mac, list[Voiced]]:
        """Return where the server itself said that the cluster address is, MAC by MAC."""
        owners = self.owners()
        said = {
            mac: [voiced for voiced in voices if owners.get(voiced.claim.said_by) == server.name]
            for mac, voices in self.transcript.voices(cluster.address).items()
        }
        return {mac: voices for mac, voices in said.items() if voices}

    def impersonated(self, cluster: Cluster) -> dict[tuple[Mac, Mac], list[Voiced]]:
        """Return claims in the name of a server's MAC, or the dispatcher's, by somebody unknown.

        The keys are who spoke and who was named.
        """
        owners = self.owners()
        dispatchers = {mac for _, mac in self.dispatchers()}
        found: dict[tuple[Mac, Mac], list[Voiced]] = {}
        for mac, voices in self.transcript.voices(cluster.address).items():
            if mac not in owners and mac not in dispatchers:
                continue
            for voiced in voices:
                speaker = voiced.claim.said_by
                if speaker != mac and speaker not in owners and speaker not in dispatchers:
                    found.setdefault((speaker, mac), []).append(voiced)
        return found

    def dispatchers(self) -> tuple[tuple[Cluster, Mac], ...]:
        """Return, where one runs, the dispatcher's MAC for each cluster address that it claims.

        Without a given MAC it is the one that hands the most connections over to servers; of
        equals the one that claims the most cluster addresses, then the first. It is no server's.
        """
        if not self.subject.live:
            return ()
        claimants = self.claimants()
        chosen = self.subject.dispatcher
        if chosen is None:
            worth: dict[Mac, tuple[int, int]] = {}
            for cluster, mac in claimants:
                handed, claimed = worth.get(mac, (0, 0))
                handed += len(self.handed_over(cluster, mac))
                worth[mac] = handed, claimed + 1
            chosen = max(worth, key=lambda mac: worth[mac], default=None)
        return tuple((cluster, mac) for cluster, mac in claimants if mac == chosen)

    def handed_over(self, cluster: Cluster, mac: Mac) -> dict[Port, str]:
        """Return, by port, the server that accepted a connection which was sent to `mac`.

        What the machine accepts itself is not handed over, nor what a stranger accepts.
        """
        found: dict[Port, str] = {}
        for port in cluster.ports:
            opened = self.opened(Key(Purpose.STRANGER_PORT, "", cluster.address, port, mac))
            if opened is None or opened[0].mac == mac:
                continue
            if (name := self.server_behind(cluster, opened[0].mac)) is not None:
                found[port] = name
        return found

    def server_behind(self, cluster: Cluster, mac: Mac) -> str | None:
        """Return the cluster's server that sends from `mac`, also if it gets frames at another."""
        name = self.owners().get(mac)
        if name is not None:
            return name if name in cluster.servers else None
        for name in cluster.servers:
            for port in cluster.ports:
                opened = self.opened(Key(Purpose.PORT, name, cluster.address, port))
                if opened is not None and opened[0].mac == mac:
                    return name
        return None

    def echoes(self, key: Key) -> list[Answer]:
        """Return the answers to a ping, whichever attempt."""
        number = self.ledger.known(key)
        if number is None:
            return []
        found = self.transcript.echoes
        return [
            answer
            for attempt in range(ATTEMPTS)
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
        """Return the pairs with an unanswered ping, a port that is not open, or a wide alias."""
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
                or bool(self.swallowed(server, cluster))
            )
        ]


def _is_rejection(answer: Answer, error: IcmpError) -> bool:
    """Whether a firewall or the stack said no, and not a router that finds nobody."""
    found_nobody = (0, 1) if answer.ip.source.version == 4 else (0, 3)
    return error.name == "destination unreachable" and error.code not in found_nobody
