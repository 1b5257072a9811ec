"""Which servers a `shunt server` command is about, and how to get into them."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from shunt import trust
from shunt.cli.terminal import complain
from shunt.errors import HostError, UsageError
from shunt.model.config import Forward, OperatingSystem, Server
from shunt.servers.wish import Silence, Wish, wish_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shunt.model.addresses import Address
    from shunt.model.config import Config
    from shunt.model.via import Endpoint, Via
    from shunt.servers.runners.base import Access

DEFAULT = Path("/etc/shunt/shunt.yaml")
_HERE = Group("Without a configuration", sort_key=2)
_WAY = Group("The way in", sort_key=3)
_SYSTEMS = {
    "Linux": OperatingSystem.LINUX,
    "AIX": OperatingSystem.AIX,
    "HP-UX": OperatingSystem.HP_UX,
    "FreeBSD": OperatingSystem.FREEBSD,
    "OpenBSD": OperatingSystem.OPENBSD,
    "NetBSD": OperatingSystem.NETBSD,
    "Darwin": OperatingSystem.MACOS,
    "Windows": OperatingSystem.WINDOWS,
}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Choice:
    """Options that every command has."""

    config: Annotated[Path | None, Parameter(name=("-c", "--config"))] = None
    """Configuration file; default /etc/shunt/shunt.yaml."""

    all: Annotated[bool, Parameter(negative=())] = False
    """Every server of the configuration."""

    local: Annotated[bool, Parameter(negative=(), group=_HERE)] = False
    """This machine; needs --cluster."""

    via: Annotated[str | None, Parameter(group=_HERE)] = None
    """A machine by its way in (ssh://root@192.0.2.21); needs --cluster."""

    cluster: Annotated[tuple[str, ...], Parameter(group=_HERE, negative=())] = ()
    """Cluster address that the server shall hold; may be given again."""

    forward: Annotated[Forward | None, Parameter(group=_HERE)] = None
    """How packets reach the server; default mac. A server of nat must not hold the address."""

    own: Annotated[tuple[str, ...], Parameter(group=_HERE, negative=())] = ()
    """The server's own address; may be given again."""

    os: Annotated[OperatingSystem | None, Parameter(group=_HERE)] = None
    """Operating system; for --local it is known."""

    netns: Annotated[str | None, Parameter(group=_HERE)] = None
    """Network namespace there: a name of `ip netns`, a process's number, or a path."""

    only: Annotated[bool, Parameter(negative=(), group=_HERE)] = False
    """Take back what Shunt has set up there for other addresses than these."""

    dispatcher: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    """The dispatcher's own address, to tell routes that swallow it; may be given again. On the
    dispatcher itself it is known."""

    silence: Silence = Silence.AUTO
    """How a Linux server is kept from answering ARP."""

    persist: bool = True
    """Make it last over a reboot; never in a network namespace."""

    identity: Annotated[
        tuple[Path, ...], Parameter(name=("-i", "--identity"), group=_WAY, negative=())
    ] = ()
    """Private key for SSH; default: the agent's, and those of ~/.ssh."""

    known_hosts: Annotated[Path | None, Parameter(group=_WAY)] = None
    """File of known host keys; default ~/.ssh/known_hosts."""

    jump: Annotated[str | None, Parameter(name=("-J", "--jump"), group=_WAY)] = None
    """Host to go through, as user@host:port."""

    ca: Annotated[Path | None, Parameter(group=_WAY)] = None
    """Certificates that WinRM servers' must descend from."""

    jobs: Annotated[int, Parameter(name=("-j", "--jobs"), group=_WAY)] = 20
    """Servers at once."""

    timeout: Annotated[float, Parameter(group=_WAY)] = 30.0
    """Seconds that one command on a server may take."""

    connect_timeout: Annotated[float, Parameter(group=_WAY)] = 10.0
    """Seconds until a connection must stand."""


def wishes(names: Sequence[str], choice: Choice) -> list[Wish]:
    """Return what is wanted of each server chosen.

    Raises:
        UsageError: The choice is empty, contradicts itself, or names what is not there.
    """
    if choice.local or choice.via:
        if names or choice.all or choice.config:
            raise UsageError("--local and --via stand alone: no names, no --all, no --config")
        return [_by_hand(choice)]
    if any((choice.cluster, choice.forward, choice.own, choice.netns, choice.os, choice.only)):
        raise UsageError(
            "--cluster, --forward, --own, --os, --netns and --only go with --local or --via",
            hint="otherwise the configuration says all that",
        )
    if bool(names) == choice.all:
        raise UsageError("name the servers, or all of them with --all (not both)")
    from shunt.config import load

    file = choice.config or DEFAULT
    config = load(file)
    if os.geteuid() == 0 and (why := trust.fault(file)):
        complain(f"warning: what {file} says is done as root, but {why}")
    chosen = list(config.servers) if choice.all else list(dict.fromkeys(names))
    dispatchers = _dispatchers(choice, config)
    found = [wish_for(config, name, dispatchers) for name in chosen]
    _no_machine_twice(config.servers, chosen)
    return [_tuned(wish, choice) for wish in found]


def _no_machine_twice(servers: Mapping[str, Server], chosen: Sequence[str]) -> None:
    """Refuse two servers that are one machine: each set-up would take back the other's.

    Raises:
        UsageError: One of those chosen has the way in of another one.
    """
    from shunt.model.via import Via

    first: dict[object, str] = {}
    for name, server in servers.items():
        if server.via is None or server.wpar:
            continue
        via = Via.parse(server.via)
        at = via.endpoint
        place = (at and (at.host.lower(), at.port), via.jump, server.netns)
        other = first.setdefault(place, name)
        if other != name and {other, name} & {*chosen}:
            raise UsageError(
                f"servers {other} and {name} are one machine: both are entered by {server.via}",
                hint=f"make them one server with all the addresses, or correct `via` of {name}",
            )


def _dispatchers(choice: Choice, config: Config) -> tuple[Address, ...]:
    """Return the addresses said, or else those of this machine's if it is the dispatcher."""
    if choice.dispatcher:
        return tuple(_own(text) for text in choice.dispatcher)
    if sys.platform != "linux":
        return ()
    from shunt.network.addresses import addresses

    return tuple(
        here.address
        for here in addresses()
        if here.interface in config.dispatcher.interfaces
        and not here.address.is_link_local
        and here.address not in config.cluster_addresses
    )


def _by_hand(choice: Choice) -> Wish:
    if choice.local and choice.via:
        raise UsageError("--local is this machine, --via another one: give one of them")
    system = choice.os
    if system is None and choice.local:
        system = _SYSTEMS.get(platform.system())
        if system is None:
            raise UsageError("this system is not known", hint="name it with --os")
    way = _way(choice.via)
    server = Server(
        name=way.endpoint.host if way.endpoint else platform.node(),
        addresses=tuple(_own(text) for text in choice.own),
        os=system or OperatingSystem.LINUX,
        via=choice.via or "local",
        netns=choice.netns,
    )
    clusters = tuple(dict.fromkeys(_cluster(text) for text in choice.cluster))
    forward = choice.forward or Forward.MAC
    held, bare = ((), clusters) if forward is Forward.NAT else (clusters, ())
    dispatchers = tuple(_own(text) for text in choice.dispatcher)
    return _tuned(Wish(server, held, forward, bare, dispatchers, only=choice.only), choice)


def _way(text: str | None) -> Via:
    from shunt.model.via import Via

    try:
        return Via.parse(text or "local")
    except ValueError as error:
        raise UsageError(f"--via: {error}") from error


def need_clusters(chosen: Sequence[Wish], choice: Choice) -> None:
    """Refuse `--local` and `--via` without an address.

    Raises:
        UsageError: There is none.
    """
    if (choice.local or choice.via) and not all(wish.clusters or wish.bare for wish in chosen):
        raise UsageError("name the cluster address", hint="for example: --cluster 192.0.2.10")


def need_no_addresses(choice: Choice) -> None:
    """Refuse to remove for one address: the record goes as a whole.

    Raises:
        UsageError: An address is named.
    """
    if choice.cluster or choice.forward or choice.only:
        raise UsageError(
            "`remove` takes back all that Shunt did there: no --cluster, --forward or --only",
            hint="to take one address back, `apply` with the others and --only",
        )


def need_root(chosen: Sequence[Wish]) -> None:
    """Refuse to change this machine without the rights for it.

    Raises:
        HostError: This machine is chosen, and we are not root.
    """
    if os.geteuid() and any(wish.server.via == "local" for wish in chosen):
        raise HostError("to set up this machine, root is needed", hint="use sudo")


def _tuned(wish: Wish, choice: Choice) -> Wish:
    from dataclasses import replace

    persist = choice.persist and wish.server.netns is None
    return replace(wish, silence=choice.silence, persist=persist)


def _cluster(text: str) -> Address:
    from shunt.config import scalars

    address = _read(scalars.cluster_address, text)
    if address.is_unspecified:
        raise UsageError(f"{address} stands for every other address", hint="name the addresses")
    return address


def _own(text: str) -> Address:
    from shunt.config import scalars

    return _read(scalars.own_address, text)


def _read(reader: Callable[[str], Address], text: str) -> Address:
    try:
        return reader(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def access(choice: Choice, chosen: Sequence[Wish]) -> Access:
    """Return how to get in; asks for WinRM's password, once, where it is needed.

    Raises:
        UsageError: A number makes no sense, or the password cannot be asked for.
    """
    from shunt.servers.runners.base import Access

    if choice.jobs < 1 or choice.timeout <= 0 or choice.connect_timeout <= 0:
        raise UsageError("--jobs, --timeout and --connect-timeout must be greater than 0")
    for file in (*choice.identity, choice.known_hosts, choice.ca):
        if file is not None and not file.exists():
            raise UsageError(f"{file}: there is no such file")
    winrm = any((wish.server.via or "").startswith("winrm:") for wish in chosen)
    return Access(
        timeout=choice.timeout,
        connect_timeout=choice.connect_timeout,
        identities=choice.identity,
        known_hosts=choice.known_hosts,
        jump=_jump(choice.jump),
        password=_password() if winrm else None,
        ca=choice.ca,
    )


def _jump(text: str | None) -> Endpoint | None:
    from shunt.model.via import Endpoint

    try:
        return None if text is None else Endpoint.parse(text)
    except ValueError as error:
        raise UsageError(f"--jump: {error}") from error


def _password() -> str:
    from getpass import getpass

    known = os.environ.get("SHUNT_WINRM_PASSWORD")
    if known is not None:
        return known
    if not sys.stdin.isatty():
        raise UsageError("WinRM needs a password", hint="set SHUNT_WINRM_PASSWORD")
    return getpass("Password for WinRM: ")
