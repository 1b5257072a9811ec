"""FreeBSD, from 9.2 on (sysrc)."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.unix.bsd import BsdDriver
from shunt.servers.drivers.unix.driver import sysctl
from shunt.servers.drivers.unix.elsewhere import is_host
from shunt.servers.drivers.unix.words import contents, when
from shunt.servers.steps import Command, Driver, Finding, Plan, Severity, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.driver import Switch
    from shunt.servers.drivers.unix.observed import Host
    from shunt.servers.wish import Wish

STRONG = "net.inet.ip.rfc1122_strong_es"
CHECK = "net.inet.ip.check_interface"
PROXY = "net.link.ether.inet.proxyall"
_COMES_BACK = "a wide mask comes back with the next boot, and its extra route with it"
_ALL = "sysrc -ae"
_OLD_LIST = "ipv4_addrs_lo0"
_VARIABLES = ("ifconfig_lo0_alias", _OLD_LIST)
_NUMBERED = re.compile(r"ifconfig_lo0_alias\d+")
_HOST, _WIDE = "host", "wide"
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
        sysctl(
            PROXY, "0", "the host answers ARP for every address whose route is another interface's"
        ),
    )
    kept_words = (
        f'v=`{_ALL}` || exit 1; echo "$v" | egrep "^(ifconfig_lo0_alias|ipv4_addrs_lo0=)";'
        f" {contents('/etc/sysctl.conf')}"
    )

    def add(self, address: Address) -> str:
        """Return the words that add the alias."""
        if address.version == 4:
            return f"ifconfig lo0 inet {address}/32 alias"
        return f"ifconfig lo0 inet6 {address} prefixlen 128 alias"

    def persistence(self, host: Host, wish: Wish) -> Plan:
        """Return rc.conf's aliases, and the switches that had to be set."""
        said = dict(_split(line) for line in host.kept if line.startswith(_VARIABLES))
        result = _lists(said, wish.clusters)
        steps = [step for address in wish.clusters for step in _keep(said, address)]
        steps += [
            self.switch_step("/etc/sysctl.conf", switch, host)
            for switch in self._wrong_or_kept_wrong(host, wish)
        ]
        return result + Plan(tuple(steps))

    def _wrong_or_kept_wrong(self, host: Host, wish: Wish) -> list[Switch]:
        kept = [s for s in self.switches if f"{s.name}=1" in host.kept]
        found = dict.fromkeys([*self._wrong(host, wish), *kept])
        return [switch for switch in found if f"{switch.name}=0" not in host.kept]


def _value(address: Address) -> str:
    if address.version == 4:
        return f"inet {address} netmask 255.255.255.255"
    return f"inet6 {address} prefixlen 128"


def _keep(said: Mapping[str, str], address: Address) -> tuple[Step, ...]:
    """Return what keeps the address: nothing if rc.conf names it, its mask corrected if it is wide.

    In a variable with several addresses `_lists` does so.
    """
    for name, value in sorted(said.items()):
        masks = [mask for group in _groups(name, value) if (mask := _mask(group, address))]
        if masks:
            wide = bool(
                _NUMBERED.fullmatch(name) and len(_groups(name, value)) == 1 and masks != [_HOST]
            )
            return (_rewrite(name, value, address),) if wide else ()
    return (_rc(address),)


def _lists(said: Mapping[str, str], addresses: Sequence[Address]) -> Plan:
    """Return the correction of wide masks among several addresses; the others stay as they are."""
    steps: list[Step] = []
    found: list[Finding] = []
    for name, value in sorted(said.items()):
        groups = _groups(name, value)
        if _NUMBERED.fullmatch(name) and len(groups) == 1:
            continue
        right = list(groups)
        for number, group in enumerate(groups):
            for address in addresses:
                if _mask(group, address) != _WIDE:
                    continue
                if "-" in group:
                    found.append(_range(name, group, address))
                else:
                    right[number] = f"inet{'6' * (address.version == 6)} {address}/"
                    right[number] += str(address.max_prefixlen)
        if right != groups:
            steps.append(_corrected(name, value, _joined(name, right)))
    return Plan(tuple(steps), tuple(found))


def _groups(name: str, value: str) -> list[str]:
    """Split a list at its families; `ipv4_addrs_lo0` has none, its words are all IPv4."""
    if name == _OLD_LIST:
        return [f"inet {word}" for word in value.split()]
    return re.split(r"\s+(?=(?:inet6?|link|ether)\s)", value.strip())


def _joined(name: str, groups: Sequence[str]) -> str:
    words = " ".join(groups)
    return words.replace("inet ", "") if name == _OLD_LIST else words


def _mask(group: str, address: Address) -> str | None:
    """Return how a group names the address: as a host, under a wide mask, or (None) not at all.

    Of a range, `192.0.2.5-23/24`, the first address has the mask, the others have a host's
    (network.subr of FreeBSD).
    """
    words = group.split()
    if len(words) < 2 or words[0] != f"inet{'6' * (address.version == 6)}":
        return None
    text, _, bits = words[1].partition("/")
    span = re.fullmatch(r"((?:\d+\.){3})(\d+)-(\d+)", text)
    if span:
        start, _, last = str(address).rpartition(".")
        if f"{start}." != span[1] or not int(span[2]) <= int(last) <= int(span[3]):
            return None
        return _HOST if last != span[2] or bits in {"", "32"} else _WIDE
    if text != str(address):
        return None
    return _HOST if is_host(group, address) else _WIDE


def _range(name: str, group: str, address: Address) -> Finding:
    return Finding(
        Severity.ERROR,
        f"{name} of rc.conf gives {address} the mask of a network: `{group}`",
        _COMES_BACK,
        f"write {address}/32 by itself, and the rest of the range without it",
    )


def _corrected(name: str, value: str, right: str) -> Step:
    what = f"keep cluster addresses in {name} as host addresses; it was {value}"
    there = f'test "`sysrc -n {name}`" = {shlex.quote(right)}'
    do = f"sysrc {shlex.quote(f'{name}={right}')}"
    return _put_right(f"keep:{name}", what, do, there, was=f"{name}={value}")


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
                f"{_ALL} >/dev/null || exit 1; {find};"
                f' if test "`sysrc -n {name}$n 2>/dev/null`" = "{value}"; then {close}; fi'
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
    good = _value(address)
    what = f"keep {address} in rc.conf as a host address: {name} was {value}"
    there = f'test "`sysrc -n {name} 2>/dev/null`" = "{good}"'
    do = f'sysrc {name}="{good}"'
    return _put_right(f"keep:{address}", what, do, there, was=f"{name}={value}")


def _put_right(identity: str, what: str, do: str, there: str, was: str) -> Step:
    """Return the step that gives rc.conf a mask of a host; `there` asks whether it has it."""
    return Step(
        id=identity,
        what=what,
        why=_COMES_BACK,
        do=(Command.sh(do),),
        check=(Command.sh(there),),
        undo=(when(there, f"sysrc {shlex.quote(was)}", asked=_ALL),),
    )


DRIVER: Driver[Host] = FreeBsd()
