"""The few commands that Linux steps are made of."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from shunt.servers.steps import Command

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.drivers.linux.observed import Held


def ip(address: Address) -> str:
    """Return `ip` with the family of `address`."""
    return f"ip -{address.version}"


def setting(path: str) -> str:
    """Return the file of a setting given below /proc/sys/net."""
    return f"/proc/sys/net/{path}"


def dotted(path: str) -> str:
    """Return the name that sysctl(8) uses; a dot in an interface's name becomes a slash there."""
    return "net." + ".".join(part.replace(".", "/") for part in path.split("/"))


def set_value(path: str, value: int) -> Command:
    """Return the command that writes a setting; unlike sysctl(8) it is everywhere."""
    file = setting(path)
    return Command(("sh", "-c", f"echo {value} > {file}"), file=file)


def value_is(path: str, value: int) -> Command:
    """Return the check that a setting has a value."""
    return Command.sh(f'[ "$(cat {setting(path)})" = {value} ]')


def give_back(path: str, ours: int, before: int) -> Command:
    """Return the command that restores a setting unless somebody has changed it since."""
    file = setting(path)
    line = f'[ ! -e {file} ] || [ "$(cat {file})" != {ours} ] || echo {before} > {file}'
    return Command(("sh", "-c", line), file=file)


def _shown(address: Address, length: int, device: str) -> str:
    words = f"{ip(address)} -o address show dev {device} to {address}/{address.max_prefixlen}"
    return f"{words} | grep -qF ' {address}/{length} '"


def holds(address: Address, length: int, device: str) -> Command:
    """Return the check that `device` holds the address under that prefix length."""
    return Command.sh(_shown(address, length, device))


def lacks(address: Address, length: int, device: str) -> Command:
    """Return the check that it does not."""
    return Command.sh(f"! {_shown(address, length, device)}")


# What `ip route show` says of a row and `ip route add` does not take; a next hop's id says it all.
_NOT_ADDED = (
    r"s/\\//g; s/ \(linkdown\|dead\|offload\|offload_failed\|trap\|rt_trap\|rt_offload\)\>//g;"
    r" / nhid /{ s/[[:space:]]*nexthop .*//; s/ via \(inet6 \)\{0,1\}[^ ]*//; s/ dev [^ ]*//; }"
)


def _routes_kept(address: Address) -> str:
    """Return the line that gives routes with the source `address` a twin without it.

    With an IPv4 address its kernel drops each row of the main table that has it as source
    (net/ipv4/fib_semantics.c, fib_sync_down_addr); of IPv6 rows it takes the source only. The rows
    that the kernel made itself go with the address, as they came.
    """
    show = f"ip -4 -o address show to {address}"
    return (
        f"rows=$(ip -4 -o route show table main src {address}) || exit 1;"
        f' [ -z "$rows" ] || [ $({show} | wc -l) -gt 1 ] || printf \'%s\\n\' "$rows" |'
        f" grep -v ' proto kernel ' | sed '{_NOT_ADDED}' | while read -r row; do"
        ' bare=$(printf %s "$row" | sed "s/ src [^ ]*//");'
        " said=$(ip -4 route append $bare 2>&1) || case $said in *exists*) ;;"
        ' *) echo "$said" >&2; exit 1 ;; esac; ip -4 route del $row || exit 1; done'
    )


def take_away(address: Address, length: int, device: str) -> Command:
    """Return the command that removes an address, and is content if it is not there.

    A route that has the address as its source stays, without that source.
    """
    line = f"{ip(address)} address del {address}/{length} dev {device}"
    kept = f"{{ {_routes_kept(address)}; }} && " if address.version == 4 else ""
    return Command.sh(f"if {_shown(address, length, device)}; then {kept}{line}; fi")


def put_back(held: Held, device: str) -> Command:
    """Return the command that adds an address as it was, and is content if it is there."""
    address, length = held.address, held.length
    words = f" scope {held.scope}" if address.version == 4 else ""
    if held.label not in {"", device}:
        words += f" label {shlex.quote(held.label)}"
    line = f"{ip(address)} address replace {address}/{length} dev {device}{words}"
    return Command.sh(f"! ip link show dev {device} >/dev/null 2>&1 || {line}")


def content_is(path: str, content: str) -> Command:
    """Return the check that a file has exactly this content."""
    return Command(("cmp", "-s", path, "-"), content)


def restore(path: str, before: str | None, *, mode: str = "644") -> Command:
    """Return the command that gives a file its former content, or removes it if there was none."""
    return Command.delete(path) if before is None else Command.write(path, before, mode=mode)
