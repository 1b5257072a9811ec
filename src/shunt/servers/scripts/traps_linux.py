"""The traps of Linux, in words of `ip`. What they take away is noted on the server and given back.

The notes are files beside the script's own, `$state`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.scripts.traps_unix import NARROW, ROUTES, refusal
from shunt.servers.steps import Command, Step

if TYPE_CHECKING:
    from shunt.model.addresses import Address

_SHOW = "ip -o address show"
# The loopback and dummies, by what they are: a card may be called `dummy0`. `-o` names `x@y` at a
# device that has a peer, which these have not.
_SILENT = (
    'BEGIN { while ((words | getline line) > 0) { split(line, part, ": "); quiet[part[2]] = 1 }'
    ' quiet["lo"] = 1 }'
)
_DUMMIES = "-v words='ip -o link show type dummy 2>/dev/null'"
# An address as `ip address add` takes it: what stands before the lifetimes that -o puts behind `\`.
_AS_ADDED = (
    'r = $4; for (i = 5; i <= NF; i++) { t = $i; sub(/\\\\.*/, "", t);'
    ' if (p == "scope" || p == "brd") r = r " " p " " t; if (t ~ /^lo:/) r = r " label " t; p = t;'
    " if ($i ~ /\\\\/) break } print r"
)
# Others of its network hang on an IPv4 address, and go with it unless they are promoted.
_PROMOTING = "p=/proc/sys/net/ipv4/conf/lo/promote_secondaries; v=`cat $p` && echo 1 > $p || exit 1"
_KIND = "/^(unreachable|blackhole|prohibit|throw|broadcast|multicast|anycast)$/"


class LinuxTraps:
    """The traps of Linux."""

    def first(self, address: Address) -> tuple[Step, ...]:
        """Return the refusal of an address on a wire."""
        row = f"{_SILENT} {_is(address)} && !($2 in quiet) {{ f = 1 }} END {{ exit f + 0 }}"
        return (refusal(address, f"{_SHOW} >/dev/null && {_SHOW} | awk {_DUMMIES} '{row}'"),)

    def before_alias(self, address: Address) -> tuple[Step, ...]:
        """Return the end of a wide IPv6 prefix: an interface holds such an address once."""
        return (_narrow(address),) if address.version == 6 else ()

    def after_alias(self, address: Address) -> tuple[Step, ...]:
        """Return the end of a wide mask beside the alias, so that the address is never missing."""
        return (_narrow(address),) if address.version == 4 else ()

    def last(self, address: Address) -> tuple[Step, ...]:
        """Return the deletion of rows that cover the address and lead into this host."""
        length = address.max_prefixlen
        listing = f"ip -{address.version} route show table all match {address}/{length}"
        rows = (
            f"$1 ~ {_KIND} {{ next }}"
            ' { d = $1; if (d == "local" || d == "unicast") d = $2; v = s = w = ""; p = "";'
            ' for (i = 1; i <= NF; i++) { if (p == "via") v = $i; if (p == "src") s = $i;'
            ' if (p == "dev") w = $i; p = $i } }'
            f' (d == "default" || d ~ /[/]/) && d !~ /[/]{length}$/ && (w == "lo" ||'
            f' v == "{address}" || v == "" && s == "{address}")'
        )
        found = f"{listing} | awk '{rows}'"
        saved = f'"$state/routes_{address}"'
        each = "while read row; do ip route {} $row || exit 1; done"
        if address.version == 6:
            each = each.replace("ip ", "ip -6 ")
        step = Step(
            id=f"routes:{address}",
            what=f"delete the extra routes that lead {address}'s neighbours into this host",
            why=ROUTES,
            do=(
                Command.sh(f"{found} | sed 's/ linkdown//; s/ dead//' > {saved}"),
                Command.sh(f"{each.format('del')} < {saved}"),
            ),
            check=(Command.sh(f'{listing} >/dev/null && test -z "`{found}`"'),),
            undo=(Command.sh(f"{each.format('add')} < {saved} && rm -f {saved}"),),
        )
        return (step,)


def _is(address: Address) -> str:
    return f'index($4, "{address}/") == 1'


def _narrow(address: Address) -> Step:
    wide = f'{_is(address)} && $4 != "{address}/{address.max_prefixlen}" && $2 == "lo"'
    saved = f'"$state/wide_{address}"'
    each = "while read row; do {} || exit 1; done"
    taken = f"{each.format('set -- $row; ip address del $1 dev lo')} < {saved}"
    if address.version == 4:
        taken = f"{_PROMOTING}; ( {taken} ); s=$?; echo $v > $p; exit $s"
    return Step(
        id=f"narrow:{address}",
        what=f"take {address} from lo where its mask is too wide",
        why=NARROW,
        do=(
            Command.sh(f"{_SHOW} | awk '{wide} {{ {_AS_ADDED} }}' > {saved}"),
            Command.sh(taken),
        ),
        check=(
            Command.sh(
                f"{_SHOW} >/dev/null && {_SHOW} | awk '{wide} {{ f = 1 }} END {{ exit f + 0 }}'"
            ),
        ),
        undo=(
            Command.sh(f"{each.format('ip address add $row dev lo')} < {saved} && rm -f {saved}"),
        ),
        note="look for the mask where the address is configured, or it will be back after a reboot",
    )
