"""ARP silence: a server must never say that the cluster address is at its MAC.

The kernel's rule is `arp_ignore()` in net/ipv4/arp.c: of the larger value of `all` and the
receiving interface, 1 and 2 answer only for addresses of that interface, 3 only for those whose
scope is wider than host, 8 for none; 0 and every other value answer for all addresses of the host.
`arp_announce` (the larger value, again) at 2 keeps the cluster address out of the server's own ARP
requests; at 1 it is still used when it lies in the interface's network, and poisons caches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.drivers.linux import choice, filters
from shunt.servers.drivers.linux.commands import dotted, give_back, set_value, value_is
from shunt.servers.steps import Finding, Plan, Severity, Step
from shunt.servers.wish import Silence, Wish

if TYPE_CHECKING:
    from shunt.servers.drivers.linux.observed import Host, Link

IGNORE = "ipv4/conf/all/arp_ignore"
ANNOUNCE = "ipv4/conf/all/arp_announce"
_WHY_IGNORE = (
    "the server is not silenced as Shunt would do it: unless something else keeps it silent, it"
    " answers ARP for the cluster address, and clients reach it directly"
)
_WHY_ANNOUNCE = (
    "without it the server's own ARP requests carry the cluster address, and the router learns"
    " the server's MAC for it"
)


def plan(host: Host, wish: Wish) -> Plan:
    """Return the steps to silence; none where only IPv6 is wanted, which is silent on its own."""
    chosen = choice.method(host, wish)
    if chosen is Silence.REDIRECT:
        return filters.redirect(host, wish)
    if not wish.clusters4:
        return Plan()
    if chosen is Silence.SYSCTL:
        return _sysctl(host, wish)
    if chosen is not None:
        return filters.arp(host, wish, chosen)
    return Plan(findings=(_no_way(),))


def wanted_values(host: Host, wish: Wish) -> dict[str, int]:
    """Return the settings that must hold, by path; those that are right keep their values.

    What Shunt has set on an interface stays among them: whoever set it otherwise does so again at
    the next boot.
    """
    everywhere = host.values[IGNORE]
    ignore = everywhere if keeps_silent(host, wish, everywhere) else 1
    wanted = {IGNORE: ignore, ANNOUNCE: 2}
    for link in host.wires:
        path = own_path(link)
        value = host.values.get(path, 0)
        if value > ignore and not keeps_silent(host, wish, value):
            wanted[path] = 1
        elif f"silence:{path}" in host.record.ids:
            wanted[path] = value
    return wanted


def own_path(link: Link) -> str:
    """Return the path of an interface's own `arp_ignore`."""
    return f"ipv4/conf/{link.name}/arp_ignore"


def keeps_silent(host: Host, wish: Wish, value: int) -> bool:
    """Return whether an effective `arp_ignore` keeps the aliases unanswered, also after a boot."""
    return value in {1, 2, 8} or (value == 3 and _scoped(host, wish))


def _scoped(host: Host, wish: Wish) -> bool:
    """Return whether every cluster address has scope host, here and when it is brought back."""
    return choice.keeps_scope_host(host, wish) and all(
        held.scope == "host" for address in wish.clusters4 for _, held in host.holders(address)
    )


def _sysctl(host: Host, wish: Wish) -> Plan:
    steps = tuple(
        _value_step(path, value, host.values.get(path, 0))
        for path, value in wanted_values(host, wish).items()
        if host.values.get(path, 0) != value
    )
    return Plan(steps, (*_unreachable(host, wish), *_read_only(host, steps)))


def _value_step(path: str, value: int, before: int) -> Step:
    announce = path.endswith("arp_announce")
    return Step(
        id=f"silence:{path}",
        what=f"set {dotted(path)} from {before} to {value}",
        why=_WHY_ANNOUNCE if announce else _WHY_IGNORE,
        do=(set_value(path, value),),
        check=(value_is(path, value),),
        undo=(give_back(path, value, before),),
    )


def _unreachable(host: Host, wish: Wish) -> tuple[Finding, ...]:
    """Return what is wrong where arp_ignore=8 silences the server's own address, too."""
    own = set(wish.server.addresses)
    dead = [
        link.name
        for link in host.wires
        if host.effective("arp_ignore", link) == 8
        and (not own or any(held.address in own for held in link.addresses))
    ]
    return tuple(
        Finding(
            Severity.WARNING,
            f"arp_ignore is 8 on {name}: ARP for the server's own address is not answered either",
            "the dispatcher and the router cannot find the server",
            f"set net.ipv4.conf.all.arp_ignore and net.ipv4.conf.{name}.arp_ignore to 1",
        )
        for name in dead
    )


def _read_only(host: Host, steps: tuple[Step, ...]) -> tuple[Finding, ...]:
    if host.writable or not steps:
        return ()
    return (
        Finding(
            Severity.ERROR,
            "/proc/sys is read-only here, as in a container",
            "the kernel's settings cannot be changed from inside",
            "choose --silence nft, or apply from outside: shunt server apply --local --netns PID",
        ),
    )


def _no_way() -> Finding:
    return Finding(
        Severity.ERROR,
        "/proc/sys is read-only, and neither nft nor arptables is there",
        "nothing can keep this host from answering ARP for the cluster address",
        "install nftables, or set it up from outside: shunt server apply --local --netns PID",
    )
