"""An AIX workload partition (WPAR): everything is done on the machine that hosts it.

The loopback is one device for the host and all its partitions, so an alias in one of them shows in
all: only one partition of a host can be a server.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.model.config import Forward, OperatingSystem
from shunt.servers import record
from shunt.servers.drivers.unix import parse, plan
from shunt.servers.drivers.unix.words import false_is_right, unless, when
from shunt.servers.record import Record
from shunt.servers.routes.recognise import read
from shunt.servers.routes.sight import command
from shunt.servers.routes.text import inet, inet6
from shunt.servers.steps import Command, Driver, Fact, Finding, Item, Output, Plan, Severity, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.model.addresses import Address
    from shunt.servers.routes.rows import Listing
    from shunt.servers.routes.text import Line
    from shunt.servers.wish import Wish

_NETWORKS = "lswpar -N"
_ROUTES = "lswpar -I"
_GENERAL = "LC_ALL=C lswpar -G"
_OWN_ROUTING = "WPAR-Specific Routing"  # a line of lswpar -G: yes or no
_HOST_MASK = "255.255.255.255"


@dataclass(frozen=True, slots=True)
class Network:
    """An address that a partition has, with its mask or prefix length as it is listed."""

    wpar: str
    interface: str
    address: Address
    mask: str

    @property
    def is_host(self) -> bool:
        """Tell whether the mask leaves no other address."""
        return self.mask in {_HOST_MASK, str(self.address.max_prefixlen)}


@dataclass(frozen=True, slots=True)
class Wpars:
    """The partitions of a host: their addresses, the gateways of one, the host's route tables.

    `routing` says whether that one has a route table of its own; None: nobody has looked.
    """

    networks: tuple[Network, ...] = ()
    routing: bool | None = None
    gateways: frozenset[str] = frozenset()
    listings: tuple[Listing, ...] = ()
    record: Record = field(default_factory=Record)


class AixWpar:
    """A WPAR, set up from its host."""

    system = OperatingSystem.AIX_WPAR

    def facts(self, wish: Wish) -> tuple[Fact, ...]:
        """Return the questions: addresses of all partitions, routes of the one and of the host."""
        name = shlex.quote(wish.server.wpar) if wish.server.wpar else None
        of_one = (
            Fact("general", Command.sh(f"{_GENERAL} {name} && echo end")),
            Fact("own-routes", Command.sh(f"{_ROUTES} {name}; echo status=$?; echo end")),
        )
        return (
            Fact("networks", Command.sh(f"{_NETWORKS} && echo end")),
            *(of_one if name else ()),
            *(Fact(f"routes{v}", Command.sh(command(self.system, v))) for v in _families(wish)),
        )

    def observe(self, wish: Wish, outputs: Mapping[str, Output]) -> Wpars:
        """Return what the outputs say, or raise ParseError."""
        networks = [n for line in parse.whole_lines(outputs, "networks") if (n := _network(line))]
        routing, gateways = None, frozenset[str]()
        if wish.server.wpar:
            routing = _has_routing(outputs)
            gateways = _gateways(outputs, routing=routing)
        texts = [parse.text_of(outputs, f"routes{version}") for version in _families(wish)]
        return Wpars(
            tuple(networks),
            routing,
            gateways,
            tuple(read(text, self.system) for text in texts),
            record.parse(outputs[record.NAME]),
        )

    def unseen(self, wish: Wish) -> Wpars:
        """Return a host whose partition has no alias and no route of its own."""
        del wish
        return Wpars()

    def inventory(self, observed: Wpars) -> tuple[Item, ...]:
        """Return the addresses of all partitions, and the networks of the host's route tables."""
        held = (
            Item(f"the address {n.address} of {n.wpar} on {n.interface}", frozenset((n.address,)))
            for n in observed.networks
        )
        return (*held, *plan.networks(observed.listings))

    def plan(self, observed: Wpars, wish: Wish) -> Plan:
        """Return routing of its own, then the aliases, for one partition of the host."""
        found = _unfit(observed, wish)
        if found or not wish.clusters:
            return Plan(findings=found)
        name, gateway = wish.server.wpar, wish.server.gateway
        assert name is not None
        assert gateway is not None
        steps = []
        if str(gateway) not in observed.gateways:
            steps.append(_routing(name, gateway, observed))
        own = [n for n in observed.networks if n.wpar == name and n.interface == "lo0"]
        steps += [_narrow(n) for n in own if n.address in wish.clusters and not n.is_host]
        right = {n.address for n in own if n.is_host}
        steps += [_alias(name, address) for address in wish.clusters if address not in right]
        return Plan(tuple(steps)) + plan.routes(
            observed.listings,
            wish,
            self.system,
            lambda v: command(self.system, v),
            "ifconfig -a",
        )


def _families(wish: Wish) -> list[int]:
    return sorted({address.version for address in wish.clusters})


def _network(line: Line) -> Network | None:
    fields = line.fields
    if fields[0].lower() in {"name", "#name"} or set(line.text.strip()) == {"-"}:
        return None
    if len(fields) == 1:
        return None  # a partition without an address
    address = (inet(fields[2]) or inet6(fields[2])) if len(fields) >= 4 else None
    if address is None:
        line.refuse("lswpar -N shows a partition that is not understood")
    return Network(fields[0], fields[1], address, fields[3])


def _has_routing(outputs: Mapping[str, Output]) -> bool:
    for line in parse.whole_lines(outputs, "general"):
        key, _, value = line.text.partition(":")
        if key.strip() == _OWN_ROUTING and value.strip() in {"yes", "no"}:
            return value.strip() == "yes"
    raise ParseError(
        f"lswpar -G does not say {_OWN_ROUTING!r}",
        hint="run it on the hosting machine and look at what it prints",
    )


def _gateways(outputs: Mapping[str, Output], *, routing: bool) -> frozenset[str]:
    """Return the gateways of the default routes; what `lswpar -I` says without any is not known."""
    lines = parse.whole_lines(outputs, "own-routes")
    if not routing:
        return frozenset()
    if not lines or lines[-1].text.strip() != "status=0":
        raise ParseError(
            "lswpar -I could not list the routes of a partition that has some",
            hint="run it on the hosting machine and look at what it prints",
        )
    rows = [line.fields for line in lines[:-1]]
    return frozenset(row[row.index("default") + 1] for row in rows if "default" in row[:-1])


def _unfit(observed: Wpars, wish: Wish) -> tuple[Finding, ...]:
    found: list[Finding] = []
    name = wish.server.wpar
    if name is None:
        found.append(_missing("wpar", "the name of the partition, as lswpar shows it"))
    if wish.server.gateway is None:
        found.append(_missing("gateway", "the default gateway that the partition shall use"))
    if wish.forward is Forward.ENCAP:
        found.append(
            Finding(
                Severity.ERROR,
                "a partition cannot be the end of a tunnel",
                "without it the server drops what the dispatcher sends",
                "use the forwarding method mac",
            )
        )
    others = [
        n for n in observed.networks
        if n.wpar != name and n.interface == "lo0" and not n.address.is_loopback
    ]  # fmt: skip
    if wish.clusters and others:
        found += [_second(other) for other in others]
    found += [_on_the_wire(n) for n in observed.networks if n.address in wish.clusters
              and n.interface != "lo0"]  # fmt: skip
    found += [
        Finding(
            Severity.ERROR,
            f"{n.address} is held by lo0 of {n.wpar}, but its service is of kind nat",
            plan.NO_ALIAS_FOR_NAT,
            _undo(n.wpar, n.address),
        )
        for n in observed.networks
        if n.address in wish.bare and f"alias:{n.address}" not in observed.record.ids
    ]
    return tuple(found)


def _missing(key: str, what: str) -> Finding:
    return Finding(
        Severity.ERROR,
        f"the configuration does not say this server's {key}",
        f"the commands on the hosting machine need {what}",
        f"add `{key}:` to the server",
    )


def _second(other: Network) -> Finding:
    return Finding(
        Severity.ERROR,
        f"the partition {other.wpar} on this machine already has {other.address} on the loopback",
        "only one WPAR of an AIX system can be a server: the loopback is one device shared by the"
        " global environment and all partitions, so an alias of one is visible to all of them, and"
        " only one of them can listen on it",
        f"use one WPAR of a machine; take {other.wpar} out: {_undo(other.wpar, other.address)}",
    )


def _on_the_wire(network: Network) -> Finding:
    return Finding(
        Severity.ERROR,
        f"{network.address} is on {network.interface} of {network.wpar}, which answers ARP for it",
        "clients and routers then send to this server instead of the dispatcher",
        _undo(network.wpar, network.address),
    )


def only(name: str) -> Step:
    """Return the step that refuses a second partition, for scripts: nobody has looked before."""
    program = '$2 == "lo0" && $1 != name && $3 !~ /^127[.]/ && $3 != "::1" { f = 1 } END { exit f }'
    alone = f"{_NETWORKS} >/dev/null && {_NETWORKS} | awk '{program}' {_named(name)}"
    return Step(
        id="only-wpar",
        what=f"make sure that no partition but {name} has an address on the loopback",
        why="the loopback is one device shared by all partitions: only one of them can be a server",
        do=(
            Command.sh(
                f"{alone} || {{ echo 'see lswpar -N: another partition has an address on lo0, or"
                " it cannot be told' >&2; false; }"
            ),
        ),
        check=(Command.sh(alone),),
        undo=(),
    )


def _named(name: str) -> str:
    return shlex.quote(f"name={name}")


def _routing(name: str, gateway: Address, observed: Wpars) -> Step:
    wpar = shlex.quote(name)
    each = f'{{ if (last == "default" && $i == "{gateway}") f = 1; last = $i }}'
    words = f'{{ last = ""; for (i = 1; i <= NF; i++) {each} }}'
    there = f"{_ROUTES} {wpar} | awk '{words} END {{ exit 1 - f }}'"
    asked = f"{_GENERAL} {wpar}"
    flags = "-K -I" if observed.routing else "-K -i -I"
    back = f"chwpar {flags} rtdest=default rtgateway={gateway} {wpar}"
    if observed.routing is None:
        # What other routes it has is known only then; without one, its own table is of no use.
        rows = "$1 == name && NF > 2 { f = 1 } END { exit f }"
        last = f"{_ROUTES} {wpar} | awk '{rows}' {_named(name)}"
        back = f"{back.replace(' -i', '')} && if {last}; then chwpar -K -i {wpar}; fi"
    return Step(
        id="wpar-routing",
        what=f"give {name} routing of its own, with {gateway} as its default gateway",
        why="replies from the cluster address must leave through the partition's gateway",
        do=(Command(("chwpar", "-i", "-I", "rtdest=default", f"rtgateway={gateway}", name)),),
        check=(Command.sh(there),),
        undo=(when(there, back, asked=asked),),
        note="chwpar keeps it over a reboot",
    )


def _undo(name: str, address: Address) -> str:
    return f"chwpar -K -N address={address} {shlex.quote(name)}"


def _held(name: str, address: Address, mask: str) -> str:
    """Return words that are true if the partition has the address under this mask."""
    row = f'$2 == "lo0" && $3 == "{address}" && $4 == "{mask}" {{ f = 1 }} END {{ exit 1 - f }}'
    return f"{_NETWORKS} {shlex.quote(name)} | awk '{row}'"


def _add(name: str, address: Address, mask: str) -> tuple[str, ...]:
    word = "netmask" if address.version == 4 else "prefixlen"
    return ("chwpar", "-N", "interface=lo0", f"address={address}", f"{word}={mask}", name)


def _narrow(network: Network) -> Step:
    name, address, mask = network.wpar, network.address, network.mask
    there, asked = _held(name, address, mask), f"{_NETWORKS} {shlex.quote(name)}"
    return Step(
        id=f"narrow:{address}/{mask}",
        what=f"take {address} with the mask {mask} from the loopback interface of {name}",
        why="its mask makes a route that keeps traffic for its neighbours in this host",
        do=(when(there, _undo(name, address), asked=asked),),
        check=(false_is_right(there, asked=asked),),
        undo=(unless(there, shlex.join(_add(name, address, mask)), asked=asked),),
    )


def narrow_any(name: str, address: Address) -> Step:
    """Return the step that takes the address away if its mask is wide, for scripts."""
    mask, asked = _host_mask(address), f"{_NETWORKS} {shlex.quote(name)}"
    row = f'$2 == "lo0" && $3 == "{address}" && $4 != "{mask}" {{ f = 1 }} END {{ exit 1 - f }}'
    wide = f"{asked} | awk '{row}'"
    return Step(
        id=f"narrow:{address}",
        what=f"take {address} from the loopback interface of {name} if its mask is too wide",
        why="its mask makes a route that keeps traffic for its neighbours in this host",
        do=(when(wide, _undo(name, address), asked=asked),),
        check=(false_is_right(wide, asked=asked),),
        undo=(),
        note="the wide mask is not given back",
    )


def _host_mask(address: Address) -> str:
    return _HOST_MASK if address.version == 4 else "128"


def _alias(name: str, address: Address) -> Step:
    mask = _host_mask(address)
    there, asked = _held(name, address, mask), f"{_NETWORKS} {shlex.quote(name)}"
    do = _add(name, address, mask)
    return Step(
        id=f"alias:{address}",
        what=f"add {address}/{address.max_prefixlen} to the loopback interface of {name}",
        why="the server must accept packets for the cluster address as its own",
        do=(Command(do),),
        check=(Command.sh(there),),
        undo=(when(there, _undo(name, address), asked=asked),),
        note="chwpar keeps it over a reboot",
    )


DRIVER: Driver[Wpars] = AixWpar()
