"""An AIX workload partition (WPAR): everything is done on the machine that hosts it.

The loopback is one device for the host and all its partitions, so an alias in one of them shows in
all: only one partition of a host can be a server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.model.config import Forward, OperatingSystem
from shunt.servers import record
from shunt.servers.drivers.unix import parse, plan
from shunt.servers.drivers.unix.words import false_is_right, unless, when
from shunt.servers.record import Record
from shunt.servers.routes.recognise import read
from shunt.servers.routes.sight import command
from shunt.servers.routes.text import inet, inet6
from shunt.servers.steps import Command, Driver, Fact, Finding, Output, Plan, Severity, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.model.addresses import Address
    from shunt.servers.routes.rows import Listing
    from shunt.servers.routes.text import Line
    from shunt.servers.wish import Wish

_NETWORKS = "lswpar -N"
_ROUTES = "lswpar -I"
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
    """The partitions of a host: their addresses, the gateways of one, the host's route tables."""

    networks: tuple[Network, ...] = ()
    gateways: frozenset[str] = frozenset()
    listings: tuple[Listing, ...] = ()
    record: Record = field(default_factory=Record)


class AixWpar:
    """A WPAR, set up from its host."""

    system = OperatingSystem.AIX_WPAR

    def facts(self, wish: Wish) -> tuple[Fact, ...]:
        """Return the questions: addresses of all partitions, routes of the one and of the host."""
        routes = f"{_ROUTES} {wish.server.wpar} 2>/dev/null" if wish.server.wpar else "true"
        return (
            Fact("networks", Command.sh(f"{_NETWORKS}; echo end")),
            Fact("own-routes", Command.sh(f"{routes}; echo end")),
            *(Fact(f"routes{v}", Command.sh(command(self.system, v))) for v in _families(wish)),
        )

    def observe(self, wish: Wish, outputs: Mapping[str, Output]) -> Wpars:
        """Return what the outputs say, or raise ParseError."""
        networks = [n for line in parse.whole_lines(outputs, "networks") if (n := _network(line))]
        rows = [line.fields for line in parse.whole_lines(outputs, "own-routes")]
        gateways = frozenset(row[row.index("default") + 1] for row in rows if "default" in row[:-1])
        texts = [parse.text_of(outputs, f"routes{version}") for version in _families(wish)]
        return Wpars(
            tuple(networks),
            gateways,
            tuple(read(text, self.system) for text in texts),
            record.parse(outputs[record.NAME]),
        )

    def unseen(self, wish: Wish) -> Wpars:
        """Return a host whose partition has no alias and no route of its own."""
        del wish
        return Wpars()

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
            steps.append(_routing(name, gateway))
        own = [n for n in observed.networks if n.wpar == name and n.interface == "lo0"]
        steps += [_narrow(n) for n in own if n.address in wish.clusters and not n.is_host]
        right = {n.address for n in own if n.is_host}
        steps += [_alias(name, address) for address in wish.clusters if address not in right]
        return Plan(tuple(steps)) + plan.routes(
            observed.listings, wish, self.system, lambda v: command(self.system, v)
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


def _routing(name: str, gateway: Address) -> Step:
    there = f"{_ROUTES} {name} 2>/dev/null | fgrep {gateway} >/dev/null"
    return Step(
        id="wpar-routing",
        what=f"give {name} routing of its own, with {gateway} as its default gateway",
        why="replies from the cluster address must leave through the partition's gateway",
        do=(Command(("chwpar", "-i", "-I", "rtdest=default", f"rtgateway={gateway}", name)),),
        check=(Command.sh(there),),
        undo=(
            Command.sh(
                f"if {there}; then chwpar -K -I rtdest=default rtgateway={gateway} {name}; fi"
            ),
        ),
        note="chwpar keeps it over a reboot",
    )


def _undo(name: str, address: Address) -> str:
    return f"chwpar -K -N address={address} {name}"


def _held(name: str, address: Address, mask: str) -> str:
    """Return words that are true if the partition has the address under this mask."""
    return f'{_NETWORKS} {name} | awk \'$3 == "{address}" && $4 == "{mask}"\' | grep lo0 >/dev/null'


def _add(name: str, address: Address, mask: str) -> tuple[str, ...]:
    word = "netmask" if address.version == 4 else "prefixlen"
    return ("chwpar", "-N", "interface=lo0", f"address={address}", f"{word}={mask}", name)


def _narrow(network: Network) -> Step:
    name, address, mask = network.wpar, network.address, network.mask
    there = _held(name, address, mask)
    return Step(
        id=f"narrow:{address}/{mask}",
        what=f"take {address} with the mask {mask} from the loopback interface of {name}",
        why="its mask makes a route that keeps traffic for its neighbours in this host",
        do=(when(there, _undo(name, address)),),
        check=(false_is_right(there),),
        undo=(unless(there, " ".join(_add(name, address, mask))),),
    )


def _alias(name: str, address: Address) -> Step:
    mask = _HOST_MASK if address.version == 4 else "128"
    there = _held(name, address, mask)
    do = _add(name, address, mask)
    return Step(
        id=f"alias:{address}",
        what=f"add {address}/{address.max_prefixlen} to the loopback interface of {name}",
        why="the server must accept packets for the cluster address as its own",
        do=(Command(do),),
        check=(Command.sh(there),),
        undo=(Command.sh(f"if {there}; then {_undo(name, address)}; fi"),),
        note="chwpar keeps it over a reboot",
    )


DRIVER: Driver[Wpars] = AixWpar()
