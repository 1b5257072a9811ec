"""The files that Shunt writes on a Linux server, and their texts."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from shunt.model.config import Forward
from shunt.servers.drivers.linux import alias, choice, filters, networkd, silence, tunnel
from shunt.servers.drivers.linux.commands import dotted, setting
from shunt.servers.wish import Silence, Wish

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Address

    from shunt.model.addresses import Address
    from shunt.servers.drivers.linux.observed import Host

SYSCTL = "/etc/sysctl.d/99-zz-shunt.conf"  # after 99-sysctl.conf, which is /etc/sysctl.conf
NETPLAN = "/etc/netplan/90-shunt.yaml"
PROFILE = "/etc/NetworkManager/system-connections/shunt-lo.nmconnection"
IF_UP = "/etc/network/if-up.d/shunt"
IFCFG = "/etc/sysconfig/network-scripts/ifcfg-lo:shunt"
SCRIPT = "/etc/shunt/server-up"
UNIT = "/etc/systemd/system/shunt-server.service"
UNIT_NAME = "shunt-server.service"

HEAD = (
    "# Made by Shunt, which sets this machine up as a server; `shunt server remove` deletes it.\n"
)

# Each may take away what the unit has set up: at a restart, at a reload (`nft -f` with a `flush
# ruleset`), and when it is stopped and started again, which PartOf= alone does not follow.
_FOLLOWED = "networking.service systemd-networkd.service NetworkManager.service nftables.service"
UNIT_TEXT = f"""\
{HEAD}[Unit]
Description=Cluster addresses of this server: silence first, then the alias
Documentation=file://{SCRIPT}
After=systemd-sysctl.service network-pre.target
After={_FOLLOWED}
PartOf={_FOLLOWED}
ReloadPropagatedFrom={_FOLLOWED}
Before=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {SCRIPT}
ExecReload=/bin/sh {SCRIPT}

[Install]
WantedBy=multi-user.target
WantedBy={_FOLLOWED}
"""


def asked(number_of_addresses: int) -> tuple[str, ...]:
    """Return every file whose content a plan may need to know; one is a pattern."""
    ifcfg = (f"{IFCFG}{number}" for number in range(number_of_addresses))
    return (SYSCTL, *networkd.OWN, networkd.DROP_INS, NETPLAN, PROFILE, IF_UP, SCRIPT, UNIT, *ifcfg)


def sysctl_text(values: Mapping[str, int]) -> str:
    """Return the sysctl.d file that sets `values`."""
    lines = (f"{dotted(path)} = {value}\n" for path, value in values.items())
    return HEAD + "".join(lines)


def netplan_text(addresses: Iterable[Address]) -> str:
    """Return the netplan file that adds the addresses to `lo`."""
    lines = "".join(f'        - "{a}/{a.max_prefixlen}"\n' for a in addresses)
    return f"{HEAD}network:\n  version: 2\n  ethernets:\n    lo:\n      addresses:\n{lines}"


def network_manager_text(addresses: Iterable[Address]) -> str:
    """Return the keyfile of a loopback profile, nm-settings-keyfile(5); it must name ::1, too."""
    mine = list(addresses)
    name = uuid.uuid5(uuid.NAMESPACE_DNS, "lo.server.shunt")
    profile = f"id=shunt-lo\nuuid={name}\ntype=loopback\ninterface-name=lo\n"
    sections = [f"[connection]\n{profile}autoconnect-priority=100\n"]
    for version, first in ((4, "127.0.0.1/8"), (6, "::1/128")):
        names = [first, *(f"{a}/{a.max_prefixlen}" for a in mine if a.version == version)]
        lines = "".join(f"address{number}={name}\n" for number, name in enumerate(names, 1))
        sections.append(f"[ipv{version}]\nmethod=manual\n{lines}")
    return HEAD + "\n".join(sections)


def ifcfg_text(address: IPv4Address, number: int) -> str:
    """Return the ifcfg file of an alias, without the announcements that ifup would send."""
    return (
        f"{HEAD}DEVICE=lo:shunt{number}\nIPADDR={address}\nNETMASK=255.255.255.255\n"
        "ONBOOT=yes\nONPARENT=yes\nARPCHECK=no\nARPUPDATE=no\n"
    )


def script_text(host: Host, wish: Wish, *, guard: bool) -> str:
    """Return the script that brings everything back, silence first.

    With `guard` it is one of ifupdown's, called for every interface, and acts for `lo` only.
    """
    lines = ['[ "$IFACE" = lo ] || exit 0'] if guard else []
    lines += ["set -e", "PATH=$PATH:/usr/sbin:/sbin"]
    lines += _silence_lines(host, wish)
    if wish.forward is Forward.ENCAP:
        for device, module in tunnel.devices(wish):
            lines.append(tunnel.up_line(device, module))
            if device != "ip6tnl0":
                lines.append(f"echo 2 > {setting(f'ipv4/conf/{device}/rp_filter')}")
    if choice.method(host, wish) is not Silence.REDIRECT:
        lines += [alias.add_words(address) for address in wish.clusters]
    return f"#!/bin/sh\n{HEAD}" + "\n".join(lines) + "\n"


def _silence_lines(host: Host, wish: Wish) -> list[str]:
    chosen = choice.method(host, wish)
    if chosen is Silence.REDIRECT:
        return [f"nft -f - <<'END'\n{filters.redirect_rules(wish)}END"]
    if not wish.clusters4:
        return []
    own = filters.own_address(host, wish)
    if chosen is Silence.NFT and own:
        return [f"nft -f - <<'END'\n{filters.arp_rules(wish.clusters4, own)}END"]
    if chosen is Silence.ARPTABLES and own:
        return [
            line
            for rule in filters.arptables_lines(wish.clusters4, own)
            for line in (
                f"while arptables -D {rule} 2>/dev/null; do :; done",
                f"arptables -A {rule}",
            )
        ]
    values = silence.wanted_values(host, wish)
    return [f"echo {value} > {setting(path)}" for path, value in values.items()]
