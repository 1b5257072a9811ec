"""The frames that ask: of a server, of a MAC, or of everybody."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING

from shunt.model.config import Protocol
from shunt.network.frames import (
    Envelope,
    arp_request,
    echo_request,
    neighbour_solicitation,
    tcp_syn,
    udp_datagram,
)
from shunt.verify import wide
from shunt.verify.ledger import Key, Purpose
from shunt.verify.phase import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shunt.model.addresses import Address, Mac
    from shunt.verify.reading import Reading
    from shunt.verify.subject import Cluster, Examined, Port


class Questions:
    """Makes frames in the name of `reading.identity`, and gives each question its number."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.subject = reading.subject
        self.confirmed: set[tuple[str, Address]] = set()  # who was asked for every mask in doubt

    def whose(self, cluster: Cluster, name: str, mac: Mac) -> Iterator[bytes]:
        """Ask a MAC whether it is a server's: for the server's own address, no router between."""
        for own in self.subject.servers[name].addresses:
            yield from self.ping_at(mac, Key(Purpose.WHOSE_MAC, name, own, None, mac), ttl=1)
            for port in cluster.ports:
                if port.protocol is Protocol.TCP:
                    key = Key(Purpose.WHOSE_MAC, name, own, port, mac)
                    yield from self.knock_at(mac, key, ttl=1)

    def look_into(self, cluster: Cluster, mac: Mac) -> Iterator[bytes]:
        """Ask a MAC that nobody knows whether it is a server's, and what it does with packets."""
        for name in cluster.servers:
            for own in self.subject.servers[name].addresses:
                key = Key(Purpose.WHOSE_MAC, name, own, None, mac)
                yield from self.ping_at(mac, key, ttl=1)
        yield from self.ping_at(mac, Key(Purpose.STRANGER_PING, "", cluster.address, None, mac))
        for port in cluster.ports:
            yield from self.knock_at(
                mac, Key(Purpose.STRANGER_PORT, "", cluster.address, port, mac)
            )

    def who_has(
        self, address: Address, *, asking: bool = False, only: Mac | None = None
    ) -> Iterator[bytes]:
        """Yield a question to everybody, or to one MAC.

        `asking`: in the name of a borrowed address, if there is one; else without a sender.
        """
        mac, sender = self.reading.identity.mac, self.reading.identity.asker.get(address.version)
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

    def wide(
        self, server: Examined, cluster: Cluster, addresses: Iterable[Address]
    ) -> Iterator[bytes]:
        """Ask a server for addresses of its alias's network, if the alias is wider than a host.

        With TTL 1, so that nobody passes it on; from the borrowed address that the network is the
        least likely to hold, for a server sends to nobody whom it takes for itself.
        """
        mac = self.reading.mac(server.name)
        source = wide.remote(cluster.address, self.reading.identity.senders)
        if mac is None or source is None:
            return
        for address in addresses:
            key = Key(Purpose.WIDE, server.name, address)
            yield from self.ping_at(mac, key, ttl=1, source=source)

    def from_beyond(self, server: Examined, cluster: Cluster, own: Address) -> Iterator[bytes]:
        """Ask for a server's own address from where no alias's network reaches.

        Its replies to this segment may never leave it. What it sends to the segment's broadcast
        address does, and in IPv6 what it sends to a link-local one.
        """
        mac, identity = self.reading.mac(server.name), self.reading.identity
        if mac is None:
            return
        if isinstance(own, IPv4Address):
            for network in self.reading.networks:
                if isinstance(network, IPv4Network) and own in network and network.prefixlen < 31:
                    key = Key(Purpose.FROM_BEYOND, server.name, own)
                    yield from self.ping_at(mac, key, ttl=1, source=network.broadcast_address)
            for far in wide.far_askers(self.reading.networks):
                yield arp_request(identity.mac, own, far)
        else:
            key = Key(Purpose.FROM_BEYOND, server.name, own)
            yield from self.ping_at(mac, key, ttl=1, source=identity.link_local)
            for port in cluster.ports:
                key = Key(Purpose.FROM_BEYOND, server.name, cluster.address, port)
                yield from self.knock_at(mac, key, ttl=1, source=identity.link_local)

    def own(self, server: Examined, cluster: Cluster, own: Address) -> Iterator[bytes]:
        """Ask for a server's own address and the cluster's ports there."""
        mac, source = self.reading.mac(server.name), self.reading.identity.doubts.get(own.version)
        if mac is None:
            return
        yield from self.ping_at(mac, Key(Purpose.OWN_PING, server.name, own), source=source)
        for port in cluster.ports:
            key = Key(Purpose.OWN_PORT, server.name, own, port)
            yield from self.knock_at(mac, key, source=source)

    def cold(self, server: Examined, cluster: Cluster) -> Iterator[bytes]:
        """Ask at the cluster address once more, and in the name of somebody unknown.

        Only who can ask for a MAC answers the latter.
        """
        mac = self.reading.mac(server.name)
        identity, version = self.reading.identity, cluster.address.version
        known, stranger = identity.doubts.get(version), identity.spare.get(version)
        if mac is None or known is None or stranger is None:
            return
        tcp = (port for port in cluster.ports if port.protocol is Protocol.TCP)
        for port in (None, *tcp):
            for purpose, source in ((Purpose.WARM, known), (Purpose.COLD, stranger)):
                key = Key(purpose, server.name, cluster.address, port)
                ask = self.ping_at if port is None else self.knock_at
                yield from ask(mac, key, source=source)

    def both_forms(self, address: Address) -> Iterator[bytes]:
        """Yield the question without a sender, and with one: some answer to one of them only.

        Proxies of Linux leave the first alone.
        """
        yield from self.who_has(address)
        if self.reading.identity.asker.get(address.version) is not None:
            yield from self.who_has(address, asking=True)

    def _envelope(
        self, mac: Mac, to: Address, ttl: int = 64, source: Address | None = None
    ) -> Envelope | None:
        source = source or self.reading.identity.borrowed.get(to.version)
        return None if source is None else Envelope(self.reading.identity.mac, mac, source, to, ttl)

    def ping(
        self, server: Examined, address: Address, purpose: Purpose, attempt: int = 0
    ) -> Iterator[bytes]:
        """Yield a ping to a server, if its MAC is known."""
        mac = self.reading.mac(server.name)
        if mac is not None:
            key = Key(purpose, server.name, address)
            yield from self.ping_at(mac, key, attempt=attempt)

    def ping_at(
        self, mac: Mac, key: Key, *, ttl: int = 64, attempt: int = 0, source: Address | None = None
    ) -> Iterator[bytes]:
        """Yield a ping to a MAC, from the borrowed address unless `source` says otherwise."""
        assert key.address is not None
        envelope = self._envelope(mac, key.address, ttl, source)
        if envelope is not None:
            number = self.reading.ledger.number(key)
            yield echo_request(envelope, number, attempt, b"shunt verify")

    def foreign(self, server: Examined, version: int) -> Iterator[bytes]:
        """Yield a frame to a server for an address that is not its own."""
        mac, to = self.reading.mac(server.name), self.reading.identity.asker.get(version)
        if mac is None or to is None or to == self.reading.identity.borrowed.get(version):
            return
        yield from self.ping_at(mac, Key(Purpose.FOREIGN, server.name, to))

    def knock(
        self, server: Examined, address: Address, port: Port, key: Key | None = None
    ) -> Iterator[bytes]:
        """Yield a knock at a server's port, if its MAC is known."""
        mac = self.reading.mac(server.name)
        if mac is not None:
            yield from self.knock_at(mac, key or Key(Purpose.PORT, server.name, address, port))

    def knock_at(
        self, mac: Mac, key: Key, *, ttl: int = 64, source: Address | None = None
    ) -> Iterator[bytes]:
        """Yield the first segment of a connection to a MAC, or a datagram; `source` as above."""
        assert key.address is not None
        assert key.port is not None
        envelope = self._envelope(mac, key.address, ttl, source)
        if envelope is None:
            return
        number = self.reading.ledger.number(key)
        ports = number, key.port.number
        if key.port.protocol is Protocol.TCP:
            yield tcp_syn(envelope, ports, sequence=number << 16)
        else:
            yield udp_datagram(envelope, ports)

    def request(self, server: Examined, address: Address, port: Port) -> Iterator[Request]:
        """Yield a connection to a server's port, if its MAC is known."""
        mac = self.reading.mac(server.name)
        if mac is not None and address.version in self.reading.identity.borrowed:
            key = Key(Purpose.PORT, server.name, address, port)
            yield Request(self.reading.ledger.number(key), server.name, mac, address, port)
