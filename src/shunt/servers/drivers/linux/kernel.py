"""What the kernel says itself of packets for a cluster address and of the replies to them.

Policy rules, marks, the order of tables and reverse path filters are not modelled: `ip route get`
asks the kernel for the very lookups that it makes for a packet, in both directions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.servers.drivers.linux.commands import ip
from shunt.servers.steps import Command, Fact, Finding, Severity
from shunt.servers.wish import Silence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shunt.model.addresses import Address
    from shunt.servers.drivers.linux.observed import Host
    from shunt.servers.wish import Wish

NAME = "lookups"
# Strangers that only a default route leads to. No packet is sent.
_FAR = {4: "8.8.8.8", 6: "2001:4860:4860::8888"}
# What a source that fails the reverse path filter is answered by: EXDEV on older kernels, EINVAL on
# the one of the tests (6.18); EINVAL is also the answer of a blackhole.
_REFUSALS = frozenset({"Invalid cross-device link", "blackhole"})
_WORDS = {
    "Invalid argument": "blackhole",
    "Permission denied": "prohibited",
    "No route to host": "unreachable",
    "Network is unreachable": "unreachable",
}
_ANSWER = re.compile(
    r"(?P<status>\d+) [46] (?P<to>[\d.]+|[0-9a-f:]+) from (?P<source>[\d.]+|[0-9a-f:]+)"
    r"(?: iif (?P<device>\S+))?(?: (?P<mark>mark \S+|ipproto \w+(?: [sd]port \d+)*))?"
    r" : (?P<said>.*)"
)
_NOT_ASKED = "not asked: "
_TYPES = frozenset(
    {"local", "unreachable", "blackhole", "prohibit", "broadcast", "multicast", "throw", "anycast"}
)
_QUESTIONS = r"""
LC_ALL=C; export LC_ALL
ask() {
    version=$1; shift
    said=$(ip -$version -o route get "$@" 2>&1); status=$?
    printf '%s %s %s : %s\n' $status $version "$*" "$(printf %s "$said" | tr '\\\n' '  ')"
}
# Addresses with their devices; with `own`, only those of the segment if it is known.
addresses() { ip -$1 -o address show up scope global | awk '$2 != "lo" { print $2, $4 }'; }
segment() {
    addresses $1 | awk -v own=" $OWN " -v name="$DEVICE" '{ split($2, part, "/");
        if ($1 == name || (name == "" && index(own, " " part[1] " "))) known = known $0 "\n"
        all = all $0 "\n" } END { printf "%s", known != "" ? known : all }' | head -n 8
}
# Somebody else of every network that this host is connected to.
neighbours() {
    addresses $1 | awk '{ split($2, part, "/"); bits = part[2]; text = part[1] }
        text ~ /:/ && bits <= 124 {
            last = substr(text, length(text)); rest = substr(text, 1, length(text) - 1)
            print (last == ":") ? text "1" : rest ((last == "1") ? "2" : "1") }
        text !~ /:/ && bits <= 30 {
            split(text, b, "."); value = ((b[1] * 256 + b[2]) * 256 + b[3]) * 256 + b[4]
            size = 2 ^ (32 - bits); top = int(value / size) * size + size - 1
            value += (value + 1 < top) ? 1 : -1
            print int(value / 16777216) "." int(value / 65536) % 256 "." \
                int(value / 256) % 256 "." value % 256 }' | sort -u | head -n 16
}
lookups() {
    version=$1; far=$2; clusters=$3
    ip -$version route show table all | grep -q '^default' || far=
    # Whatever rules go by besides addresses, one question a line; of a range of ports the first.
    hows=$(ip -$version rule show | awk -v flows="$FLOWS" '
        { how = by = ""; proto = "tcp"
          for (i = 1; i < NF; i++) {
              if ($i == "fwmark") { split($(i + 1), part, "/"); print "mark " part[1] }
              if ($i == "ipproto") { proto = $(i + 1); by = "any" }
              if ($i == "sport" || $i == "dport") {
                  split($(i + 1), part, "-"); how = how " " $i " " part[1]; by = "port" } }
          if (by != "" && proto ~ /^(tcp|udp)$/) { print "ipproto " proto how; selecting = 1 } }
        END { n = split(flows, flow, " ")
              for (i = 1; selecting && i <= n; i++) { split(flow[i], part, "/")
                  print "ipproto " part[1] " sport " part[2]
                  print "ipproto " part[1] " dport " part[2] } }' | sort -u)
    left=$(printf '%s\n' "$hows" | tail -n +65 | wc -l)
    hows=$(printf '%s\n' "$hows" | head -n 64)
    clients="$far $(neighbours $version)"
    segment $version | while read device own; do
        for client in $clients; do
            if [ $version = 4 ]; then ask 4 ${own%/*} from $client iif $device; fi
        done
        for cluster in $clusters; do
            for client in ${far:-$clients}; do
                ask $version $cluster from $client iif $device
            done
            [ -z "$hows" ] || printf '%s\n' "$hows" | while read -r how; do
                ask $version $cluster from ${far:-${clients%%[[:space:]]*}} iif $device $how
            done
        done
    done
    for cluster in $clusters; do
        for client in $clients; do ask $version $client from $cluster; done
        to=${far:-${clients%%[[:space:]]*}}
        [ -z "$hows$to" ] || [ -z "$hows" ] || printf '%s\n' "$hows" |
            while read -r how; do ask $version $to from $cluster $how; done
        [ $left = 0 ] || echo "1 $version ${to:-$cluster} from $cluster : not asked: $left"
    done
}
"""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question to the kernel and its answer.

    Attributes:
        to, source: The packet's addresses.
        device: Where it comes in; None: this host sends it.
        mark: Its mark, or its protocol and ports, in words of `ip route get`; None: not given.
        verdict: The type of the route found (`unicast`, `local`), or why there is none, in words.
        out: The device that it leaves by, if one.
    """

    to: Address
    source: Address
    device: str | None
    mark: str | None
    verdict: str
    out: str | None = None

    @property
    def words(self) -> str:
        """Return the command that asks this."""
        by = f" iif {self.device}" if self.device else ""
        mark = f" {self.mark}" if self.mark else ""
        return f"{ip(self.to)} route get {self.to} from {self.source}{by}{mark}"


def question(wish: Wish) -> Fact:
    """Return the question for every lookup; `parse` reads the answers."""
    own = " ".join(str(address) for address in wish.server.addresses)
    flows = " ".join(f"{protocol}/{port}" for protocol, port in sorted(wish.flows))
    lines = [f"FLOWS='{flows}'", f"OWN='{own}'", f"DEVICE='{wish.server.interface or ''}'"]
    for version in (4, 6):
        named = " ".join(str(a) for a in wish.clusters if a.version == version)
        if named or (version == 4 and wish.clusters):
            lines.append(f"lookups {version} {_FAR[version]} '{named}'")
    return Fact(NAME, Command.sh("\n".join([_QUESTIONS, *lines, "echo end"])))


def parse(lines: Iterable[str]) -> tuple[Lookup, ...]:
    """Return the answers.

    Raises:
        ParseError: One is not understood.
    """
    return tuple(_lookup(line) for line in lines)


def _lookup(line: str) -> Lookup:
    found = _ANSWER.fullmatch(line.strip())
    if found is None:
        raise ParseError(f"the kernel's answer to a lookup is not understood: {line!r}")
    to, source = ip_address(found["to"]), ip_address(found["source"])
    words = found["said"].split()
    if found["status"] != "0":
        said = found["said"].rpartition("answers: ")[2].strip()
        return Lookup(to, source, found["device"], found["mark"], _WORDS.get(said, said))
    verdict = words[0] if words and words[0] in _TYPES else "unicast"
    out = words[words.index("dev") + 1] if "dev" in words[:-1] else None
    return Lookup(to, source, found["device"], found["mark"], verdict, out)


def filtering(host: Host) -> frozenset[str]:
    """Return the interfaces on which the reverse path filter drops some of the clients' packets."""
    return frozenset(device for device, source in _filtered(host) if _may_come(host, source))


def _filtered(host: Host) -> set[tuple[str, Address]]:
    """Return (interface, source) of what is refused though it is for an own address of the host.

    Such an address is never elsewhere, so it is the source that is refused.
    """
    own = {held.address for link in host.links if not link.silent for held in link.addresses}
    return {
        (one.device, one.source)
        for one in host.lookups
        if one.device and one.to in own and one.verdict in _REFUSALS
    }


def _may_come(host: Host, source: Address) -> bool:
    """Whether a client may have such an address: not one behind a bridge with no port outside."""
    for link in host.links:
        if link.kind == "bridge" and any(source in held.network for held in link.addresses):
            ports = [port.kind for port in host.links if port.master == link.name]
            return not all(kind in {"veth", "tun"} for kind in ports)
    return True


def findings(host: Host, wish: Wish) -> Iterator[Finding]:
    """Yield where packets for an address that is held do not arrive, or replies do not leave.

    One finding for each address, direction and answer: the clients that it was asked for are many.
    """
    if wish.silence is Silence.REDIRECT:
        return
    filtered = _filtered(host)
    seen: set[object] = set()
    for one in host.lookups:
        inward = one.device is not None
        cluster = one.to if inward else one.source
        held = any(link.silent and h.host for link, h in host.holders(cluster))
        if cluster not in wish.clusters or not held or _is_right(one, filtered):
            continue
        key = (cluster, inward, one.verdict, one.mark)
        if key not in seen:
            seen.add(key)
            if one.verdict.startswith(_NOT_ASKED):
                yield _unasked(one, cluster)
            else:
                yield _astray(one, cluster, wish) if inward else _stuck(one, cluster, wish)


def _is_right(one: Lookup, filtered: set[tuple[str, Address]]) -> bool:
    if one.device is None:
        return one.verdict == "unicast" and one.out != "lo"
    refused = (one.device, one.source) in filtered  # which `paths.reverse_path` sets right
    return one.verdict == "local" or (refused and one.verdict in _REFUSALS)


def _severity(one: Lookup, wish: Wish) -> Severity:
    """Return how bad it is: a mark or a port may be none of the services'."""
    if one.mark is None:
        return Severity.ERROR
    kind, protocol, *ports = one.mark.split()
    if kind != "ipproto":
        return Severity.WARNING
    side = "dport" if one.device else "sport"
    ours = [f"{side} {port}" for known, port in wish.flows if known == protocol]
    met = " ".join(ports) in ours or not ports
    return Severity.ERROR if met else Severity.WARNING


def _marked(one: Lookup) -> str:
    words = (one.mark or "").replace("mark ", "the mark ").replace("ipproto ", "")
    return f" with {words}" if words else ""


def _unasked(one: Lookup, cluster: Address) -> Finding:
    return Finding(
        Severity.WARNING,
        f"policy rules here go by very many marks and ports; for {cluster} not all were asked",
        f"{one.verdict.removeprefix(_NOT_ASKED)} of them may meet another answer",
        "look at `ip rule`",
    )


def _astray(one: Lookup, cluster: Address, wish: Wish) -> Finding:
    return Finding(
        _severity(one, wish),
        f"packets for {cluster} that come in by {one.device}{_marked(one)} are not taken for the"
        f" host's own: {_told(one)}",
        "a policy rule, or a table that is looked up before the table local, sends them elsewhere",
        f"look at `ip rule` (`0: from all lookup local` comes first), and ask: {one.words}",
    )


def _stuck(one: Lookup, cluster: Address, wish: Wish) -> Finding:
    return Finding(
        _severity(one, wish),
        f"replies from {cluster}{_marked(one)} do not reach {one.to}: {_told(one)}",
        "a policy rule for this source address, or a route of the table that it names",
        f"look at `ip rule` and `ip route show table all`, and ask: {one.words}",
    )


def _told(one: Lookup) -> str:
    by = f", by {one.out}" if one.out else ""
    return f"the kernel's answer is `{one.verdict}`{by}"
