"""What is examined, and whom the verifier pretends to be while it examines."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from shunt.model.config import Advisor, Protocol, Server
from shunt.network.frames.listener import link_local

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv6Address

    from shunt.model.addresses import Address, Mac


class Application(StrEnum):
    """What is asked of a port once it is open, where no advisor says it."""

    HTTP = "http"
    HTTPS = "https"
    CONNECT = "connect"  # nothing: that a connection opens is all there is to know


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a cluster address; `advisor`, if the service has one, says what to ask there."""

    number: int
    protocol: Protocol = Protocol.TCP
    application: Application = Application.CONNECT
    advisor: Advisor | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Examined:
    """A server: `addresses` are its own; `entry` is the configuration's, if it is from there.

    `held` are the addresses of all services that it is a member of, examined or not.
    """

    name: str
    addresses: tuple[Address, ...]
    entry: Server | None = None
    held: frozenset[Address] = frozenset()


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster address with its ports and the names of its servers."""

    name: str
    address: Address
    servers: tuple[str, ...]
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """All that is examined. `live`: a dispatcher runs, and `dispatcher` is its MAC, if known.

    `reserved` are further addresses of the configuration, examined or not: never to be borrowed.
    """

    servers: Mapping[str, Examined]
    clusters: tuple[Cluster, ...]
    live: bool = False
    dispatcher: Mac | None = None
    reserved: frozenset[Address] = frozenset()

    @property
    def pairs(self) -> tuple[tuple[Examined, Cluster], ...]:
        """Return every server with every cluster address that it serves."""
        return tuple(
            (self.servers[name], cluster) for cluster in self.clusters for name in cluster.servers
        )

    @property
    def versions(self) -> tuple[int, ...]:
        """Return the IP versions of the cluster addresses."""
        return tuple(sorted({cluster.address.version for cluster in self.clusters}))


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the verifier pretends to be: a machine of its own, not the one it runs on.

    Attributes:
        mac: The pretended machine's MAC.
        borrowed: By IP version, the unused address that packets come from.
        asker: By IP version, a second one that only asks by ARP and is never sent to, so that a
            server that wants to answer `borrowed` has to ask who that is.
        spare: A third one, for servers that turn out to know `borrowed` from an earlier time.
        doubts: A fourth one, that asks for servers' own addresses where something is wrong: what
            waits for the first one's MAC must not keep those answers waiting.
        groups: The IPv6 groups in which questions for such addresses arrive.
    """

    mac: Mac
    borrowed: Mapping[int, Address] = field(default_factory=dict)
    asker: Mapping[int, Address] = field(default_factory=dict)
    spare: Mapping[int, Address] = field(default_factory=dict)
    doubts: Mapping[int, Address] = field(default_factory=dict)
    groups: tuple[IPv6Address, ...] = ()

    @property
    def senders(self) -> tuple[Address, ...]:
        """Return the borrowed addresses that packets may come from, the one for requests first.

        The asker is the last resort, for it shall be known to nobody.
        """
        known = (*self.borrowed.values(), *self.spare.values(), *self.asker.values())
        return tuple(dict.fromkeys(known))

    @property
    def link_local(self) -> IPv6Address:
        """Return the address that the pretended machine has by its MAC alone."""
        return link_local(self.mac)

    @property
    def addresses(self) -> frozenset[Address]:
        """Return every borrowed address: the verifier answers for them, and announces them."""
        return frozenset((*self.senders, *self.doubts.values()))
