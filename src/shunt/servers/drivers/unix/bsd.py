"""What the BSDs and macOS share: `ifconfig` with its words `alias` and `-alias`."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from shunt.servers.drivers.unix.driver import UnixDriver

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.observed import Held


def netmask(prefix: int) -> str:
    """Return the dotted mask of a prefix length."""
    return str(IPv4Network((0, prefix)).netmask)


class BsdDriver(UnixDriver):
    """A system of BSD descent."""

    def add(self, address: Address) -> str:
        """Return the words that add the alias."""
        if address.version == 4:
            return f"ifconfig lo0 alias {address} netmask 255.255.255.255"
        return f"ifconfig lo0 inet6 {address} prefixlen 128 alias"

    def drop(self, held: Held) -> str:
        """Return the words that take an address from its interface."""
        family = "inet" if held.address.version == 4 else "inet6"
        return f"ifconfig {held.interface} {family} {held.address} -alias"

    def give_back(self, held: Held) -> str:
        """Return the words that put an address back under its mask."""
        if held.address.version == 4:
            mask = netmask(held.prefix)
            return f"ifconfig {held.interface} inet {held.address} netmask {mask} alias"
        return f"ifconfig {held.interface} inet6 {held.address} prefixlen {held.prefix} alias"
