"""netstat, route, arp, and the switches of the kernel."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from tests.servers.emulated.state import (
    Network,
    RefusedError,
    Row,
    State,
    prefix_of,
    solaris,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def cut(network: Network) -> str:
    """Return a network as the BSDs and AIX abbreviate it: 192.0.2/24, 127/8."""
    if network.version == 6:
        return str(network)
    parts = str(network.network_address).split(".")
    while len(parts) > 1 and parts[-1] == "0" and network.prefixlen <= 8 * (len(parts) - 1):
        parts.pop()
    return f"{'.'.join(parts)}/{network.prefixlen}"


def destination(text: str) -> str:
    """Return a destination as the BSDs and AIX print it."""
    network = ip_network(text)
    if network.prefixlen == 0:
        return "default"
    return (
        str(network.network_address) if network.prefixlen == network.max_prefixlen else cut(network)
    )


_SOLARIS = (
    "  Destination             Mask           Gateway          Device  MTU  Ref Flg  Out  In/Fwd"
)
# The titles of a table's columns after the gateway, and a row, by system.
_BSD = ("Flags     Netif Expire", "{:18} {:18} {:6} {}")
_COLUMNS = {
    "openbsd": ("Flags   Refs      Use   Mtu  Prio Iface", "{:18} {:18} {:6} 0 0 - 8 {}"),
    "netbsd": ("Flags    Refs      Use    Mtu Interface", "{:18} {:18} {:6} - - - {}"),
}


def netstat(state: State, words: Sequence[str]) -> str:
    """netstat(1): -rn with -f, -v where masks are shown with it only; -in of HP-UX."""
    version = 6 if "inet6" in words else 4
    if words[0] == "-in":
        return interfaces(state, version)
    rows = state.table(version)
    if solaris(state):
        return netstat_solaris(rows, version, masks="-rnv" in words)
    if state.system == "hp-ux":
        title = ["Routing tables", "Dest/Netmask Gateway Flags Refs Interface Pmtu"]
        if version == 6:
            title = ["IPv6 Routing tables", "Destination/Prefix Gateway Flags Refs Interface Pmtu"]
        return "\n".join([*title, *map(hpux_row, rows)])
    columns, form = _COLUMNS.get(state.system, _BSD)
    internet = "Internet:" if version == 4 else "Internet6:"
    head = ["Routing tables", "", internet, f"Destination        Gateway            {columns}"]
    if state.system == "aix":
        family = "2 (Internet)" if version == 4 else "24 (Internet v6)"
        columns = "Destination        Gateway           Flags   Refs     Use  If   Exp  Groups"
        head = ["Routing tables", columns, "", f"Route tree for Protocol Family {family}:"]
        form = "{:18} {:17} {:6} 0 0 {} - -"
    lines = [form.format(destination(row[0]), *row[1:]) for row in rows]
    return "\n".join([*head, *lines])


def interfaces(state: State, version: int) -> str:
    """Return `netstat -in` of HP-UX: every address with its interface."""
    rows = [
        f"{d}{f':{n}' if n else ''} 1500 {ip_network((a, p), strict=False).network_address} {a}"
        for d, n, a, p in state.held(version)
    ]
    if version == 6 and not rows:
        raise RefusedError("netstat: inet6: unknown address family")
    return "\n".join(["Name      Mtu  Network         Address", *rows])


def hpux_row(row: Row) -> str:
    """Return a row of HP-UX."""
    network = ip_network(row[0])
    name = "default" if network.prefixlen == 0 else network.network_address
    mask = network.netmask if network.version == 4 else network.prefixlen
    return f"{name}/{mask} {row[1]} {row[2]} 0 {row[3]} 1500"


def netstat_solaris(rows: Sequence[Row], version: int, *, masks: bool) -> str:
    """Return a table of Solaris, which shows masks of IPv4 with -v only."""
    if version == 6:
        head = [
            "Routing Table: IPv6",
            "  Destination/Mask            Gateway                   Flags Ref   Use    If",
            "--------------------------- --------------------------- ----- --- ------- -----",
        ]
        lines = [
            f"{'default' if n == '::/0' else n:27} {g:27} {f:5} 1 0 {i}" for n, g, f, i in rows
        ]
        return "\n".join([*head, *lines])
    if not masks:
        raise RefusedError("emulation: without -v there are no masks")
    head = [
        "IRE Table: IPv4",
        _SOLARIS,
        re.sub(r"\S", "-", _SOLARIS),
    ]
    lines = []
    for text, gateway, flags, device in rows:
        network = ip_network(text)
        name = "default" if network.prefixlen == 0 else str(network.network_address)
        lines.append(
            f"{name:20} {network.netmask!s:15} {gateway:20} {device:6} 1500 1 {flags:3} 0 0"
        )
    return "\n".join([*head, *lines])


def route(state: State, words: Sequence[str]) -> str:
    """route(8): `delete` and `add` with -net, -inet6, -netmask, or HP-UX's net ... netmask."""
    action = next(word for word in words if word in {"add", "delete"})
    rest = [w for w in words if w not in {"add", "delete", "-net", "net", "-inet6", "inet6"}]
    mask = None
    for option in ("-netmask", "netmask"):
        if option in rest:
            place = rest.index(option)
            mask = prefix_of(rest[place + 1])
            del rest[place : place + 2]
    name, gateway = rest[:2]
    text, slash, bits = name.partition("/")
    if ":" not in text:
        text = ".".join([*text.split("."), "0", "0", "0"][:4])
    prefix = int(bits) if slash else mask if mask is not None else ip_address(text).max_prefixlen
    network = ip_network((text, prefix))
    (state.delete_route if action == "delete" else state.add_route)(network, gateway)
    return ""


def arp(state: State, words: Sequence[str]) -> str:
    """arp(8) -an: nothing that a test looks at but the end."""
    lines = {
        "aix": [
            "",
            "bucket:    0     contains:    0 entries",
            "There are 1 entries in the arp table.",
        ],
        "openbsd": [
            "Host                                 Ethernet Address    Netif Expire    Flags"
        ],
    }
    return "\n".join(lines.get(state.system, ["? (192.0.2.1) at 52:54:00:aa:00:01 on em0"]))


def sysctl(state: State, words: Sequence[str]) -> str:
    """sysctl(8): an unknown OID is an error; NetBSD and macOS set with -w only."""
    values = state.switches
    if words[0] == "-n":
        if words[1] == "kern.ostype":
            return state.system
        if words[1] not in values:
            raise RefusedError(f"sysctl: unknown oid '{words[1]}'")
        return values[words[1]]
    if state.system in {"netbsd", "macos"} and words[0] != "-w":
        raise RefusedError(f"sysctl: {words[0]}: to set a value, use -w")
    name, _, value = words[-1].partition("=")
    if name not in values:
        raise RefusedError(f"sysctl: unknown oid '{name}'")
    values[name] = value
    return f"{name}: {value}"


def ndd(state: State, words: Sequence[str]) -> str:
    """ndd(1M): a parameter that the driver does not know is an error."""
    action, device, name, *value = words
    values = state.switches
    if name == "ip_forwarding" and action == "-get":
        return "0"
    if name not in values or device != ("/dev/ip6" if name.startswith("ip6") else "/dev/ip"):
        raise RefusedError(f"operation failed, {name} is unknown to {device}")
    if action == "-get":
        return values[name]
    values[name] = value[0]
    return ""
