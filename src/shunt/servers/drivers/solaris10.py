"""Solaris 10: a logical interface of lo0, kept in a file of its own, hostname.lo0:n."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.unix import boot
from shunt.servers.drivers.unix.bsd import netmask
from shunt.servers.drivers.unix.driver import Switch, UnixDriver
from shunt.servers.drivers.unix.words import contents, unless, when
from shunt.servers.steps import Command, Driver, Plan, Step

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.boot import Sweep
    from shunt.servers.drivers.unix.observed import Held, Host
    from shunt.servers.wish import Wish

SCRIPT = "/etc/init.d/shunt"
LINK = "/etc/rc2.d/S99shunt"
_DROPS = "the kernel drops packets for an address that is not on the interface they came in by"


def _ndd(device: str, name: str, version: int) -> Switch:
    get, put = f"ndd -get {device} {name}", f"ndd -set {device} {name} {{value}}"
    return Switch(name, get, put, ("0",), _DROPS, version)


class Solaris10(UnixDriver):
    """Solaris 10."""

    system = OperatingSystem.SOLARIS10
    boot_files = ("/etc/hostname*.*", "/etc/init.d/*", "/etc/rc2.d/S*", "/etc/rc3.d/S*")
    switches = (
        _ndd("/dev/ip", "ip_strict_dst_multihoming", 4),
        _ndd("/dev/ip6", "ip6_strict_dst_multihoming", 6),
    )
    loopback = "ifconfig -a"
    adds_again = False  # it would be added twice
    alive = "ndd -get /dev/ip ip_forwarding"
    kept_words = contents("/etc/hostname.lo0:*", "/etc/hostname6.lo0:*", SCRIPT)

    def add(self, address: Address) -> str:
        """Return the words that add the alias to the next free logical interface."""
        if address.version == 4:
            return f"ifconfig lo0 addif {address} netmask 255.255.255.255 up"
        plumb = "{ ifconfig lo0 inet6 >/dev/null 2>&1 || ifconfig lo0 inet6 plumb up; }"
        return f"{plumb} && ifconfig lo0 inet6 addif {address}/128 up"

    def drop(self, held: Held) -> str:
        """Return the words that take an address from its interface."""
        family = "" if held.address.version == 4 else "inet6 "
        return f"ifconfig {held.interface.split(':')[0]} {family}removeif {held.address}"

    def give_back(self, held: Held) -> str:
        """Return the words that put an address back under its mask."""
        name = held.interface.split(":")[0]
        if held.address.version == 4:
            return f"ifconfig {name} addif {held.address} netmask {netmask(held.prefix)} up"
        return f"ifconfig {name} inet6 addif {held.address}/{held.prefix} up"

    def sweep(self, address: Address) -> Sweep:
        """Return how the extra routes of an address are found and deleted, unseen."""
        return boot.solaris(address)

    def persistence(self, host: Host, wish: Wish) -> Plan:
        """Return the files of the aliases, and the script for switches and extra routes."""
        steps = [
            self._unkeep(address, line)
            for address in wish.clusters
            for line in sorted(host.kept)
            if line.replace("/", " ").split()[:1] == [str(address)] and line != _line(address)
        ]
        steps += [_hostname(a) for a in wish.clusters if _line(a) not in host.kept]
        lines = [
            f"ndd -set /dev/{'ip6' if s.version == 6 else 'ip'} {s.name} 0"
            for s in self.switches
            if s.version in {address.version for address in wish.clusters}
        ]
        lines += [self.sweep(address).line for address in wish.clusters]
        if lines and not boot.is_current(lines, host.kept):
            steps.append(boot.step(SCRIPT, lines, link=LINK))
        return Plan(tuple(steps))

    def _unkeep(self, address: Address, line: str) -> Step:
        there, put, drop = _files(address, line)
        return self.replace_step(line, do=when(there, drop), there=there, undo=unless(there, put))


def _line(address: Address) -> str:
    if address.version == 4:
        return f"{address} netmask 255.255.255.255 up"
    return f"{address}/128 up"


def _files(address: Address, line: str) -> tuple[str, str, str]:
    """Return words that test for a file with this line, make one, and delete it."""
    base = "/etc/hostname.lo0:" if address.version == 4 else "/etc/hostname6.lo0:"
    words = shlex.quote(line)
    there = f"cat {base}* 2>/dev/null | fgrep -x {words} >/dev/null"
    free = f"n=1; while test -f {base}$n; do n=`expr $n + 1`; done"
    drop = f"for f in {base}*; do if fgrep -x {words} $f >/dev/null; then rm -f $f; fi; done"
    return there, f"{{ {free}; echo {words} > {base}$n; }}", drop


def _hostname(address: Address) -> Step:
    there, put, drop = _files(address, _line(address))
    return Step(
        id=f"keep:{address}",
        what=f"keep {address} in the next free file /etc/hostname.lo0:n",
        why="a reboot takes the alias away otherwise",
        do=(unless(there, put),),
        check=(Command.sh(there),),
        undo=(when(there, drop),),
        note="for a zone that shares the global zone's IP: run this in the global zone, and add"
        " `zone NAME` to the line",
    )


DRIVER: Driver[Host] = Solaris10()
