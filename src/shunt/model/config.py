"""What an operator wishes: dispatcher, clusters with their services, servers.

`shunt.config` makes these from text and has checked them: names resolve, ports are in range,
no two services share address, protocol and port. Everything is hashable and compares by value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.model.addresses import Address, Mac


MAX_ADVISORS = 8  # of one service


class Protocol(StrEnum):
    """Transport protocols that are dispatched; `number` is IANA's."""

    TCP = "tcp"
    UDP = "udp"

    @property
    def number(self) -> int:
        """Return the IP protocol number."""
        return 6 if self is Protocol.TCP else 17


class Forward(StrEnum):
    """Forwarding methods."""

    MAC = "mac"
    ENCAP = "encap"
    NAT = "nat"


class Track(StrEnum):
    """Which flows are remembered: those that must be (auto), every one, or none."""

    AUTO = "auto"
    ALL = "all"
    NONE = "none"


class OnDown(StrEnum):
    """What becomes of a down server's established flows: kept there, moved, or reset."""

    KEEP = "keep"
    MOVE = "move"
    RESET = "reset"


class AdvisorsRequired(StrEnum):
    """How many of a service's advisors must find a server well."""

    ALL = "all"
    ANY = "any"


class Mode(StrEnum):
    """How the XDP program is attached."""

    AUTO = "auto"
    NATIVE = "native"
    GENERIC = "generic"


class OperatingSystem(StrEnum):
    """Servers' operating systems that Shunt can set up."""

    LINUX = "linux"
    AIX = "aix"
    AIX_WPAR = "aix-wpar"
    HP_UX = "hp-ux"
    SOLARIS10 = "solaris10"
    SOLARIS11 = "solaris11"
    ILLUMOS = "illumos"
    FREEBSD = "freebsd"
    OPENBSD = "openbsd"
    NETBSD = "netbsd"
    MACOS = "macos"
    WINDOWS2003 = "windows2003"
    WINDOWS = "windows"


class Accepted(StrEnum):
    """States of a server that somebody has looked at and wants to keep; told, never counted."""

    FORWARDS = "forwards"  # it passes on frames that are not for it, as a container host does


@dataclass(frozen=True, slots=True)
class Server:
    """A back-end machine. `addresses` are its own; the first one names it to the kernel."""

    name: str
    addresses: tuple[Address, ...]
    weight: int = 10
    os: OperatingSystem = OperatingSystem.LINUX
    via: str | None = (
        None  # ssh://user@host:port, winrm://user@host, local; None: nobody lets us in
    )
    wpar: str | None = None
    gateway: Address | None = None
    netns: str | None = None
    interface: str | None = None  # the server's NIC on the segment, where it must be named
    metric: Advisor | None = None  # what tells how loaded the machine is
    accept: tuple[Accepted, ...] = ()
    mac: Mac | None = None  # where its frames go, whatever is said on the segment


@dataclass(frozen=True, slots=True)
class Sticky:
    """Client affinity: `time` seconds since the last request, by the client under a mask."""

    time: int
    mask4: int = 32
    mask6: int = 128
    cross: tuple[int, ...] = ()  # ports of the same cluster that share the affinity


@dataclass(frozen=True, slots=True)
class Member:
    """A server of a service with its weight there (0 to 65535).

    `fixed`: the manager leaves the weight alone.
    """

    server: str
    weight: int
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Advisor:
    """A health probe of a service; `settings` are the probe's own keys."""

    type: str
    settings: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Manager:
    """How counts, loads and health become weights; docs/manager.md has the formula.

    The four proportions are per cent and sum to 100.
    """

    dynamic: bool = False  # weights follow the measurements; else they are the file's
    active: int = 50
    new: int = 50
    port: int = 0
    system: int = 0
    interval: int = 2  # seconds between two calculations
    refresh: int = 2  # calculations between two readings of the connection counts
    sensitivity: int = 5  # per cent of a service's total weight below which a change waits
    smoothing: int = 150  # hundredths: a change is made in steps of one such part
    weightbound: int = 20  # measurements make one weight so many times another at most
    slow_start: int = 0  # seconds in which a server that came back grows to its weight
    min_servers: int = 0  # per cent of the capacity that is never taken out, failing or not


@dataclass(frozen=True, slots=True)
class Service:
    """One (cluster address, protocol, port); port 0 = every port of the address not named."""

    cluster: str
    address: Address
    protocol: Protocol
    port: int
    members: tuple[Member, ...]
    forward: Forward = Forward.MAC
    track: Track = Track.AUTO
    on_down: OnDown = OnDown.KEEP
    stale: int = 300  # seconds without a packet after which a flow is forgotten
    udp_idle: int = (
        60  # seconds after a change in which an unknown UDP flow is taken for an old one
    )
    sticky: Sticky | None = None
    advisors: tuple[Advisor, ...] = ()
    advisors_required: AdvisorsRequired = AdvisorsRequired.ALL

    @property
    def name(self) -> str:
        """Return `address:port/protocol`, as messages and commands write it."""
        host = str(self.address) if isinstance(self.address, IPv4Address) else f"[{self.address}]"
        return f"{host}:{self.port or 'any'}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """The machine that forwards: its interfaces and the sizes of its tables."""

    interfaces: tuple[str, ...]
    mode: Mode = Mode.AUTO
    group: str | None = None  # a group that may use the control socket, besides root
    secret: bytes | None = None  # 16 bytes; None: made at the first start, kept with the tables
    exceptions: int = 1 << 20  # flows that can be remembered
    exceptions_rate: int = 20_000  # flows that may be remembered anew, per second and CPU
    announce: int = 60  # seconds between gratuitous announcements of the cluster addresses
    hooks: str = "/etc/shunt/hooks"  # a folder with scripts: serverDown, serverUp, ...


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file. `services` are in the order of the file, one for each address and port."""

    dispatcher: Dispatcher
    services: tuple[Service, ...]
    servers: Mapping[str, Server]
    manager: Manager = Manager()

    @property
    def cluster_addresses(self) -> tuple[Address, ...]:
        """Return every cluster address once, in the order of the file, wildcards left out."""
        named = (service.address for service in self.services if not service.address.is_unspecified)
        return tuple(dict.fromkeys(named))
