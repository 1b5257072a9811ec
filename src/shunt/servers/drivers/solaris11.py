"""Solaris 11: aliases on a vni, an interface without a wire, as Oracle's own recipe has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.unix.ipadm import IpadmDriver
from shunt.servers.drivers.unix.words import unless, when
from shunt.servers.steps import Command, Driver, Plan, Step

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.observed import Host
    from shunt.servers.wish import Wish

VNI = "vni0"  # before 11.2 the name had to begin with `vni`


class Solaris11(IpadmDriver):
    """Solaris 11. IPv6 aliases go to lo0: a vni would need a link-local address first."""

    system = OperatingSystem.SOLARIS11

    def device(self, address: Address) -> str:
        """Return the vni, or lo0 for IPv6."""
        return VNI if address.version == 4 else "lo0"

    def more(self, host: Host, wish: Wish) -> Plan:
        """Make the vni first."""
        result = super().more(host, wish)
        missing = [
            a for a in wish.clusters4 if not any(h.silent and h.is_host for h in host.holders(a))
        ]
        if not missing or f"interface={VNI}" in host.kept:
            return result
        listing = "ipadm show-if -p -o ifname"
        there = f"{listing} | fgrep -x {VNI} >/dev/null"
        step = Step(
            id="vni",
            what=f"create {VNI}, a virtual interface that has no wire and answers no ARP",
            why="an alias there is accepted by the host and announced by nothing",
            do=(unless(there, f"ipadm create-vni {VNI}", asked=listing),),
            check=(Command.sh(there),),
            undo=(when(there, f"ipadm delete-vni {VNI}", asked=listing),),
            note="packet filters cannot filter on it; a zone with an IP of its own needs it inside",
        )
        return result + Plan((step,))


DRIVER: Driver[Host] = Solaris11()
