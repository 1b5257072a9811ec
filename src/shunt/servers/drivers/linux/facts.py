"""What a Linux server is asked. Every command only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.drivers.linux import files
from shunt.servers.steps import Command, Fact

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEYS = (
    "ipv4/ip_forward",
    *(
        f"ipv4/conf/*/{name}"
        for name in (
            *("arp_ignore", "arp_announce", "rp_filter"),
            *("proxy_arp", "proxy_arp_pvlan", "promote_secondaries"),
        )
    ),
    "ipv6/conf/all/forwarding",
    "ipv6/conf/lo/disable_ipv6",
)
# The last mount over /proc, /proc/sys or /proc/sys/net decides. A container has them read-only, or
# (systemd-nspawn with a network of its own) the last one writable again.
_VALUES = f"""\
cd /proc/sys/net && grep -sH . {" ".join(_KEYS)}
awk '$2 ~ "^/proc(/sys(/net)?)?$" {{ split($4, option, ","); mode = option[1] }}
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
        case $file in /*)
            echo "networkd-file=$file"
            echo "networkd-text=$(base64 < "$file" | tr -d '\\n')."
            seen=' '
            for folder in /etc /run /usr/local/lib /usr/lib /lib; do
                for part in $folder/systemd/network/${file##*/}.d/*.conf; do
                    name=${part##*/}
                    case $seen in *" $name "*) continue ;; esac
                    seen="$seen$name "
                    if [ "$name" != 50-shunt.conf ] && [ -e "$part" ]
                    then echo "networkd-part=$name $(base64 < "$part" | tr -d '\\n')."; fi
                done
            done ;;
        esac
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
"""
_HEEDED = f"""\
if [ -d /run/systemd/system ] && [ -e {files.UNIT} ]; then
    if [ "$(systemctl is-enabled {files.UNIT_NAME} 2>/dev/null)" != enabled ] ||
        [ "$(systemctl is-active {files.UNIT_NAME} 2>/dev/null)" != active ]
    then echo unheeded={files.UNIT}; fi
fi
if [ -e {files.IF_UP} ] && [ ! -x {files.IF_UP} ]; then echo unheeded={files.IF_UP}; fi
if [ -e {files.PROFILE} ] && [ -n "$(find {files.PROFILE} '(' -perm /077 -o ! -user 0 ')')" ]
then echo unheeded={files.PROFILE}; fi
echo end
"""
# The lines that matter: of these keys, or with a pattern at the end of the key.
_LINE = (
    r"^[[:space:]]*-?[[:space:]]*net[./]([^=]*[./])?"
    r"(arp_ignore|arp_announce|rp_filter|[^./=]*[*?[][^./=]*)[[:space:]]*(=|$)"
)
# A file hides those of its name in the directories after its own, also if it is empty or a device.
_SETTINGS = f"""\
told() {{
    if [ -f "$1" ]; then
        grep -HE '{_LINE}' "$1"
        if [ $? -gt 1 ]; then exit 1; fi
    fi
}}
seen=' '
for folder in /etc /run /usr/local/lib /usr/lib /lib; do
    for file in $folder/sysctl.d/*.conf; do
        name=${{file##*/}}
        case $seen in *" $name "*) continue ;; esac
        if [ -e "$file" ]; then seen="$seen$name "; told "$file"; fi
    done
done
told /etc/sysctl.conf
echo end
"""
_FILTERS = """\
if command -v nft >/dev/null 2>&1; then
    for table in 'arp shunt' 'inet shunt_redirect'; do nft list table $table 2>/dev/null; done
fi
if command -v arptables >/dev/null 2>&1; then arptables -n -L 2>/dev/null; fi
echo end
"""


def facts(paths: Iterable[str]) -> tuple[Fact, ...]:
    """Return the questions; `paths` are the files whose contents are asked for."""
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
        Fact("managers", Command.sh(_PROBE + _HEEDED)),
        Fact("settings", Command.sh(_SETTINGS)),
        Fact("files", Command.sh(_contents(paths))),
        Fact("filters", Command.sh(_FILTERS)),
    )


def _ip(version: int, words: str) -> Command:
    if version == 4:
        return Command(("ip", "-4", *words.split()))
    return Command.sh(f"if [ -d /proc/sys/net/ipv6 ]; then ip -6 {words}; else echo '[]'; fi")


def _contents(paths: Iterable[str]) -> str:
    return f"""\
for file in {" ".join(paths)}; do
    if [ -e "$file" ]; then echo "$file $(base64 < "$file" | tr -d '\\n')."; else echo "$file -"; fi
done
echo end
"""
