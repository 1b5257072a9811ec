"""The end of the dispatcher's tunnel, for services of kind `encap`.

The kernel's fallback devices accept tunnelled packets from every sender, so one device serves any
number of dispatchers: `tunl0` (RFC 2003), `sit0` (RFC 4213) and `ip6tnl0` (RFC 2473).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.drivers.linux.commands import give_back, set_value, value_is
from shunt.servers.steps import Command, Finding, Plan, Severity, Step

if TYPE_CHECKING:
    from shunt.servers.drivers.linux.observed import Host
    from shunt.servers.wish import Wish

_DEVICES = {(4, 4): ("tunl0", "ipip"), (4, 6): ("sit0", "sit")}
_OVER_IPV6 = ("ip6tnl0", "ip6_tunnel")


def devices(wish: Wish) -> tuple[tuple[str, str], ...]:
    """Return the tunnel devices that are needed, with their kernel modules."""
    outer = wish.server.addresses[0].version if wish.server.addresses else 4
    needed = (_DEVICES.get((outer, inner.version), _OVER_IPV6) for inner in wish.clusters)
    return tuple(dict.fromkeys(needed))


def up_line(device: str, module: str) -> str:
    """Return the line of shell that brings a tunnel device up, loading its module if need be."""
    there = f"ip link show dev {device} >/dev/null 2>&1"
    return f"{{ {there} || modprobe {module}; }} && ip link set dev {device} up"


def plan(host: Host, wish: Wish) -> Plan:
    """Return what ends the tunnel here: the device, and a reverse path filter that lets it pass."""
    result = Plan()
    for device, module in devices(wish):
        known = [link for link in host.links if link.name == device]
        if not any(link.up for link in known):
            result += Plan((_device(device, module, there=bool(known)),))
        path = f"ipv4/conf/{device}/rp_filter"
        if device != "ip6tnl0" and host.values.get(path) != 2:
            result += Plan((_loose(path, host.values.get(path)),))
    if wish.clusters:
        result += Plan(findings=(_size(),))
    return result


def _device(device: str, module: str, *, there: bool) -> Step:
    shown = f"ip -o link show dev {device} up 2>/dev/null | grep -q ."
    gone = "" if there else f"; modprobe -r {module} 2>/dev/null || true"
    return Step(
        id=f"tunnel:{device}",
        what=f"bring up {device}, which unpacks what the dispatcher sends",
        why="without a tunnel device the kernel discards tunnelled packets",
        do=(Command.sh(up_line(device, module)),),
        check=(Command.sh(shown),),
        undo=(Command.sh(f"if {shown}; then ip link set dev {device} down{gone}; fi"),),
    )


def _loose(path: str, before: int | None) -> Step:
    """Return the step for a reverse path filter; `before` is None if there is no device yet."""
    gone = Command.sh(f"[ ! -e /proc/sys/net/{path} ] || echo 0 > /proc/sys/net/{path}")
    return Step(
        id=f"rp_filter:{path}",
        what=f"set net.{path.replace('/', '.')} to 2",
        why="unpacked packets come in by the tunnel, replies leave by the NIC: strict filters drop",
        do=(set_value(path, 2),),
        check=(value_is(path, 2),),
        undo=(gone if before is None else give_back(path, 2, before),),
    )


def _size() -> Finding:
    return Finding(
        Severity.NOTE,
        "tunnelled packets are 20 to 40 bytes longer on the wire",
        "clients' full-size packets do not fit unless the segment's MTU is larger or the server"
        " announces a smaller maximum segment",
        "raise the MTU between dispatcher and servers, or set `advmss 1440` on the default route",
    )
