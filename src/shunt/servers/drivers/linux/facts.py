"""What a Linux server is asked. Every command only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.steps import Command, Fact

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEYS = (
    "ipv4/ip_forward",
    *(
        f"ipv4/conf/*/{name}"
        for name in ("arp_ignore", "arp_announce", "rp_filter", "proxy_arp", "promote_secondaries")
    ),
    "ipv6/conf/all/forwarding",
    "ipv6/conf/lo/disable_ipv6",
)
# The last mount over /proc or /proc/sys decides; a container has it read-only.
_VALUES = f"""\
cd /proc/sys/net && grep -sH . {" ".join(_KEYS)}
awk '$2 == "/proc" || $2 == "/proc/sys" {{ split($4, option, ","); mode = option[1] }}
     END {{ print "mount:" mode }}' /proc/mounts
"""  # one pipeline reads best on one line
_TOOLS = """\
for tool in arptables ifup nft nmcli netplan networkctl systemctl; do
    if command -v $tool >/dev/null 2>&1; then echo $tool; fi
done
echo end
"""
_PROBE = """\
active() { [ "$(systemctl is-active "$1" 2>/dev/null)" = active ]; }
if [ -d /run/systemd/system ]; then
    echo systemd=yes
    if active systemd-networkd; then
        echo networkd=yes
        file=$(networkctl --no-pager status lo 2>/dev/null | sed -n 's/^ *Network File: *//p')
        case $file in /*) echo "networkd-file=$file" ;; esac
    fi
    if active NetworkManager; then
        echo "network-manager=$(LC_ALL=C nmcli -t -f VERSION general 2>/dev/null || echo 0.0)"
        file=$(nmcli -t -f TYPE,FILENAME connection show 2>/dev/null |
            sed -n '/shunt-lo/d; s,^loopback:\\(/etc/.*\\),\\1,p' | head -n 1)
        if [ -n "$file" ]; then
            echo "loopback-profile=$file"
            echo "profile-addresses=$(sed -n 's/^address[0-9]*=\\([^,;]*\\).*/\\1/p' "$file" |
                tr '\\n' ' ')"
        fi
    fi
fi
if command -v netplan >/dev/null 2>&1; then
    for file in /etc/netplan/*.yaml /run/netplan/*.yaml /lib/netplan/*.yaml; do
        case $file in */90-shunt.yaml) continue ;; esac
        if [ -e "$file" ]; then echo netplan=yes; break; fi
    done
fi
if [ -d /etc/network/if-up.d ] && [ -s /etc/network/interfaces ] && command -v ifup >/dev/null 2>&1
then echo ifupdown=yes; fi
if [ -d /etc/sysconfig/network-scripts ] && [ -e /etc/init.d/network ]; then echo ifcfg=yes; fi
echo end
"""
_SETTINGS = """\
grep -sHE '^[[:space:]]*-?net.ipv4.conf.(all|default|lo).(arp_ignore|arp_announce|rp_filter)' \
/etc/sysctl.conf /etc/sysctl.d/*.conf /run/sysctl.d/*.conf /usr/local/lib/sysctl.d/*.conf \
/usr/lib/sysctl.d/*.conf /lib/sysctl.d/*.conf
echo end
"""
_FILTERS = """\
if command -v nft >/dev/null 2>&1; then
    for table in 'arp shunt' 'inet shunt_redirect'; do nft list table $table 2>/dev/null; done
fi
if command -v arptables >/dev/null 2>&1; then arptables -n -L 2>/dev/null; fi
echo end
"""


def facts(files: Iterable[str]) -> tuple[Fact, ...]:
    """Return the questions; `files` are those whose contents are asked for."""
    return (
        Fact("links", Command(("ip", "-d", "-j", "address", "show"))),
        Fact("routes4", _ip(4, "-d -j route show table all")),
        Fact("routes6", _ip(6, "-d -j route show table all")),
        Fact("rules4", _ip(4, "-j rule show")),
        Fact("rules6", _ip(6, "-j rule show")),
        Fact("proxies4", _ip(4, "-j neighbour show proxy")),
        Fact("proxies6", _ip(6, "-j neighbour show proxy")),
        Fact("values", Command.sh(_VALUES)),
        Fact("tools", Command.sh(_TOOLS)),
        Fact("managers", Command.sh(_PROBE)),
        Fact("settings", Command.sh(_SETTINGS)),
        Fact("files", Command.sh(_contents(files))),
        Fact("filters", Command.sh(_FILTERS)),
    )


def _ip(version: int, words: str) -> Command:
    if version == 4:
        return Command(("ip", "-4", *words.split()))
    return Command.sh(f"if [ -d /proc/sys/net/ipv6 ]; then ip -6 {words}; else echo '[]'; fi")


def _contents(files: Iterable[str]) -> str:
    return f"""\
for file in {" ".join(files)}; do
    if [ -e "$file" ]; then echo "$file $(base64 < "$file" | tr -d '\\n')."; else echo "$file -"; fi
done
echo end
"""
