"""What fits a host: how ARP is silenced there, and who brings the alias back after a reboot."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from shunt.model.config import Forward
from shunt.servers.drivers.linux import networkd
from shunt.servers.wish import Silence, Wish

if TYPE_CHECKING:
    from shunt.servers.drivers.linux.observed import Host, Managers


class Manager(StrEnum):
    """Who brings the alias back."""

    NETPLAN = "netplan"
    NETWORKD = "systemd-networkd"
    NETWORK_MANAGER = "NetworkManager"
    IFUPDOWN = "ifupdown"
    IFCFG = "ifcfg"
    UNIT = "a systemd unit"


# Netplan and NetworkManager have no word for the scope of an address, and what network scripts do
# with theirs differs from release to release.
_GIVES_SCOPE_HOST = frozenset({Manager.NETWORKD, Manager.IFUPDOWN, Manager.UNIT})


def method(host: Host, wish: Wish) -> Silence | None:
    """Return how ARP is silenced on this host; None if it offers no way."""
    if wish.silence is not Silence.AUTO:
        return wish.silence
    if host.writable:
        return Silence.SYSCTL
    if "nft" in host.tools:
        return Silence.NFT
    return Silence.ARPTABLES if "arptables" in host.tools else None


def manager(host: Host, wish: Wish) -> Manager | None:
    """Return who brings the alias back on this host; None if nobody there is known."""
    who = host.managers
    plain = wish.forward is not Forward.ENCAP and method(host, wish) is Silence.SYSCTL
    # Else somebody's own file comes before netplan's for lo, or lo shares what netplan has made.
    by_netplan = who.netplan and (who.networkd_file is None or _made_for_loopback(who))
    if plain and who.networkd and not by_netplan and networkd.path(who):
        return Manager.NETWORKD
    if plain and not _others_on_loopback(host, wish):
        if who.networkd and by_netplan:
            return Manager.NETPLAN
        if who.network_manager and who.network_manager >= (1, 42):
            return Manager.NETWORK_MANAGER
    if who.ifupdown and not (who.networkd or who.network_manager):
        return Manager.IFUPDOWN
    if plain and who.ifcfg and not who.network_manager and not _has_ipv6(wish):
        return Manager.IFCFG
    return Manager.UNIT if who.systemd else None


def keeps_scope_host(host: Host, wish: Wish) -> bool:
    """Return whether the aliases will have scope host after the next boot, too."""
    return not wish.persist or manager(host, wish) in _GIVES_SCOPE_HOST


def _made_for_loopback(who: Managers) -> bool:
    """Return whether networkd's file for `lo` is one that netplan has made for it alone."""
    made = (who.networkd_file or "").startswith("/run/systemd/network/10-netplan-lo.network")
    texts = who.networkd_texts
    return made and networkd.only_loopback(texts) and not networkd.leaves_alone(texts)


def _others_on_loopback(host: Host, wish: Wish) -> bool:
    """Return whether `lo` has addresses that a manager would drop as soon as `lo` is its own."""
    return any(
        held.address not in wish.clusters
        and not held.address.is_loopback
        and f"alias:{held.address}" not in host.record.ids
        for link in host.links
        if link.loopback
        for held in link.addresses
    )


def _has_ipv6(wish: Wish) -> bool:
    return any(address.version == 6 for address in wish.clusters)
