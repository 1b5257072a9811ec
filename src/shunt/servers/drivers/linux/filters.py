"""ARP silence by packet filters (nftables, arptables), and the way without an alias: REDIRECT."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from shunt.servers.drivers.linux import choice
from shunt.servers.steps import Command, Finding, Plan, Severity, Step
from shunt.servers.wish import Silence, Wish

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.servers.drivers.linux.observed import Host

ARP_TABLE = "arp shunt"
REDIRECT_TABLE = "inet shunt_redirect"
_NFT = "silence:nft"
_ARPTABLES = "silence:arptables:"
_REDIRECT = "silence:redirect"
_WHY = (
    "without it the server answers ARP for the cluster address, or puts it into its own requests;"
    " dropping without rewriting would leave it unable to ask for anybody"
)


def own_address(host: Host, wish: Wish) -> IPv4Address | None:
    """Return the IPv4 address that the server's ARP requests shall carry instead."""
    for address in wish.server.addresses:
        if isinstance(address, IPv4Address):
            return address
    preferred = {route.device for route in host.default_routes(4)}
    links = sorted(host.wires, key=lambda link: link.name not in preferred)
    for link in links:
        for held in link.addresses:
            if isinstance(held.address, IPv4Address) and held.address not in wish.clusters:
                return held.address
    return None


def arp_rules(addresses: Iterable[IPv4Address], own: IPv4Address) -> str:
    """Return the nftables text that makes the ARP table anew, whatever was in it."""
    wanted = list(addresses)
    drops = "\n".join(f"        arp operation request arp daddr ip {a} drop" for a in wanted)
    rewrites = "\n".join(f"        arp saddr ip {a} arp saddr ip set {own}" for a in wanted)
    return f"""\
table {ARP_TABLE}
delete table {ARP_TABLE}
table {ARP_TABLE} {{
    chain input {{
        type filter hook input priority 0; policy accept;
{drops}
    }}
    chain output {{
        type filter hook output priority 0; policy accept;
{rewrites}
    }}
}}
"""


def redirect_rules(wish: Wish) -> str:
    """Return the nftables text that hands packets for the cluster addresses to this host."""
    rules = "\n".join(
        f"        {'ip' if a.version == 4 else 'ip6'} daddr {a} redirect" for a in wish.clusters
    )
    return f"""\
table {REDIRECT_TABLE}
delete table {REDIRECT_TABLE}
table {REDIRECT_TABLE} {{
    chain prerouting {{
        type nat hook prerouting priority -100; policy accept;
{rules}
    }}
}}
"""


def arptables_lines(addresses: Iterable[IPv4Address], own: IPv4Address) -> tuple[str, ...]:
    """Return the pairs of arptables rules, without the command and its `-A` or `-D`."""
    return tuple(
        line
        for a in addresses
        for line in (f"INPUT -d {a} -j DROP", f"OUTPUT -s {a} -j mangle --mangle-ip-s {own}")
    )


def arp(host: Host, wish: Wish, method: Silence) -> Plan:
    """Return the plan that silences by a filter."""
    own = own_address(host, wish)
    if own is None:
        return Plan(findings=(_nobody(),))
    wanted = frozenset(wish.clusters4)
    if method is Silence.NFT:
        # An address that has left may be the server's own next: nobody would find it.
        done = wanted <= host.filtered and wanted == host.in_arp_table
        return Plan() if done else Plan((_nft_step(wish, own),))
    missing = [address for address in wish.clusters4 if address not in host.filtered]
    return Plan(tuple(_arptables_step(address, own) for address in missing))


def obsolete(host: Host, wish: Wish) -> tuple[str, ...]:
    """Return the recorded filters that serve no address that is wanted."""
    wanted = {f"{_ARPTABLES}{address}" for address in wish.clusters4}
    past = {i for i in host.record.ids if i.startswith(_ARPTABLES)} - wanted
    if not wish.clusters4:
        past.add(_NFT)
    if not wish.clusters or choice.method(host, wish) is not Silence.REDIRECT:
        past.add(_REDIRECT)
    return tuple(sorted(past & host.record.ids))


def _nft_step(wish: Wish, own: IPv4Address) -> Step:
    checks = " && ".join(
        f"echo \"$t\" | grep -qF 'daddr ip {a} drop' && echo \"$t\" | grep -qF 'saddr ip {a} '"
        for a in wish.clusters4
    )
    return Step(
        id=_NFT,
        what="drop ARP for the cluster addresses, and rewrite the server's own, by nftables",
        why=_WHY,
        do=(Command(("nft", "-f", "-"), arp_rules(wish.clusters4, own)),),
        check=(Command.sh(f"t=$(nft list table {ARP_TABLE}) && {checks}"),),
        undo=(_forget(ARP_TABLE),),
    )


def _forget(table: str) -> Command:
    return Command.sh(
        f"if nft list table {table} >/dev/null 2>&1; then nft delete table {table}; fi"
    )


def _arptables_step(address: IPv4Address, own: IPv4Address) -> Step:
    lines = arptables_lines([address], own)
    remove = "; ".join(f"while arptables -D {line} 2>/dev/null; do :; done" for line in lines)
    add = " && ".join(f"arptables -A {line}" for line in lines)
    checks = " && ".join(
        f"echo \"$t\" | grep -qE -- '-j {target} .*-{side} {address}( |$)'"
        for target, side in (("DROP", "d"), ("mangle", "s"))
    )
    return Step(
        id=f"{_ARPTABLES}{address}",
        what=f"drop ARP for {address}, and rewrite the server's own, by arptables",
        why=_WHY,
        do=(Command.sh(f"{remove}; {add}"),),
        check=(Command.sh(f"t=$(arptables -n -L) && {checks}"),),
        undo=(Command.sh(f"{remove}; true"),),
    )


def redirect(host: Host, wish: Wish) -> Plan:
    """Return the plan that accepts the cluster addresses without holding them."""
    if not wish.clusters:
        return Plan()
    price = Finding(
        Severity.NOTE,
        "the cluster addresses are redirected, not held",
        "applications see the server's own address as the local one (virtual hosts by address,"
        " logs), and every flow is tracked by the kernel",
    )
    aliases = tuple(
        Finding(
            Severity.WARNING,
            f"{address} is held by {link.name}, though it is to be redirected",
            "with an address there is ARP to silence again",
            "run `shunt server remove` first, or take the address away by hand",
        )
        for address in wish.clusters
        for link, _ in host.holders(address)
    )
    if set(wish.clusters) == host.redirected:
        return Plan(findings=(price, *aliases))
    checks = " && ".join(f"echo \"$t\" | grep -qF ' {a} redirect'" for a in wish.clusters)
    step = Step(
        id=_REDIRECT,
        what="redirect packets for the cluster addresses to this host, without an alias",
        why="a server without the address drops what the dispatcher sends to it",
        do=(Command(("nft", "-f", "-"), redirect_rules(wish)),),
        check=(Command.sh(f"t=$(nft list table {REDIRECT_TABLE}) && {checks}"),),
        undo=(_forget(REDIRECT_TABLE),),
        note=price.why,
    )
    return Plan((step,), (price, *aliases))


def _nobody() -> Finding:
    return Finding(
        Severity.ERROR,
        "the server has no IPv4 address of its own on any interface that is up",
        "a filter must rewrite the server's ARP requests to carry its own address",
        "name the server's address in the configuration",
    )
