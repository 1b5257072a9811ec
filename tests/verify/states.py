"""Machine states: how a server is set up, and what the wire must then show of it.

Each state has a server and cluster addresses of its own, so that one laboratory and one
examination serve all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING

from shunt.verify.findings import Cause, Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab

Expected = dict[tuple[Check, int], tuple[Verdict, Cause | None]]

PREFIX4, PREFIX6 = 23, 64


@dataclass(frozen=True)
class Place:
    """Where a state's server stands: its host, its own addresses, its cluster addresses."""

    lab: Lab
    host: Host
    number: int
    web: Callable[[Host, str], None]

    @property
    def own4(self) -> str:
        return f"198.18.0.{self.number}"

    @property
    def own6(self) -> str:
        return f"2001:db8:9::{self.number}"

    @property
    def cluster4(self) -> str:
        return f"198.18.1.{self.number}"

    @property
    def cluster6(self) -> str:
        return f"2001:db8:9::1:{self.number}"


@dataclass(frozen=True)
class State:
    """`prepare` makes it; `expected` are the verdicts that are not plainly right.

    `held` False: the host is not put on the segment by the laboratory, `prepare` does it.
    """

    name: str
    prepare: Callable[[Place], None]
    expected: Expected = field(default_factory=dict)
    ignored: frozenset[Check] = frozenset()
    held: bool = True


def wrong(cause: Cause, *checks: Check, version: int = 4) -> Expected:
    return {(check, version): (Verdict.WRONG, cause) for check in checks}


def unknown(cause: Cause, *checks: Check, version: int = 4) -> Expected:
    return {(check, version): (Verdict.UNKNOWN, cause) for check in checks}


def right(cause: Cause, *checks: Check, version: int = 4) -> Expected:
    return {(check, version): (Verdict.RIGHT, cause) for check in checks}


def speaks(cause: Cause = Cause.ANSWERS_ARP, version: int = 4) -> Expected:
    return wrong(cause, Check.SILENCE, Check.AGAIN, version=version)


def nothing_there(cause: Cause, version: int = 4) -> Expected:
    return wrong(cause, Check.PING, Check.PORT, version=version) | unknown(
        Cause.DID_NOT_ASK, Check.LEAKS, version=version
    )


def sysctl(place: Place, **values: int) -> None:
    for key, value in values.items():
        place.host.sysctl("net.ipv4.conf." + key.replace("__", "."), str(value))


def silent(place: Place) -> None:
    sysctl(place, all__arp_ignore=1, all__arp_announce=2)


def alias(place: Place, device: str = "lo", *, mask: int = 32, scope: str = "global") -> None:
    alias4(place, device, mask=mask, scope=scope)
    alias6(place)


def alias4(place: Place, device: str, *, mask: int = 32, scope: str = "global") -> None:
    place.host.ip("address", "add", f"{place.cluster4}/{mask}", "dev", device, "scope", scope)


def alias6(place: Place, device: str = "lo") -> None:
    place.host.ip("-6", "address", "add", f"{place.cluster6}/128", "dev", device, "nodad")


def web(place: Place) -> None:
    place.web(place.host, "::")


def done(place: Place) -> None:
    """Aliases on the loopback and a service on every address: all that is not ARP."""
    alias(place)
    web(place)


def nft(place: Place, text: str) -> None:
    place.host.run(["nft", "-f", "-"], input=text)


def _right(place: Place) -> None:
    silent(place)
    done(place)


def _ignore_2(place: Place) -> None:
    sysctl(place, all__arp_ignore=2, all__arp_announce=2)
    done(place)


def _scope_host(place: Place) -> None:
    sysctl(place, all__arp_ignore=3, all__arp_announce=2)
    alias(place, scope="host")
    web(place)


def _card_only(place: Place) -> None:
    sysctl(place, eth0__arp_ignore=1, eth0__arp_announce=2)
    done(place)


def _nft_silence(place: Place) -> None:
    nft(
        place,
        f"""
        table arp dsr {{
          chain in {{
            type filter hook input priority 0;
            arp operation request arp daddr ip {place.cluster4} drop
          }}
          chain out {{
            type filter hook output priority 0;
            arp saddr ip {place.cluster4} arp saddr ip set {place.own4}
          }}
        }}""",
    )
    done(place)


def _anyip(place: Place) -> None:
    silent(place)
    place.host.ip("route", "add", "local", f"{place.cluster4}/32", "dev", "lo")
    alias6(place)
    web(place)


def _defaults(place: Place) -> None:
    done(place)


def _speaking(**values: int) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        sysctl(place, all__arp_announce=2)
        done(place)
        sysctl(place, **values)

    return prepare


def _scope_host_alone(place: Place) -> None:
    sysctl(place, all__arp_announce=2)
    alias(place, scope="host")
    web(place)


def _loopback_noarp(place: Place) -> None:
    sysctl(place, all__arp_announce=2)
    place.host.ip("link", "set", "lo", "arp", "off")
    done(place)


def _other_device(place: Place) -> None:
    sysctl(place, all__arp_announce=2)
    place.host.ip("link", "add", "ifb7", "type", "ifb")
    place.host.ip("link", "set", "ifb7", "up")
    alias4(place, "ifb7")
    alias6(place)
    web(place)


def _anyip_speaking(place: Place) -> None:
    sysctl(place, all__arp_announce=2)
    place.host.ip("route", "add", "local", f"{place.cluster4}/32", "dev", "lo")
    alias6(place)
    web(place)


def _ignore_8(place: Place) -> None:
    sysctl(place, all__arp_ignore=8, all__arp_announce=2)
    done(place)


def _announce(value: int) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        sysctl(place, all__arp_ignore=1, all__arp_announce=value)
        done(place)

    return prepare


def _missing(place: Place) -> None:
    silent(place)
    web(place)


def _wide(mask: int) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        silent(place)
        alias(place, mask=mask)
        web(place)

    return prepare


def _wide_filtered(place: Place) -> None:
    place.host.ip("route", "add", "default", "via", "198.18.0.1")
    sysctl(place, all__rp_filter=1)
    _wide(PREFIX4)(place)


def _anyip_network(place: Place) -> None:
    silent(place)
    place.host.ip("route", "add", "local", f"{_network(place.cluster4, 30)}", "dev", "lo")
    alias6(place)
    web(place)


def _anyip_network6(place: Place) -> None:
    silent(place)
    alias4(place, "lo")
    place.host.ip("-6", "route", "add", "local", _network(place.cluster6, 112), "dev", "lo")
    web(place)


def _network(address: str, prefix: int) -> str:
    return str(ip_network(f"{address}/{prefix}", strict=False))


def _wide6(*, first: bool) -> Callable[[Place], None]:
    """Which of two equal routes counts is the one that was there first."""

    def prepare(place: Place) -> None:
        silent(place)
        place.host.ip("link", "set", "lo", "up")
        wide = [f"{place.cluster6}/{PREFIX6}", "dev", "lo", "nodad"]
        if first:
            place.host.ip("-6", "address", "add", *wide)
            own = [f"{place.own4}/{PREFIX4}", f"{place.own6}/{PREFIX6}"]
            place.lab.join(place.host, "lan", addresses=own)
        else:
            place.host.ip("-6", "address", "add", *wide)
        alias4(place, "lo")
        web(place)

    return prepare


def _arp_output_dropped(place: Place) -> None:
    """Only what says too much is dropped: the questions in the address's name go with it."""
    sysctl(place, all__arp_ignore=1, all__arp_announce=0)
    chain = f"type filter hook output priority 0\narp saddr ip {place.cluster4} drop\n"
    nft(place, "table arp dsr {\nchain out {\n" + chain + "}\n}\n")
    done(place)


def _ingress_silence(place: Place) -> None:
    sysctl(place, all__arp_announce=2)
    chain = "type filter hook ingress device eth0 priority 0\n"
    rule = f"arp operation request arp daddr ip {place.cluster4} drop\n"
    nft(place, "table netdev dsr {\nchain in {\n" + chain + rule + "}\n}\n")
    done(place)


def _card_noarp(place: Place) -> None:
    _right(place)
    place.host.ip("link", "set", "eth0", "arp", "off")


def _macvlan_noarp(ignore: int) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        sysctl(place, all__arp_ignore=ignore, all__arp_announce=2)
        place.host.ip("link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge")
        place.host.ip("link", "set", "mv0", "up", "arp", "off")
        alias4(place, "mv0")
        alias6(place)
        web(place)

    return prepare


def _macvlan6(place: Place) -> None:
    silent(place)
    place.host.ip("link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge")
    place.host.ip("link", "set", "mv0", "up")
    alias4(place, "lo")
    alias6(place, "mv0")
    web(place)


def _anyip_on_card(ignore: int) -> Callable[[Place], None]:
    """As the guest agent of a cloud does it."""

    def prepare(place: Place) -> None:
        sysctl(place, all__arp_ignore=ignore, all__arp_announce=2)
        route = ["local", f"{place.cluster4}/32", "dev", "eth0", "proto", "66"]
        place.host.ip("route", "add", *route)
        alias6(place)
        web(place)

    return prepare


def _redirected(place: Place) -> None:
    chain = "chain in {\ntype nat hook prerouting priority -100\n"
    nft(place, "table ip dsr {\n" + chain + f"ip daddr {place.cluster4} redirect\n" + "}\n}\n")
    alias6(place)
    web(place)


def _silent_second_card(place: Place) -> None:
    place.lab.join(place.host, "lan", interface="eth1")
    _right(place)


def _published_and_silent(place: Place) -> None:
    _right(place)
    place.host.ip("neighbour", "add", "proxy", place.cluster4, "dev", "eth0")


def _proxy_ndp_without_entry(place: Place) -> None:
    _right(place)
    place.host.sysctl("net.ipv6.conf.all.proxy_ndp", "1")


def _forwards_with_alias(place: Place) -> None:
    _right(place)
    sysctl(place, all__forwarding=1)
    place.host.sysctl("net.ipv6.conf.all.forwarding", "1")


def _on_card(place: Place) -> None:
    silent(place)
    alias4(place, "eth0")
    alias6(place, "eth0")
    web(place)


def _bound_to_own(place: Place) -> None:
    silent(place)
    alias(place)
    place.web(place.host, place.own4)
    place.web(place.host, place.own6)


def _no_service(place: Place) -> None:
    silent(place)
    alias(place)


def _firewall(rule: str) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        _right(place)
        chain = "chain in {\ntype filter hook input priority 0\n" + rule + "\n}\n"
        nft(place, "table inet fw {\n" + chain + "}\n")

    return prepare


def _reverse_path(place: Place) -> None:
    """The card of the segment is the second one; replies would leave by the first."""
    silent(place)
    place.lab.join(place.host, "back", addresses=[f"198.18.0.{place.number + 128}/{PREFIX4}"])
    own = [f"{place.own4}/{PREFIX4}", f"{place.own6}/{PREFIX6}"]
    place.lab.join(place.host, "lan", interface="eth1", addresses=own)
    sysctl(place, all__rp_filter=1)
    done(place)


def _second_card(place: Place) -> None:
    place.lab.join(place.host, "lan", interface="eth1")
    sysctl(place, eth0__arp_ignore=1, all__arp_announce=2)
    done(place)


def _macvlan(place: Place) -> None:
    silent(place)
    place.host.ip("link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge")
    place.host.ip("link", "set", "mv0", "up")
    alias4(place, "mv0")
    alias6(place)
    web(place)


def _proxy4(place: Place) -> None:
    """No alias, but a published entry: the address is said to be behind another device."""
    silent(place)
    place.host.ip("link", "add", "ifb7", "type", "ifb")
    place.host.ip("link", "set", "ifb7", "up")
    place.host.ip("route", "add", f"{place.cluster4}/32", "dev", "ifb7")
    sysctl(place, eth0__forwarding=1, ifb7__forwarding=1)
    place.host.ip("neighbour", "add", "proxy", place.cluster4, "dev", "eth0")
    alias6(place)
    web(place)


def _proxy6(place: Place) -> None:
    _right(place)
    place.host.sysctl("net.ipv6.conf.eth0.proxy_ndp", "1")
    place.host.sysctl("net.ipv6.conf.eth0.forwarding", "1")
    place.host.ip("-6", "neighbour", "add", "proxy", place.cluster6, "dev", "eth0")


def _forwards(place: Place) -> None:
    silent(place)
    sysctl(place, all__forwarding=1)
    place.host.sysctl("net.ipv6.conf.all.forwarding", "1")
    web(place)


def _stranger(place: Place) -> None:
    _right(place)
    other = place.lab.host(f"s{place.number}")
    place.lab.join(other, "lan", addresses=[f"{place.cluster4}/32", f"{place.cluster6}/128"])
    other.ip("route", "add", f"198.18.0.0/{PREFIX4}", "dev", "eth0")
    other.ip("-6", "route", "add", f"2001:db8:9::/{PREFIX6}", "dev", "eth0")


def _publisher(place: Place) -> None:
    _right(place)
    other = place.lab.host(f"s{place.number}")
    place.lab.join(other, "lan", addresses=[f"198.18.0.{place.number + 128}/{PREFIX4}"])
    other.ip("link", "add", "ifb7", "type", "ifb")
    other.ip("link", "set", "ifb7", "up")
    other.ip("route", "add", f"{place.cluster4}/32", "dev", "ifb7")
    for device in ("eth0", "ifb7"):
        other.sysctl(f"net.ipv4.conf.{device}.forwarding", "1")
    other.ip("neighbour", "add", "proxy", place.cluster4, "dev", "eth0")


def stand_in_dispatcher(place: Place) -> None:
    """Answer ARP and ND for the cluster addresses; hand every packet to the server's MAC."""
    other = place.lab.host(f"d{place.number}")
    place.lab.join(other, "lan", addresses=[f"{place.cluster4}/32", f"{place.cluster6}/128"])
    to, by = place.host.interface("eth0").mac, other.interface("eth0").mac
    hand = f"ether daddr set {to} ether saddr set {by} fwd to eth0"
    other.run(
        ["nft", "-f", "-"],
        input=f"""
        table netdev shunt {{
          chain in {{
            type filter hook ingress device eth0 priority 0;
            ip daddr {place.cluster4} {hand}
            ip6 daddr {place.cluster6} icmpv6 type != {{ nd-neighbor-solicit }} {hand}
            ip6 daddr {place.cluster6} tcp dport 80 {hand}
          }}
        }}""",
    )


def _dispatched(place: Place) -> None:
    _right(place)
    stand_in_dispatcher(place)


def _dead(place: Place) -> None:
    """Nobody there."""


def _twin(place: Place) -> None:
    """Another machine with the server's own address."""
    _right(place)
    other = place.lab.host(f"s{place.number}")
    place.lab.join(other, "lan", addresses=[f"{place.own4}/{PREFIX4}"])


def _clone(place: Place) -> None:
    """One of two servers with the same MAC."""
    own = [f"{place.own4}/{PREFIX4}", f"{place.own6}/{PREFIX6}"]
    place.lab.join(place.host, "lan", addresses=own, mac="52:54:00:00:00:c1")
    _right(place)


_FOREIGN_BOTH: Expected = {
    (Check.FOREIGN, version): (Verdict.WARNING, Cause.FORWARDS) for version in (4, 6)
}
_EVERYTHING = (Check.SILENCE, Check.PING, Check.PORT, Check.LEAKS, Check.FOREIGN, Check.AGAIN)

STATES = (
    State("right", _right),
    State("arp_ignore=2", _ignore_2),
    State("arp_ignore=3 with scope host", _scope_host),
    State("silenced on the only card", _card_only),
    State("silenced by nftables", _nft_silence),
    State("local route instead of an alias", _anyip),
    State("defaults", _defaults, speaks() | wrong(Cause.ASKS_IN_ITS_NAME, Check.LEAKS)),
    State("arp_ignore on lo only", _speaking(lo__arp_ignore=1), speaks()),
    State("arp_ignore=3 with scope global", _speaking(all__arp_ignore=3), speaks()),
    State("arp_filter", _speaking(all__arp_filter=1), speaks()),
    State("all=1 but the card=3", _speaking(all__arp_ignore=1, eth0__arp_ignore=3), speaks()),
    State("arp_ignore in default only", _speaking(default__arp_ignore=1), speaks()),
    State("scope host alone", _scope_host_alone, speaks()),
    State("lo without ARP", _loopback_noarp, speaks()),
    State("alias on a device without ARP", _other_device, speaks()),
    State("local route, speaking", _anyip_speaking, speaks()),
    State(
        "arp_ignore=8",
        _ignore_8,
        wrong(Cause.OWN_SILENT, Check.OWN) | unknown(Cause.NO_CONTROL, Check.SILENCE, Check.AGAIN),
    ),
    State("arp_announce=0", _announce(0), wrong(Cause.ASKS_IN_ITS_NAME, Check.LEAKS)),
    State("arp_announce=1", _announce(1), wrong(Cause.ASKS_IN_ITS_NAME, Check.LEAKS)),
    State(
        "alias missing",
        _missing,
        nothing_there(Cause.ALIAS_MISSING) | nothing_there(Cause.ALIAS_MISSING, version=6),
    ),
    State("alias with the segment's mask", _wide(PREFIX4), nothing_there(Cause.WIDE_ALIAS)),
    *(
        State(f"alias with the mask {mask}", _wide(mask), wrong(Cause.WIDE_ALIAS, Check.FOREIGN))
        for mask in (8, 28, 31)
    ),
    State("local route for a network", _anyip_network, wrong(Cause.WIDE_ALIAS, Check.FOREIGN)),
    State(
        "IPv6 alias that hides the segment",
        _wide6(first=True),
        wrong(Cause.WIDE_ALIAS, Check.PORT, version=6),  # Linux answers pings by where they came
        held=False,
    ),
    State("IPv6 alias with the segment's prefix", _wide6(first=False)),
    State(
        "IPv6 local route for a network",
        _anyip_network6,
        wrong(Cause.WIDE_ALIAS, Check.FOREIGN, version=6),
    ),
    State(
        "ARP questions dropped on output",
        _arp_output_dropped,
        wrong(Cause.CANNOT_ASK, Check.PING, Check.PORT) | unknown(Cause.DID_NOT_ASK, Check.LEAKS),
    ),
    State("ARP dropped at the card", _ingress_silence),
    State(
        "card without ARP",
        _card_noarp,
        wrong(Cause.OWN_SILENT, Check.OWN)
        | unknown(
            Cause.NO_CONTROL,
            *(Check.SILENCE, Check.PING, Check.PORT, Check.FOREIGN, Check.AGAIN),
        )
        | unknown(Cause.DID_NOT_ASK, Check.LEAKS)
        | nothing_there(Cause.DROPS_ALL, version=6),
    ),
    State("macvlan without ARP", _macvlan_noarp(1)),
    State("macvlan without ARP, speaking", _macvlan_noarp(0), speaks()),
    State("local route on the card", _anyip_on_card(1)),
    State("local route on the card, speaking", _anyip_on_card(0), speaks()),
    State("redirected instead of an alias", _redirected),
    State("silent second card", _silent_second_card),
    State("published and silent", _published_and_silent),
    State("proxy_ndp without an entry", _proxy_ndp_without_entry),
    State(
        "IPv6 alias on a macvlan",
        _macvlan6,
        speaks(Cause.ANSWERS_OTHER_NIC, version=6),
    ),
    State("forwards", _forwards_with_alias, _FOREIGN_BOTH),
    State(
        "alias with a wide mask, reverse-path filter",
        _wide_filtered,
        nothing_there(Cause.WIDE_ALIAS),
    ),
    State(
        "alias on the card",
        _on_card,
        speaks()
        | speaks(Cause.ANSWERS_ND, version=6)
        | wrong(Cause.ASKS_IN_ITS_NAME, Check.LEAKS, version=6),
    ),
    State(
        "service on the own address only",
        _bound_to_own,
        wrong(Cause.BOUND_ELSEWHERE, Check.PORT)
        | wrong(Cause.BOUND_ELSEWHERE, Check.PORT, version=6),
    ),
    State(
        "no service",
        _no_service,
        wrong(Cause.NOT_LISTENING, Check.PORT) | wrong(Cause.NOT_LISTENING, Check.PORT, version=6),
    ),
    State(
        "firewall drops pings",
        _firewall("icmp type echo-request drop\nicmpv6 type echo-request drop"),
        right(Cause.PING_FILTERED, Check.PING) | right(Cause.PING_FILTERED, Check.PING, version=6),
    ),
    State(
        "firewall drops the port",
        _firewall("tcp dport 80 drop"),
        wrong(Cause.PORT_FILTERED, Check.PORT) | wrong(Cause.PORT_FILTERED, Check.PORT, version=6),
    ),
    State(
        "firewall rejects the port",
        _firewall("tcp dport 80 reject"),
        wrong(Cause.PORT_REJECTED, Check.PORT) | wrong(Cause.PORT_REJECTED, Check.PORT, version=6),
    ),
    State(
        "firewall drops all packets",
        _firewall("meta nfproto ipv4 drop"),
        nothing_there(Cause.DROPS_ALL),
    ),
    State("reverse-path filter", _reverse_path, nothing_there(Cause.REVERSE_PATH), held=False),
    State(
        "second card",
        _second_card,
        speaks(Cause.ANSWERS_OTHER_NIC) | wrong(Cause.TWO_MACS, Check.OWN),
    ),
    State("macvlan", _macvlan, speaks(Cause.ANSWERS_OTHER_NIC)),
    State(
        "published ARP entry",
        _proxy4,
        speaks(Cause.PUBLISHED) | nothing_there(Cause.ALIAS_MISSING),
        ignored=frozenset({Check.FOREIGN}),  # it may or may not be asked to forward within eth0
    ),
    State(
        "published neighbour entry",
        _proxy6,
        speaks(Cause.PUBLISHED, version=6),
    ),
    State(
        "forwards without alias",
        _forwards,
        nothing_there(Cause.ALIAS_MISSING)
        | nothing_there(Cause.ALIAS_MISSING, version=6)
        | _FOREIGN_BOTH,
    ),
    State(
        "a stranger owns the address",
        _stranger,
        wrong(Cause.STRANGER, Check.OTHERS) | wrong(Cause.STRANGER, Check.OTHERS, version=6),
    ),
    State(
        "a stranger publishes the address",
        _publisher,
        wrong(Cause.STRANGER_PUBLISHES, Check.OTHERS),
    ),
    State(
        "the dispatcher runs",
        _dispatched,
        wrong(Cause.DISPATCHER_RUNS, Check.OTHERS)
        | wrong(Cause.DISPATCHER_RUNS, Check.OTHERS, version=6),
    ),
    State(
        "dead",
        _dead,
        wrong(Cause.OWN_SILENT, Check.OWN)
        | wrong(Cause.OWN_SILENT, Check.OWN, version=6)
        | unknown(Cause.NO_CONTROL, *_EVERYTHING)
        | unknown(Cause.NO_CONTROL, *_EVERYTHING, version=6),
        held=False,
    ),
    *(
        State(
            name,
            _clone,
            wrong(Cause.SAME_MAC, Check.OWN) | wrong(Cause.SAME_MAC, Check.OWN, version=6),
            ignored=frozenset(set(Check) - {Check.OWN}),  # the switch sends frames to either
            held=False,
        )
        for name in ("first with one MAC", "second with one MAC")
    ),
    State(
        "another machine has its own address",
        _twin,
        wrong(Cause.TWO_MACS, Check.OWN),
        ignored=frozenset(set(Check) - {Check.OWN}),  # frames reach either machine
    ),
)
