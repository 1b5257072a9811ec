"""AIX: the alias by `ifconfig`, kept in the device database by `chdev`."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.unix import boot
from shunt.servers.drivers.unix.boot import Sweep
from shunt.servers.drivers.unix.bsd import netmask
from shunt.servers.drivers.unix.driver import UnixDriver
from shunt.servers.drivers.unix.words import contents, unless, when
from shunt.servers.steps import Command, Driver, Plan, Step

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.observed import Held, Host
    from shunt.servers.wish import Wish

SCRIPT = "/etc/rc.d/rc2.d/S99shunt"
_KEPT = "lsattr -E -l lo0 -F value -a alias4 -a alias6"


class Aix(UnixDriver):
    """AIX."""

    system = OperatingSystem.AIX
    boot_files = (
        "/etc/rc.net",
        "/etc/rc.bsdnet",
        "/etc/rc.tcpip",
        "/etc/rc.local",
        "/etc/inittab",
        "/etc/rc.d/rc2.d/S*",
    )
    kept_words = f"{_KEPT} || exit 1; {contents(SCRIPT)}"

    def add(self, address: Address) -> str:
        """Return the words that add the alias."""
        if address.version == 4:
            return f"ifconfig lo0 alias {address} netmask 255.255.255.255"
        return f"ifconfig lo0 inet6 {address}/128 alias"

    def drop(self, held: Held) -> str:
        """Return the words that take an address from its interface."""
        family = "" if held.address.version == 4 else "inet6 "
        return f"ifconfig {held.interface} {family}{held.address} delete"

    def give_back(self, held: Held) -> str:
        """Return the words that put an address back under its mask."""
        if held.address.version == 4:
            mask = netmask(held.prefix)
            return f"ifconfig {held.interface} alias {held.address} netmask {mask}"
        return f"ifconfig {held.interface} inet6 {held.address}/{held.prefix} alias"

    def sweep(self, address: Address) -> Sweep:
        """Return how the extra routes of an address are found and deleted, unseen."""
        family, option = ("inet", "-net") if address.version == 4 else ("inet6", "-inet6 -net")
        delete = f"route delete {option} $1 {address}"
        return Sweep(f"netstat -rn -f {family}", boot.by_flags(address), delete)

    def persistence(self, host: Host, wish: Wish) -> Plan:
        """Return the attributes of lo0, and the check for extra routes at boot."""
        words = {word for line in host.kept for word in line.split()}
        steps = [
            self._unkeep(address, word)
            for address in wish.clusters
            for word in sorted(words)
            if word.replace("/", ",").split(",")[0] == str(address) and word != _kept(address)
        ]
        steps += [_attribute(a) for a in wish.clusters if _kept(a) not in words]
        lines = [self.sweep(address).line for address in wish.clusters]
        if lines and not boot.is_current(lines, host.kept):
            steps.append(boot.step(SCRIPT, lines))
        return Plan(tuple(steps))

    def _unkeep(self, address: Address, word: str) -> Step:
        name = f"alias{address.version}"
        there = _in_database(name, word)
        return self.replace_step(
            word,
            do=when(there, f"chdev -l lo0 -P -a {shlex.quote(f'del{name}={word}')}", asked=_KEPT),
            there=there,
            undo=unless(there, f"chdev -l lo0 -P -a {shlex.quote(f'{name}={word}')}", asked=_KEPT),
            asked=_KEPT,
        )


def _kept(address: Address) -> str:
    return f"{address},255.255.255.255" if address.version == 4 else f"{address}/128"


def _in_database(name: str, value: str) -> str:
    pattern = shlex.quote(f"(^| ){re.escape(value)}( |$)")
    return f"lsattr -E -l lo0 -F value -a {name} | egrep {pattern} >/dev/null"


def _attribute(address: Address) -> Step:
    name, value = f"alias{address.version}", _kept(address)
    there = _in_database(name, value)
    return Step(
        id=f"keep:{address}",
        what=f"keep {address} as an {name} of lo0 in the device database",
        why="an alias added by ifconfig alone is gone after a reboot",
        do=(unless(there, f"chdev -l lo0 -P -a {name}={value}", asked=_KEPT),),
        check=(Command.sh(there),),
        undo=(when(there, f"chdev -l lo0 -P -a del{name}={value}", asked=_KEPT),),
    )


DRIVER: Driver[Host] = Aix()
