"""Where the verifier stands: its interface there, and what it must leave alone."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from shunt.dataplane.program import Program
from shunt.errors import DataplaneError, HostError, UsageError
from shunt.model.addresses import ZERO
from shunt.network.addresses import addresses as local_addresses
from shunt.network.addresses import held_by_host
from shunt.network.gateways import gateways
from shunt.network.links import find, links
from shunt.network.processes import listens_here
from shunt.verify import borrow

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Iterable, Mapping
    from ipaddress import IPv4Interface, IPv6Interface
    from pathlib import Path

    from shunt.model.addresses import Address
    from shunt.network.links import Link
    from shunt.verify.subject import Subject
    from shunt.verify.wide import Network

PROGRAM = "shunt"  # what the names of the data plane's programs begin with


@dataclass(frozen=True, slots=True)
class Place:
    """An interface, its addresses with their networks, and the addresses that are taken.

    `taken` has, by address, in words whose each is: this machine's, its gateways', the
    configuration's.
    """

    link: Link
    own: tuple[IPv4Interface | IPv6Interface, ...]
    taken: Mapping[Address, str]

    @property
    def networks(self) -> tuple[Network, ...]:
        """Return the networks of the segment, as far as this machine has addresses in them."""
        return tuple(dict.fromkeys(each.network for each in self.own if not each.is_link_local))

    def offered(
        self, subject: Subject, given: Collection[Address], chance: random.Random
    ) -> dict[int, tuple[Address, ...]]:
        """Return, by IP version, the addresses that may be borrowed if they turn out to be free.

        Raises:
            UsageError: a given address must not be borrowed.
        """
        for address in given:
            if (reason := borrow.refusal(address, self.own, self.taken)) is not None:
                raise UsageError(
                    f"{address} cannot be borrowed: {reason}",
                    hint=f"Name an unused address of {self.link.name}'s network, or none.",
                )
        wanted = _addresses(subject)
        offered: dict[int, tuple[Address, ...]] = {}
        for version in subject.versions:
            chosen = tuple(address for address in given if address.version == version)
            home = borrow.home(self.own, wanted, version)
            if chosen:
                offered[version] = chosen
            elif home is not None:
                offered[version] = borrow.candidates(home, self.taken.keys(), chance)
        return offered


def find_place(subject: Subject, interface: str | None, control: Path | None = None) -> Place:
    """Return the place on `interface`, or on the one whose network the servers are in.

    `control` is where a dispatcher on this machine has its control socket.

    Raises:
        HostError: there is none, it is down, or this machine is a part of what is examined.
    """
    refuse_dispatcher(links(), control)
    mine = _mine()
    taken = dict.fromkeys(subject.reserved, "the configuration has it")
    taken |= dict.fromkeys(gateways(), "it is a gateway of this machine")
    taken |= {own.ip: "it is this machine's own" for each in mine.values() for own in each}
    taken |= {
        address: f"it is server {server.name}'s"
        for server in subject.servers.values()
        for address in server.addresses
    }
    taken |= {cluster.address: "it is a cluster address" for cluster in subject.clusters}
    _refuse_participant(subject, {own.ip for each in mine.values() for own in each})
    if interface is None:
        interface = next(iter(near(mine, _addresses(subject, servers_only=True))), None)
    if interface is None:
        raise HostError(
            "no interface here is in the servers' network",
            hint="Run it on a machine of their segment, or name the interface with --from.",
        )
    link = find(interface)
    if link.mac is None or link.mac == ZERO:
        raise HostError(
            f"{interface} is no Ethernet interface", hint="Name the one on the segment with --from."
        )
    if not link.up:
        raise HostError(f"{interface} is down", hint=f"ip link set {interface} up")
    return Place(link, tuple(mine.get(interface, ())), taken)


def near(
    mine: Mapping[str, Collection[IPv4Interface | IPv6Interface]], targets: Iterable[Address]
) -> tuple[str, ...]:
    """Return the interfaces in whose networks `targets` are, the one with the most first."""
    wanted = tuple(targets)
    count = {
        name: sum(address in one.network for address in wanted for one in own)
        for name, own in mine.items()
    }
    return tuple(sorted((name for name in count if count[name]), key=lambda name: -count[name]))


def interfaces_near(targets: Iterable[Address]) -> tuple[str, ...]:
    """Return this machine's interfaces in whose networks `targets` are.

    Raises:
        NetworkError: the kernel would not tell.
    """
    return near(_mine(), targets)


def _mine() -> dict[str, list[IPv4Interface | IPv6Interface]]:
    """Return this machine's addresses with their networks, by interface."""
    mine: dict[str, list[IPv4Interface | IPv6Interface]] = {}
    for each in local_addresses():
        mine.setdefault(each.interface, []).append(ip_interface((each.address, each.prefix)))
    return mine


def _addresses(subject: Subject, *, servers_only: bool = False) -> list[Address]:
    servers = [address for server in subject.servers.values() for address in server.addresses]
    return servers if servers_only else [*servers, *(each.address for each in subject.clusters)]


def refuse_dispatcher(here: Iterable[Link], control: Path | None) -> None:
    """Refuse to examine from a dispatcher: it neither hears itself nor all that is sent to it.

    Raises:
        HostError: an interface carries Shunt's program, or the daemon runs in this namespace.
    """
    hint = "Run it on another machine of the segment; here, `shunt status` tells."
    for link in here:
        if any(map(_is_shunts, link.xdp.programs if link.xdp else ())):
            raise HostError(
                f"this machine is a dispatcher: Shunt's program is on {link.name}", hint=hint
            )
    if control is not None and listens_here(control):
        raise HostError(f"this machine is a dispatcher: its daemon listens on {control}", hint=hint)


def _is_shunts(program: int) -> bool:
    """Say whether an XDP program is Shunt's; one that this process may not look at is another's."""
    try:
        with Program.by_id(program) as found:
            return found.name.startswith(PROGRAM)
    except DataplaneError:
        return False


def _refuse_participant(subject: Subject, own: Collection[Address]) -> None:
    """Refuse to examine from a server or a holder of a cluster address: it does not hear itself."""
    for server in subject.servers.values():
        for address in server.addresses:
            if address in own:
                raise HostError(
                    f"{address} of server {server.name} is this machine's own",
                    hint="Run it on another machine of the segment.",
                )
    for cluster in subject.clusters:
        if (held := held_by_host(cluster.address)) is not None:
            raise HostError(
                f"this machine takes the cluster address {cluster.address} itself, "
                f"on {held.interface}",
                hint="Run it on another machine of the segment, or take the address off: "
                f"{held.removal}",
            )
