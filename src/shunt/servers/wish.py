"""What a server shall be: the part of the configuration that its set-up needs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from shunt.errors import UsageError
from shunt.model.config import Config, Forward, Server, Service

if TYPE_CHECKING:
    from shunt.model.addresses import Address


class Silence(StrEnum):
    """How a Linux server is kept from answering ARP for a cluster address."""

    AUTO = "auto"
    SYSCTL = "sysctl"
    NFT = "nft"
    ARPTABLES = "arptables"
    REDIRECT = "redirect"  # no alias at all; see docs/servers/linux.md for its price


@dataclass(frozen=True, slots=True)
class Wish:
    """What one server shall be.

    Attributes:
        server: The server; its own addresses may be empty when it is set up locally.
        clusters: The addresses that it shall hold, without answering ARP or ND for them.
        forward: How packets for `clusters` reach it, `mac` or `encap`; `nat` if it has none.
        bare: Addresses of `nat` services: the server must *not* hold these.
        dispatchers: Addresses of the machines that forward, as far as they are known.
        silence: How ARP is silenced (Linux).
        persist: Whether it must come back after a reboot.
        flows: (protocol, port) of the services, as far as they are known; as `ip` names them.
        only: Whether these are all the addresses: what Shunt has set up for others goes.
    """

    server: Server
    clusters: tuple[Address, ...]
    forward: Forward = Forward.MAC
    bare: tuple[Address, ...] = ()
    dispatchers: tuple[Address, ...] = ()
    silence: Silence = Silence.AUTO
    persist: bool = True
    only: bool = True
    flows: frozenset[tuple[str, int]] = frozenset()

    @property
    def clusters4(self) -> tuple[IPv4Address, ...]:
        """Return the IPv4 addresses among `clusters`."""
        return tuple(a for a in self.clusters if isinstance(a, IPv4Address))


def wish_for(config: Config, name: str, dispatchers: tuple[Address, ...] = ()) -> Wish:
    """Return what the configuration wants of the server `name`.

    `dispatchers` are the own addresses of the machines that forward, which it does not say.

    Raises:
        UsageError: There is no such server, or it is wanted with and without the same address.
    """
    server = config.servers.get(name)
    if server is None:
        known = ", ".join(sorted(config.servers)) or "none"
        raise UsageError(
            f"there is no server {name!r} in the configuration", hint=f"known: {known}"
        )
    ways: dict[Forward, dict[Address, None]] = {forward: {} for forward in Forward}
    for service in config.services:
        if any(member.server == name for member in service.members):
            ways[service.forward].update(dict.fromkeys(_addresses(config, service)))
    held = {**ways[Forward.MAC], **ways[Forward.ENCAP]}
    for address in ways[Forward.NAT]:
        if address in held:
            raise UsageError(
                f"server {name} is in a nat service and in another one of {address}",
                hint="a nat server must not hold the address, the others must: use another server",
            )
    forward = Forward.ENCAP if ways[Forward.ENCAP] else Forward.MAC if held else Forward.NAT
    flows = frozenset(
        (str(service.protocol), service.port)
        for service in config.services
        if service.port and any(member.server == name for member in service.members)
    )
    bare = tuple(ways[Forward.NAT])
    return Wish(server, tuple(held), forward, bare, dispatchers, flows=flows)


def _addresses(config: Config, service: Service) -> tuple[Address, ...]:
    """Return the cluster addresses of a service; 0.0.0.0 and :: mean all of their family."""
    if not service.address.is_unspecified:
        return (service.address,)
    return tuple(a for a in config.cluster_addresses if a.version == service.address.version)
