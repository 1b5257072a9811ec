"""FreeBSD, from 9.2 on (sysrc)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.unix.bsd import BsdDriver
from shunt.servers.drivers.unix.driver import sysctl
from shunt.servers.steps import Command, Driver, Plan, Step

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.observed import Host
    from shunt.servers.wish import Wish

STRONG = "net.inet.ip.rfc1122_strong_es"
CHECK = "net.inet.ip.check_interface"
PROXY = "net.link.ether.inet.proxyall"
_DROPS = "the kernel drops packets for an address that is not on the interface they came in by"


class FreeBsd(BsdDriver):
    """FreeBSD: inet(4) itself warns that the strong host model breaks loopback aliases."""

    system = OperatingSystem.FREEBSD
    boot_files = (
        "/etc/rc.conf",
        "/etc/rc.conf.local",
        "/etc/rc.conf.d/*",
        "/etc/rc.local",
        "/etc/start_if.*",
    )
    switches = (
        sysctl(STRONG, "0", _DROPS),  # since 14
        sysctl(CHECK, "0", _DROPS),  # before 14
        sysctl("net.inet6.ip6.rfc6724_strong_es", "0", _DROPS, version=6),
        sysctl(
            PROXY, "0", "the host answers ARP for every address whose route is another interface's"
        ),
    )
    kept_words = (
        "sysrc -ae 2>/dev/null | grep '^ifconfig_lo0_alias'; cat /etc/sysctl.conf 2>/dev/null"
    )

    def add(self, address: Address) -> str:
        """Return the words that add the alias."""
        if address.version == 4:
            return f"ifconfig lo0 inet {address}/32 alias"
        return f"ifconfig lo0 inet6 {address} prefixlen 128 alias"

    def persistence(self, host: Host, wish: Wish) -> Plan:
        """Return rc.conf's aliases, and the switches that had to be set."""
        steps = [step for address in wish.clusters if (step := _keep(host, address))]
        for switch in self._wrong_or_kept_wrong(host, wish):
            line = f"{switch}=0"
            steps.append(
                self.line_step(
                    "/etc/sysctl.conf", line, what=f"keep {line} in sysctl.conf", step=switch
                )
            )
        return Plan(tuple(steps))

    def _wrong_or_kept_wrong(self, host: Host, wish: Wish) -> list[str]:
        wrong = [switch.name for switch in self._wrong(host, wish)]
        kept = [s.name for s in self.switches if f"{s.name}=1" in host.kept]
        return [name for name in dict.fromkeys(wrong + kept) if f"{name}=0" not in host.kept]


def _value(address: Address) -> str:
    if address.version == 4:
        return f"inet {address} netmask 255.255.255.255"
    return f"inet6 {address} prefixlen 128"


def _keep(host: Host, address: Address) -> Step | None:
    for name, value in sorted(_split(line) for line in host.kept):
        words = value.replace("/", " ").split()
        if name.startswith("ifconfig_lo0_alias") and str(address) in words:
            right = value in {_value(address), f"inet {address}/32", f"inet6 {address}/128"}
            return None if right else _rewrite(name, value, address)
    return _rc(address)


def _rc(address: Address) -> Step:
    """Numbers of aliases must follow each other: the first free one is taken, a gap is closed."""
    name, value = "ifconfig_lo0_alias", _value(address)
    find = (
        f'n=0; while v=`sysrc -n {name}$n 2>/dev/null`; do test "$v" = "{value}" && break;'
        " n=`expr $n + 1`; done"
    )
    close = (
        f"while m=`expr $n + 1`; w=`sysrc -n {name}$m 2>/dev/null`; do"
        f' sysrc {name}$n="$w" >/dev/null; n=$m; done; sysrc -x {name}$n'
    )
    return Step(
        id=f"keep:{address}",
        what=f"keep {address} in rc.conf as the next {name}",
        why="a reboot takes the alias away otherwise",
        do=(Command.sh(f'{find}; sysrc {name}$n="{value}"'),),
        check=(Command.sh(f'{find}; test "`sysrc -n {name}$n 2>/dev/null`" = "{value}"'),),
        undo=(
            Command.sh(
                f'{find}; if test "`sysrc -n {name}$n 2>/dev/null`" = "{value}"; then {close}; fi'
            ),
        ),
        note="a vnet jail needs the alias inside it: run this there",
    )


def _split(line: str) -> tuple[str, str]:
    """Return name and value of a line of `sysrc -ae`."""
    name, _, value = line.partition("=")
    return name, value.strip("\"'")


def _rewrite(name: str, value: str, address: Address) -> Step:
    """Return the step that gives an alias of rc.conf the mask of a host, under its number."""
    get, good = f"sysrc -n {name}", _value(address)
    return Step(
        id=f"keep:{address}",
        what=f"keep {address} in rc.conf as a host address: {name} was {value}",
        why="a wide mask comes back with the next boot, and its extra route with it",
        do=(Command.sh(f'sysrc {name}="{good}"'),),
        check=(Command.sh(f'test "`{get} 2>/dev/null`" = "{good}"'),),
        undo=(
            Command.sh(
                f'if test "`{get} 2>/dev/null`" = "{good}"; then sysrc {name}="{value}"; fi'
            ),
        ),
    )


DRIVER: Driver[Host] = FreeBsd()
