"""NetBSD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.unix.bsd import BsdDriver
from shunt.servers.drivers.unix.driver import sysctl
from shunt.servers.drivers.unix.elsewhere import is_host, names
from shunt.servers.drivers.unix.words import add_line, contents, drop_line, has_line
from shunt.servers.steps import Driver, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.observed import Host
    from shunt.servers.steps import Step
    from shunt.servers.wish import Wish

ALIASES = "/etc/ifaliases"
IFCONFIG = "/etc/ifconfig.lo0"
CHECK = "net.inet.ip.checkinterface"
_DROPS = "the kernel drops packets for an address that is not on the interface they came in by"


class NetBsd(BsdDriver):
    """NetBSD: ifaliases(5) gives an alias without a mask the mask of its class."""

    system = OperatingSystem.NETBSD
    boot_files = ("/etc/ifconfig.*", "/etc/rc.conf", "/etc/rc.local")
    switches = (sysctl(CHECK, "0", _DROPS, word="sysctl -w"),)
    kept_words = contents(ALIASES, IFCONFIG, "/etc/sysctl.conf")

    def add(self, address: Address) -> str:
        """Return the words that add the alias."""
        if address.version == 4:
            return f"ifconfig lo0 inet {address} netmask 0xffffffff alias"
        return f"ifconfig lo0 inet6 {address} prefixlen 128 alias"

    def persistence(self, host: Host, wish: Wish) -> Plan:
        """Return the lines of ifaliases, ifconfig.lo0 and sysctl.conf."""
        lines = [
            (ALIASES, f"{address} lo0 255.255.255.255", str(address))
            if address.version == 4
            else (IFCONFIG, f"inet6 {address} prefixlen 128 alias", str(address))
            for address in wish.clusters
        ]
        steps = tuple(
            self.line_step(file, line, what=f"keep `{line}` in {file}", step=name)
            for file, line, name in lines
            if line not in host.kept
        )
        (switch,) = self.switches
        wrong = switch in self._wrong(host, wish) or f"{CHECK}=1" in host.kept
        if wrong and f"{CHECK}=0" not in host.kept:
            steps += (self.switch_step("/etc/sysctl.conf", switch, host),)
        return Plan(tuple(self._wide(host, wish)) + steps)

    def _wide(self, host: Host, wish: Wish) -> Iterator[Step]:
        for line in sorted(host.kept):
            for address in wish.clusters:
                alias = line.split()[:2] == [str(address), "lo0"]
                wide = alias and line.split()[2:] != ["255.255.255.255"]
                inet = line.startswith(("inet", "alias")) and names(line, address)
                if wide or (inet and not is_host(line, address)):
                    file = ALIASES if alias else IFCONFIG
                    yield self.replace_step(
                        line,
                        do=drop_line(file, line),
                        there=has_line(file, line),
                        undo=add_line(file, line),
                    )


DRIVER: Driver[Host] = NetBsd()
