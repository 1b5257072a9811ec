"""The command that deletes a route, in each system's own form.

People paste it as root, and words of it are the listing's: names of interfaces and tables. Linux
lets an interface be called `eth0;reboot`. So these words are quoted, and where quotes would not do,
there is no command.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem as System
from shunt.servers.routes.rows import Kind, Network, Route
from shunt.servers.routes.sight import command

if TYPE_CHECKING:
    from shunt.model.addresses import Address

ROUTES_STAY = (
    "Windows 2003 cannot delete routes: ignore this one. If routing is disturbed, remove the alias"
    " and add it again with another netmask."
)

SEVERAL_WAYS = (
    "the route has several ways, and deleting it would take the good ones too: replace it without"
    " the one that leads here (ip route replace)"
)
UNTYPEABLE = (
    "no command is printed: the listing names an interface or a table with characters that cannot"
    " be typed safely; find out what made it"
)
# ASCII that is seen, without white space: what a terminal shows is then what is pasted.
_TYPEABLE = re.compile(r"[!-~]*")


@dataclass(frozen=True, slots=True)
class Deletion:
    """Commands to type as they stand (none where the system cannot), and what to know besides."""

    commands: tuple[str, ...]
    note: str | None = None


def deletion(system: System, route: Route, cluster: Address) -> Deletion:
    """Return how `system` deletes `route`, which came with `cluster`."""
    if system is System.WINDOWS2003:
        return Deletion((), ROUTES_STAY)
    if system is System.WINDOWS:
        return _windows(route, cluster)
    if not all(map(_TYPEABLE.fullmatch, (route.interface, route.table, route.written))):
        return Deletion((), UNTYPEABLE)
    if system is System.LINUX:
        return _linux(route, cluster)
    return _unix(system, route, cluster)


def _unix(system: System, route: Route, cluster: Address) -> Deletion:
    gateway = str(route.gateway or cluster)
    if route.network is None:
        return _without_mask(system, route, gateway)
    if system is System.HP_UX:
        return _hpux(route, route.network, cluster, gateway)
    if system in {System.AIX, System.AIX_WPAR}:
        family = "-net" if route.address.version == 4 else "-inet6 -net"
        return Deletion((f"route delete {family} {_written(route)} {gateway}",))
    return _bsd(system, route, route.network)


def _written(route: Route) -> str:
    """Return the destination as the listing has it; AIX's abbreviations are what AIX takes."""
    return shlex.quote(route.written.partition("%")[0])


def _linux(route: Route, cluster: Address) -> Deletion:
    table = "" if route.table in {"", "main"} else f" table {shlex.quote(route.table)}"
    kind = "local " if route.kind is Kind.LOCAL else ""
    family = "" if route.address.version == 4 else "-6 "
    device = f" dev {shlex.quote(route.interface)}" if route.interface else ""
    via = f" via {route.gateway}" if route.gateway else ""
    if route.hops > 1:
        return Deletion((), SEVERAL_WAYS)
    way = f"{via}{device}{route.selector}"
    if "nhid" in route.selector:  # the kernel finds it by its nexthop object, and by that only
        way = route.selector
    return Deletion(
        (f"ip {family}route del {kind}{route.network}{way}{table}",),
        _linux_note(route, cluster, device),
    )


def _linux_note(route: Route, cluster: Address, device: str) -> str:
    """Say where the row comes from: the kernel made it for an alias, or somebody added it."""
    length = cluster.max_prefixlen
    if route.protocol not in {"", "kernel"} or route.gateway is not None or route.prefix == 0:
        how = f" ({route.protocol})" if route.protocol else ""
        return f"somebody added it{how}: take it out of the files that are run at boot as well"
    alias = f"if it comes back, an alias has this mask: it should have /{length}"
    named = {route.source} - {None} or set(route.holders) or {cluster}
    if route.protocol != "kernel" or not route.interface or len(named) != 1:
        return alias
    address = named.pop()
    return (
        f"it comes back with the alias: give the alias the mask /{length} instead"
        f" (ip addr del {address}/{route.prefix}{device};"
        f" ip addr add {address}/{length}{device})"
    )


def _windows(route: Route, cluster: Address) -> Deletion:
    network = route.network
    assert network is not None  # every listing of Windows has masks
    if route.gateway is not None and isinstance(network, IPv4Network):
        return Deletion(
            (f"route delete {route.address} {route.gateway}",),
            "Windows 2003 cannot delete it: ignore it there (--system windows2003)",
        )
    if route.gateway is not None:
        return Deletion((f"route delete {network} {route.gateway}",))
    index = f"(Get-NetIPAddress -IPAddress {cluster}).InterfaceIndex"
    return Deletion(
        (f"Remove-NetRoute -DestinationPrefix {network} -InterfaceIndex {index} -Confirm:$false",),
        "this is PowerShell; the route comes from the alias' mask, which should be"
        f" /{cluster.max_prefixlen}",
    )


def _without_mask(system: System, route: Route, gateway: str) -> Deletion:
    word = "net" if system is System.HP_UX else "-net"
    return Deletion(
        (f"route delete {word} {route.address} {gateway}",),
        f"the listing shows no mask; {command(system, route.address.version)} does, and a network"
        " that is not of its class must be deleted with its mask",
    )


def _hpux(route: Route, network: Network, cluster: Address, gateway: str) -> Deletion:
    if not isinstance(network, IPv4Network):
        return Deletion((f"route inet6 delete net {network} {gateway}",))
    if network.prefixlen == 0:
        return Deletion((f"route delete default {gateway}",))
    return Deletion(
        (f"route delete net {route.address} netmask {network.netmask} {gateway}",),
        f"older instructions write: route delete {cluster} {cluster}",
    )


def _bsd(system: System, route: Route, network: Network) -> Deletion:
    target = "default" if network.prefixlen == 0 else str(network)
    family = "-net" if network.version == 4 else "-inet6"
    if route.gateway is not None:
        way = str(route.gateway)
    else:
        flag = "-iface" if system in {System.OPENBSD, System.NETBSD} else "-interface"
        way = f"{flag} {shlex.quote(route.interface)}"
    return Deletion((f"route delete {family} {target} {way}",))
