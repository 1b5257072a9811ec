"""HP-UX 11i: the alias on the next free logical interface of lo0, kept in netconf."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.unix import boot
from shunt.servers.drivers.unix.boot import Sweep
from shunt.servers.drivers.unix.bsd import netmask
from shunt.servers.drivers.unix.driver import Switch, UnixDriver
from shunt.servers.drivers.unix.words import contents, unless, when
from shunt.servers.steps import Command, Driver, Plan, Step

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.observed import Held, Host
    from shunt.servers.wish import Wish

SCRIPT = "/sbin/init.d/shunt"
LINK = "/sbin/rc2.d/S920shunt"
_NETCONF = "/etc/rc.config.d/netconf"
_HOST_MASK = "255.255.255.255"
_ENTRY = re.compile(r'(?P<name>[A-Z0-9_]+)\[(?P<number>\d+)\]="?(?P<value>[^"]*)"?')
STRONG = "ip_strong_es_model"
_NAMES = "awk '$1 ~ /^[a-z]+[0-9]/ { print $1 }' | sed 's/[*]$//'"  # a star: it is down
_ALL = (
    f'v=`netstat -in -f inet` || exit 1; for i in `echo "$v" | {_NAMES}`;'
    " do ifconfig $i || exit 1; done"
)
_ALL6 = (  # without the product for IPv6 there is no such family
    f"for i in `netstat -in -f inet6 2>/dev/null | {_NAMES}`; do ifconfig $i inet6 || exit 1; done"
)
_FREE = "n=1; while ifconfig lo0:$n >/dev/null 2>&1; do n=`expr $n + 1`; done"


class HpUx(UnixDriver):
    """HP-UX: lo0:1 and up are for aliases, lo0 itself never."""

    system = OperatingSystem.HP_UX
    boot_files = ("/sbin/init.d/*", "/etc/rc.config.d/*")
    switches = (
        Switch(
            STRONG,
            f"ndd -get /dev/ip {STRONG}",
            f"ndd -set /dev/ip {STRONG} {{value}}",
            ("0",),
            "the kernel drops packets for an address that is not on the interface they came in by",
        ),
    )
    interfaces = f"{_ALL}; {_ALL6}"
    loopback = f"{{ {_ALL}; {_ALL6}; }}"
    adds_again = False  # it would be added twice
    alive = "ndd -get /dev/ip ip_forwarding"
    kept_words = contents(
        "/etc/rc.config.d/netconf",
        "/etc/rc.config.d/netconf-ipv6",
        "/etc/rc.config.d/nddconf",
        SCRIPT,
    )

    def add(self, address: Address) -> str:
        """Return the words that add the alias to the first lo0:n that is free, n from 1."""
        if address.version == 4:
            return f"{{ {_FREE}; ifconfig lo0:$n {address} netmask 255.255.255.255 up; }}"
        free = _FREE.replace("lo0:$n", "lo0:$n inet6")
        return f"{{ {free}; ifconfig lo0:$n inet6 {address} up prefix 128; }}"

    def drop(self, held: Held) -> str:
        """Return the words that take an address away, whichever logical interface has it."""
        family = "inet" if held.address.version == 4 else "inet6"
        zero = "0.0.0.0" if held.address.version == 4 else "inet6 ::"  # noqa: S104 - an unset address
        return f"ifconfig {_holder(held.address, family)} {zero}"

    def give_back(self, held: Held) -> str:
        """Return the words that put an address back under its mask."""
        if held.address.version == 4:
            return f"ifconfig {held.interface} {held.address} netmask {netmask(held.prefix)} up"
        return f"ifconfig {held.interface} inet6 {held.address} up prefix {held.prefix}"

    def sweep(self, address: Address) -> Sweep:
        """Return how the extra routes of an address are found and deleted, unseen."""
        if address.version == 6:
            delete = f"route inet6 delete net $1 {address}"
            return Sweep("netstat -rnv -f inet6", boot.by_flags(address), delete)
        join = "netstat -rnv | awk 'NF == 1 { d = $1; next } { print d, $0; d = \"\" }'"
        delete = (
            f"net=`echo $1 | cut -d/ -f1`; mask=`echo $1 | cut -d/ -f2`;"
            f" route delete net $net netmask $mask {address}"
        )
        return Sweep(join, boot.by_flags(address), delete)

    def persistence(self, host: Host, wish: Wish) -> Plan:
        """Return netconf's entries, nddconf's, and the check for extra routes at boot."""
        kept = {line.replace('"', "").split("=", 1)[-1] for line in host.kept if "ADDRESS" in line}
        steps = [_netconf(address) for address in wish.clusters if str(address) not in kept]
        steps += [step for a in wish.clusters4 for step in _masks(host, a)]
        if self._wrong(host, wish):
            steps.append(_nddconf())
        lines = [self.sweep(address).line for address in wish.clusters]
        if lines and not boot.is_current(lines, host.kept):
            steps.append(boot.step(SCRIPT, lines, link=LINK))
        return Plan(tuple(steps))


def _holder(address: Address, family: str) -> str:
    return f"`netstat -in -f {family} | awk '$4 == \"{address}\" {{ print $1 }}'`"


def _entries(file: str, key: str, pairs: str, value: str, *, index: str) -> tuple[str, str, str]:
    """Return words that test for, append and delete an entry of a numbered list in `file`."""
    numbers = f"sed -n 's/^{index}\\[\\([0-9]*\\)\\]=.*/\\1/p' {file}"
    quote = "[^0-9a-z]*"  # what may stand around a value; a literal quote would end the shell's
    mine = f"sed -n 's/^{key}\\[\\([0-9]*\\)\\]={quote}{value}{quote}$/\\1/p' {file}"
    there = f'test -n "`{mine}`"'
    add = f"n=`{numbers} | sort -n | tail -1`; n=`expr ${{n:--1}} + 1`; {pairs}"
    names = "^[A-Z0-9_]*\\[$n\\]="
    drop = (
        f'n=`{mine}`; cp {file} {file}.shunt-old && grep -v "{names}" {file}.shunt-old > {file};'
        f" rm -f {file}.shunt-old"
    )
    return there, add, drop


def _numbered(step: str, what: str, words: tuple[str, str, str]) -> Step:
    there, add, drop = words
    return Step(
        id=f"keep:{step}",
        what=what,
        why="a reboot takes it away otherwise",
        do=(Command.sh(f"{there} || {{ {add}; }}"),),
        check=(Command.sh(there),),
        undo=(Command.sh(f"if {there}; then {drop}; fi"),),
    )


def _netconf(address: Address) -> Step:
    if address.version == 4:
        file, name, key = _NETCONF, "INTERFACE_NAME", "IP_ADDRESS"
        rest = [("SUBNET_MASK", _HOST_MASK), ("INTERFACE_STATE", "up")]
        holder = _holder(address, "inet")
    else:
        file, name, key = (
            "/etc/rc.config.d/netconf-ipv6",
            "IPV6_SECONDARY_INTERFACE_NAME",
            "IPV6_ADDRESS",
        )
        rest = [("IPV6_PREFIX_LENGTH", "128"), ("IPV6_SECONDARY_INTERFACE_STATE", "up")]
        holder = _holder(address, "inet6")
    pairs = [(name, "$h"), (key, str(address)), *rest]
    echo = "; ".join(f'echo "{one}[$n]={value}"' for one, value in pairs)
    escaped = str(address).replace(".", "\\.")
    words = _entries(file, key, f"h={holder}; {{ {echo}; }} >> {file}", escaped, index=name)
    return _numbered(str(address), f"keep {address} in {file}", words)


def _masks(host: Host, address: Address) -> tuple[Step, ...]:
    """Return the correction of a wide mask under which netconf brings the address back."""
    matches = [match for line in host.kept if (match := _ENTRY.fullmatch(line))]
    entries = {(match["name"], match["number"]): match["value"] for match in matches}
    wrong = {
        number: entries.get(("SUBNET_MASK", number), "")
        for (name, number), value in sorted(entries.items())
        if name == "IP_ADDRESS" and value == str(address)
    }
    return tuple(
        _mask(address, number, mask) for number, mask in wrong.items() if mask != _HOST_MASK
    )


def _mask(address: Address, number: str, mask: str) -> Step:
    key = f"SUBNET_MASK[{number}]"
    there = f"fgrep -x '{key}={_HOST_MASK}' {_NETCONF} >/dev/null"

    def rewrite(value: str) -> str:
        old = f"{_NETCONF}.shunt-old"
        words = f"{{ grep -v '^SUBNET_MASK\\[{number}\\]=' {old} > {_NETCONF} || true; }}"
        line = f" && echo {shlex.quote(f'{key}={value}')} >> {_NETCONF}" if value else ""
        return f"cp {_NETCONF} {old} && {words}{line} && rm -f {old}"

    return Step(
        id=f"mask:{address}",
        what=f"keep {address} in {_NETCONF} as a host address: {key} was {mask or 'not there'}",
        why="a wide mask comes back with the next boot, and its extra route with it",
        do=(unless(there, f"{{ {rewrite(_HOST_MASK)}; }}"),),
        check=(Command.sh(there),),
        undo=(when(there, rewrite(mask)),),
    )


def _nddconf() -> Step:
    file = "/etc/rc.config.d/nddconf"
    pairs = [("TRANSPORT_NAME", "ip"), ("NDD_NAME", STRONG), ("NDD_VALUE", "0")]
    echo = "; ".join(f'echo "{name}[$n]={value}"' for name, value in pairs)
    words = _entries(file, "NDD_NAME", f"{{ {echo}; }} >> {file}", STRONG, index="NDD_NAME")
    return _numbered(STRONG, f"keep {STRONG}=0 in {file}", words)


DRIVER: Driver[Host] = HpUx()
