"""What is known of a Linux server, before anything is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import TYPE_CHECKING

from shunt.servers.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shunt.model.addresses import Address
    from shunt.servers.drivers.linux.kernel import Lookup

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Held:
    """An address on an interface; `scope` is iproute2's word (global, link, host)."""

    address: Address
    length: int
    scope: str
    secondary: bool = False
    deprecated: bool = False
    label: str = ""  # of IPv4: the name of the interface, or one that begins with it (`eth0:1`)

    @property
    def network(self) -> Network:
        """Return the network that the address claims with its prefix length."""
        kind = IPv4Network if self.address.version == 4 else IPv6Network
        return kind((self.address, self.length), strict=False)

    @property
    def host(self) -> bool:
        """Whether the prefix covers nothing but the address."""
        return self.length == self.address.max_prefixlen


@dataclass(frozen=True, slots=True)
class Link:
    """An interface; `kind` is the driver's kind (`veth`, `dummy`, `bridge`), empty for hardware.

    `master` is the bridge or bond that it is a port of.
    """

    name: str
    up: bool
    loopback: bool
    arp: bool
    kind: str
    addresses: tuple[Held, ...]
    master: str | None = None

    @property
    def silent(self) -> bool:
        """Whether an address may live here unseen: nothing on a wire ever asks this interface."""
        return self.loopback or self.kind == "dummy"


@dataclass(frozen=True, slots=True)
class Route:
    """A row of any table; `words` is what `ip route add` and `del` take to name it."""

    destination: Network
    table: str
    type: str
    device: str | None
    gateway: Address | None
    source: Address | None
    words: tuple[str, ...]

    @property
    def without_source(self) -> tuple[str, ...]:
        """Return the words without the preferred source, which comes last."""
        return self.words if self.source is None else self.words[:-2]


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy rule; `everything` if no selector keeps any packet out."""

    version: int
    priority: int
    table: str
    everything: bool


@dataclass(frozen=True, slots=True)
class Proxy:
    """A published neighbour entry: the kernel answers for `address` on `device`."""

    address: Address
    device: str


@dataclass(frozen=True, slots=True)
class Managers:
    """Who manages the network, as far as `probe` in `facts.py` could tell.

    Attributes:
        systemd: The host was started by systemd.
        networkd, netplan, ifupdown, ifcfg: These are in charge of something.
        network_manager: Its version if it runs, as (major, minor).
        networkd_file: The .network file that systemd-networkd uses for `lo`, if any.
        networkd_texts: Its text, and those of its drop-ins but Shunt's, in the order of reading.
        loopback_profile: The file of a NetworkManager profile for `lo` that somebody else made.
        profile_addresses: The addresses of that profile, each with its prefix length.
        unheeded: Shunt's own files that are there, but that nobody acts upon at boot: a unit that
            is not enabled, a script that cannot be executed.
    """

    systemd: bool = False
    networkd: bool = False
    netplan: bool = False
    ifupdown: bool = False
    ifcfg: bool = False
    network_manager: tuple[int, int] | None = None
    networkd_file: str | None = None
    networkd_texts: tuple[str, ...] = ()
    loopback_profile: str | None = None
    profile_addresses: frozenset[str] = frozenset()
    unheeded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Setting:
    """A line of a sysctl file: where it stands, the key with dots (or a pattern), the value.

    Without a value it takes the key out of what is set at boot.
    """

    file: str
    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Host:
    """Everything that the plan is made from.

    `values` has the settings below /proc/sys/net by their path (`ipv4/conf/all/arp_ignore`);
    `files` the contents of the files that Shunt may have written, None for those that are absent.
    """

    links: tuple[Link, ...]
    routes: tuple[Route, ...]
    rules: tuple[Rule, ...]
    proxies: tuple[Proxy, ...]
    values: Mapping[str, int]
    writable: bool = True  # /proc/sys can be written
    tools: frozenset[str] = frozenset()
    managers: Managers = Managers()
    settings: tuple[Setting, ...] = ()
    files: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    filtered: frozenset[Address] = frozenset()  # dropped and rewritten for ARP, or redirected
    in_arp_table: frozenset[Address] = frozenset()  # named in the table of Shunt's own
    redirected: frozenset[Address] = frozenset()
    lookups: tuple[Lookup, ...] = ()
    record: Record = field(default_factory=Record)

    def holders(self, address: Address) -> Iterator[tuple[Link, Held]]:
        """Yield every interface that holds `address`, with the prefix it holds it under."""
        for link in self.links:
            for held in link.addresses:
                if held.address == address:
                    yield link, held

    def effective(self, setting: str, link: Link) -> int:
        """Return what counts for an IPv4 setting on `link`: the larger of `all` and its own.

        That is the kernel's rule for arp_ignore, arp_announce and rp_filter
        (Documentation/networking/ip-sysctl.rst).
        """
        everywhere = self.values[f"ipv4/conf/all/{setting}"]
        return max(everywhere, self.values.get(f"ipv4/conf/{link.name}/{setting}", 0))

    @property
    def wires(self) -> tuple[Link, ...]:
        """Return the interfaces on which somebody can ask: up, with ARP, not loopback or dummy."""
        return tuple(link for link in self.links if link.up and link.arp and not link.silent)

    def default_routes(self, version: int) -> tuple[Route, ...]:
        """Return the default routes of the main table."""
        return tuple(
            route
            for route in self.routes
            if route.destination.version == version
            and route.destination.prefixlen == 0
            and route.table == "main"
            and route.type == "unicast"
        )
