"""OpenBSD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.unix.bsd import BsdDriver
from shunt.servers.drivers.unix.driver import sysctl
from shunt.servers.drivers.unix.elsewhere import is_host, names
from shunt.servers.drivers.unix.words import add_line, contents, drop_line, has_line
from shunt.servers.steps import Driver, Finding, Plan, Severity

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.observed import Host
    from shunt.servers.wish import Wish

HOSTNAME = "/etc/hostname.lo0"
_DROPS = "since 6.6 a host that does not forward drops packets for another interface's address"


class OpenBsd(BsdDriver):
    """OpenBSD: a strong host unless it forwards."""

    system = OperatingSystem.OPENBSD
    boot_files = ("/etc/hostname.*", "/etc/rc.local", "/etc/rc.conf.local")
    switches = (
        sysctl("net.inet.ip.forwarding", "1", _DROPS),
        sysctl("net.inet6.ip6.forwarding", "1", _DROPS, version=6),
    )
    kept_words = contents(HOSTNAME, "/etc/sysctl.conf")

    def more(self, host: Host, wish: Wish) -> Plan:
        """Say what the price of forwarding is."""
        del host
        if not wish.clusters:
            return Plan()
        finding = Finding(
            Severity.NOTE,
            "this host forwards packets, because only then does it accept the cluster address",
            "it would route for anybody on its segments",
            "forbid it in /etc/pf.conf: block all packets in that are not `to self`; or, instead of"
            " forwarding, let pf pass the cluster address with `rdr-to 127.0.0.1`",
        )
        return Plan(findings=(finding,))

    def persistence(self, host: Host, wish: Wish) -> Plan:
        """Return the lines of hostname.lo0 and sysctl.conf."""
        lines = [(HOSTNAME, _line(address), str(address)) for address in wish.clusters]
        families = {address.version for address in wish.clusters}
        lines += [
            ("/etc/sysctl.conf", f"{switch.name}=1", switch.name)
            for switch in self.switches
            if switch.version in families
        ]
        wide = tuple(
            self.replace_step(
                line,
                do=drop_line(HOSTNAME, line),
                there=has_line(HOSTNAME, line),
                undo=add_line(HOSTNAME, line),
            )
            for address in wish.clusters
            for line in sorted(host.kept)
            if line.startswith("inet") and names(line, address) and not is_host(line, address)
        )
        keep = tuple(
            self.line_step(file, line, what=f"keep `{line}` in {file}", step=name)
            for file, line, name in lines
            if line not in host.kept
        )
        return Plan(wide + keep)


def _line(address: Address) -> str:
    if address.version == 4:
        return f"inet alias {address} 255.255.255.255"
    return f"inet6 alias {address} 128"


DRIVER: Driver[Host] = OpenBsd()
