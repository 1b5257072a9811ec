"""What the emulated tools of one host share."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.model.addresses import Address

Network = IPv4Network | IPv6Network
Held = tuple[str, int, str, int]
Row = tuple[str, str, str, str]


class RefusedError(Exception):
    """What the tool says on stderr before it leaves with 1."""


@dataclass
class State:
    """What the tools of one host share; a reboot makes what is volatile anew.

    Attributes:
        system: Its name in the configuration.
        root: The folder of its files.
        store: What the system keeps in a database of its own, by name.
        interfaces: Flags by name.
        addresses: (interface, logical number, address, prefix length).
        routes: (network, gateway, flags, interface) besides those that addresses make.
        unrouted: (network, gateway) of rows that addresses made and somebody deleted.
        switches: Settings of the kernel, by name.
    """

    system: str
    root: Path
    store: dict[str, Any] = field(default_factory=dict)
    interfaces: dict[str, str] = field(default_factory=dict)
    addresses: list[Held] = field(default_factory=list)
    routes: list[Row] = field(default_factory=list)
    unrouted: list[tuple[str, str]] = field(default_factory=list)
    switches: dict[str, str] = field(default_factory=dict)

    def held(self, version: int | None = None) -> list[Held]:
        """Return the addresses of a family, or all."""
        return [h for h in self.addresses if version in {None, ip_address(h[2]).version}]

    def find(self, device: str, address: Address) -> Held | None:
        """Return how an interface holds an address."""
        return next((h for h in self.addresses if (h[0], h[2]) == (device, str(address))), None)

    def add(self, device: str, address: Address | str, prefix: int, logical: int = 0) -> None:
        """Put an address on an interface; with it come its routes."""
        if device not in self.interfaces:
            raise RefusedError(f"interface {device} does not exist")
        text = str(ip_address(address))
        self.addresses.append((device, logical, text, prefix))
        self.unrouted = [row for row in self.unrouted if row[1] != text]

    def free(self, device: str, first: int = 1) -> int:
        """Return the next free logical interface."""
        used = {logical for name, logical, _, _ in self.addresses if name == device}
        return next(number for number in range(first, 99) if number not in used)

    def table(self, version: int) -> list[Row]:
        """Return every row."""
        rows = [row for row in self.routes if ip_network(row[0]).version == version]
        for device, _, text, prefix in self.held(version):
            network = ip_network((text, prefix), strict=False)
            if network.prefixlen < network.max_prefixlen:
                rows.append((str(network), text, "U", device))
            rows.append((str(ip_network(text)), text, "UH", "lo0"))
        return [row for row in dict.fromkeys(rows) if row[:2] not in self.unrouted]

    def delete_route(self, network: Network, gateway: str) -> None:
        """Delete a row; route(8) of every system fails if it is not there."""
        row = (str(network), str(ip_address(gateway)))
        if not any(one[:2] == row for one in self.table(network.version)):
            raise RefusedError(f"delete net {network}: gateway {gateway}: not in table")
        self.unrouted.append(row)

    def add_route(self, network: Network, gateway: str) -> None:
        """Put a row back that was deleted."""
        row = (str(network), str(ip_address(gateway)))
        if row not in self.unrouted:
            raise RefusedError(f"add net {network}: gateway {gateway}: entry exists")
        self.unrouted.remove(row)


def mask_of(prefix: int) -> str:
    """Return a mask in hexadecimal."""
    return f"{(0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF:08x}"


def prefix_of(text: str) -> int:
    """Return the length of a mask, dotted or in hexadecimal."""
    value = int(text.removeprefix("0x"), 16) if "." not in text else int(ip_address(text))
    bits = f"{value:032b}"
    if "01" in bits:
        raise RefusedError(f"{text}: bad value (not a contiguous netmask)")
    return bits.count("1")


def solaris(state: State) -> bool:
    """Tell whether it is one of the Solaris family."""
    return state.system in {"solaris10", "solaris11", "illumos"}
