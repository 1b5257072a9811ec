"""ifconfig: what holds an address, in the words of each system."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tests.servers.emulated.state import (
    Held,
    RefusedError,
    State,
    mask_of,
    prefix_of,
    solaris,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shunt.model.addresses import Address


def shown(state: State, device: str, logical: int, rows: Sequence[Held]) -> list[str]:
    """Return the lines of one interface as ifconfig prints them."""
    flags = state.interfaces[device]
    name = f"{device}:{logical}" if logical else device
    lines = [f"{name}: flags=8049<{flags}> mtu 1500"]
    for _, _, text, prefix in rows:
        if ":" in text:
            form = {"netbsd": "/{}", "aix": "/{}", "hp-ux": " prefix {}"}.get(state.system, "")
            form = form or ("/{}" if solaris(state) else " prefixlen {}")
            lines.append(f"\tinet6 {text}{form.format(prefix)}")
        elif state.system == "netbsd":
            lines.append(f"\tinet {text}/{prefix} flags 0")
        else:
            sign = "" if solaris(state) or state.system == "hp-ux" else "0x"
            lines.append(f"\tinet {text} netmask {sign}{mask_of(prefix)}")
    return lines


def listing(state: State) -> str:
    """Return `ifconfig -a`."""
    lines = []
    for device in state.interfaces:
        rows = [row for row in state.held() if row[0] == device]
        if solaris(state) or state.system == "hp-ux":
            for version in (4, 6):
                mine = [row for row in rows if ip_address(row[2]).version == version]
                for logical in dict.fromkeys(row[1] for row in mine):
                    lines += shown(state, device, logical, [r for r in mine if r[1] == logical])
        else:
            lines += shown(state, device, 0, rows)
    return "\n".join(lines)


@dataclass
class Asked:
    """What the words after the interface's name ask of ifconfig."""

    address: Address
    prefix: int
    add: bool = False
    delete: bool = False


def asked(words: Sequence[str]) -> Asked:
    """Read the words of ifconfig(8): addresses, `netmask`, `prefixlen`, `alias`, `delete`.

    A second bare word would be a destination: only a point-to-point link has one.
    """
    rest = [word for word in words if word not in {"inet", "inet6", "up"}]
    values: dict[str, str] = {
        name: rest.pop(rest.index(name) + 1) for name in ("netmask", "prefixlen") if name in rest
    }
    told = {*rest} & {"alias", "add", "-alias", "delete", *values}
    bare = [word for word in rest if word not in told]
    if len(bare) != 1:
        raise RefusedError(f"ifconfig: {' '.join(bare)}: bad value")
    text, _, bits = bare[0].partition("/")
    address = ip_address(text)
    prefix = int(bits or values.get("prefixlen") or of_class(address))
    prefix = prefix_of(values["netmask"]) if "netmask" in values else prefix
    return Asked(address, prefix, bool(told & {"alias", "add"}), bool(told & {"-alias", "delete"}))


def of_class(address: Address) -> int:
    """Return the length that a mask has which nobody gives."""
    first = address.packed[0]
    return 64 if address.version == 6 else 8 if first < 128 else 16 if first < 192 else 24


def ifconfig_bsd(state: State, words: Sequence[str]) -> str:
    """ifconfig(8) of FreeBSD, OpenBSD, NetBSD, macOS; ifconfig of AIX (Commands Reference).

    Adding an alias that is there sets its mask anew. An address that is not there cannot be deleted
    (SIOCDIFADDR: EADDRNOTAVAIL).
    """
    if words == ["-a"]:
        return listing(state)
    device, *rest = words
    if device not in state.interfaces:
        raise RefusedError(f"ifconfig: interface {device} does not exist")
    if not rest:
        return "\n".join(shown(state, device, 0, [r for r in state.held() if r[0] == device]))
    wanted = asked(rest)
    there = state.find(device, wanted.address)
    if wanted.delete == wanted.add:
        raise RefusedError("ifconfig: this would replace the interface's first address")
    if wanted.delete and there is None:
        raise RefusedError("ifconfig: ioctl (SIOCDIFADDR): Can't assign requested address")
    if there is not None:
        state.addresses.remove(there)
    if wanted.add:
        state.add(device, wanted.address, wanted.prefix)
    return ""


def ifconfig_solaris(state: State, words: Sequence[str]) -> str:
    """ifconfig(1M): addif makes the next free logical interface, removeif one that is there."""
    if words == ["-a"]:
        return listing(state)
    device, *rest = words
    version = 6 if rest[:1] == ["inet6"] else 4
    rest = rest[1:] if version == 6 else rest
    mine = [row for row in state.held(version) if row[0] == device]
    if not rest:
        if version == 6 and not mine:
            raise RefusedError(f"ifconfig: status: SIOCGLIFFLAGS: {device}: no such interface")
        return ""
    if rest[0] == "plumb" and version == 6:
        state.add(device, "::1", 128)
        return ""
    if rest[0] == "addif":
        text, slash, bits = rest[1].partition("/")
        prefix = int(bits) if slash else prefix_of(rest[rest.index("netmask") + 1])
        if "up" not in rest:
            raise RefusedError("emulation: an address that is not up is of no use")
        state.add(device, text, prefix, state.free(device))
        return ""
    if rest[0] == "removeif":
        there = state.find(device, ip_address(rest[1]))
        if there is None:
            raise RefusedError("ifconfig: removeif: address not found")
        state.addresses.remove(there)
        return ""
    raise RefusedError(f"ifconfig: {rest[0]}: bad address")


def ifconfig_hpux(state: State, words: Sequence[str]) -> str:
    """ifconfig(1M): logical interfaces from lo0:1 on; address 0 takes a logical one away."""
    name, *rest = words
    device, _, number = name.partition(":")
    logical = int(number or 0)
    version = 6 if rest[:1] == ["inet6"] else 4
    rest = rest[1:] if version == 6 else rest
    mine = [r for r in state.held(version) if (r[0], r[1]) == (device, logical)]
    if not rest:
        if not mine:
            raise RefusedError(f"ifconfig: no such interface {name}")
        return "\n".join(shown(state, device, logical, mine))
    if not logical:
        raise RefusedError("ifconfig: lo0 itself is not to be changed")
    for row in mine:
        state.addresses.remove(row)
    if rest[0] in {"0.0.0.0", "::"}:
        if not mine:
            raise RefusedError(f"ifconfig: no such interface {name}")
        return ""
    prefix = int(rest[rest.index("prefix") + 1]) if "prefix" in rest else None
    prefix = prefix_of(rest[rest.index("netmask") + 1]) if "netmask" in rest else prefix
    if prefix is None or "up" not in rest:
        raise RefusedError("emulation: neither a mask nor up")
    state.add(device, rest[0], prefix, logical)
    return ""


def ifconfig(state: State, words: Sequence[str]) -> str:
    if solaris(state):
        return ifconfig_solaris(state, words)
    return (ifconfig_hpux if state.system == "hp-ux" else ifconfig_bsd)(state, words)
