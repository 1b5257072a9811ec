"""Windows Server 2012 to 2025: the KM-TEST loopback adapter and weak hosts, by PowerShell.

Every question is answered in JSON, so that no text in the system's language is read. Server 2008
and 2008 R2 lack the modules that answer, and there are none for these: they are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.config import Forward, OperatingSystem
from shunt.servers import record
from shunt.servers.drivers import default_route
from shunt.servers.drivers import windows_facts as ask
from shunt.servers.drivers import windows_steps as step
from shunt.servers.powershell import quoted
from shunt.servers.routes.delete import deletion
from shunt.servers.routes.rule import Surroundings, extra_routes
from shunt.servers.steps import Command, Driver, Fact, Finding, Item, Output, Plan, Severity, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shunt.servers.drivers.windows_facts import Adapter, Host
    from shunt.servers.wish import Wish

ADAPTER = "dsr"
_RELEASES = Finding(
    Severity.NOTE,
    "this is for Windows Server 2012 and later",
    "2008 and 2008 R2 lack the network modules of PowerShell",
    "set these up with netsh, by hand: docs/servers/windows.md",
)


class Windows:
    """Windows with PowerShell's network modules, which came with Server 2012."""

    system = OperatingSystem.WINDOWS

    def facts(self, wish: Wish) -> tuple[Fact, ...]:
        """Return the questions."""
        del wish
        return ask.FACTS

    def observe(self, wish: Wish, outputs: Mapping[str, Output]) -> Host:
        """Return what the outputs say, or raise ParseError."""
        del wish
        return ask.observe(outputs, record.parse(outputs[record.NAME]))

    def unseen(self, wish: Wish) -> Host:
        """Return a host as delivered, with one network card."""
        return ask.delivered(wish.server.interface or "Ethernet")

    def inventory(self, observed: Host) -> tuple[Item, ...]:
        """Return addresses and networks; those of the adapter that Shunt added go with it."""
        return (*_addresses(observed), *_networks(observed))

    def plan(self, observed: Host, wish: Wish) -> Plan:
        """Return adapter, weak hosts, alias, firewall, extra routes, in this order."""
        result = Plan(findings=_unfit(observed, wish))
        if not wish.clusters or any(f.severity is Severity.ERROR for f in result.findings):
            return result
        if not observed.seen:
            result += Plan(findings=(_RELEASES,))
        loopback = observed.loopback_of(wish.clusters)
        name = loopback.name if loopback else ADAPTER
        if loopback is None:
            result += Plan((step.adapter(ADAPTER),))
        for version in sorted({address.version for address in wish.clusters}):
            result += _weak(observed, version, name, wish)
        for address in wish.clusters:
            index = loopback.index if loopback else None
            held = [a for a in observed.addresses if a.address == address and a.index == index]
            result += Plan(step.alias(name, address, held))
        result += _quiet(observed, name, new=loopback is None)
        return result + _routes(observed, wish)


def _unfit(host: Host, wish: Wish) -> tuple[Finding, ...]:
    found: list[Finding] = []
    if wish.forward is Forward.ENCAP:
        found.append(
            Finding(
                Severity.ERROR,
                "Shunt does not set up tunnels on Windows",
                "without the other end of the tunnel the server drops what the dispatcher sends",
                "use the forwarding method mac, or a Linux server",
            )
        )
    loopbacks = {adapter.index for adapter in host.adapters if adapter.silent}
    for held in host.addresses:
        where = host.name_of(held.index)
        if held.address in wish.clusters and held.index not in loopbacks:
            found.append(
                Finding(
                    Severity.ERROR,
                    f"{held.address} is on {where}, which answers ARP for it",
                    "clients and routers then send to this server instead of the dispatcher",
                    step.remove_words(where, held.address),
                )
            )
        if held.address in wish.bare and f"alias:{held.address}" not in host.record.ids:
            found.append(
                Finding(
                    Severity.ERROR,
                    f"{held.address} is held by {where}, but its service is of kind nat",
                    "the server would reply from an address to which its client never spoke",
                    step.remove_words(where, held.address),
                )
            )
    return tuple(found)


def _network_card(host: Host, wish: Wish) -> Adapter | None:
    """Return the card of the segment: named by the operator, or holding an own address."""
    if wish.server.interface:
        return next((a for a in host.adapters if a.name == wish.server.interface), None)
    own = {held.index for held in host.addresses if held.address in wish.server.addresses}
    cards = [a for a in host.adapters if not a.silent]
    return next((a for a in cards if a.index in own), cards[0] if len(cards) == 1 else None)


def _weak(host: Host, version: int, loopback: str, wish: Wish) -> Plan:
    card = _network_card(host, wish)
    if card is None:
        finding = Finding(
            Severity.ERROR,
            "it cannot be told which network card is on the dispatcher's segment",
            "that card must accept packets for the loopback adapter's address",
            "give the server's `interface:` in the configuration, or its own address",
        )
        return Plan(findings=(finding,))
    steps: list[Step] = []
    for name, switches in ((card.name, ("Receive",)), (loopback, ("Receive", "Send"))):
        for switch in switches:
            before = host.weak.get((name, version, switch), False)
            if not before:
                steps.append(step.weak_host(name, version, switch))
    others = tuple(
        Finding(
            Severity.WARNING,
            f"{name} accepts packets for other adapters' addresses (IPv{version})",
            "neither the dispatcher's segment nor the loopback is behind it: nobody needs that",
            f"Set-NetIPInterface -InterfaceAlias {quoted(name)} -AddressFamily IPv{version}"
            " -WeakHostReceive Disabled",
        )
        for (name, family, switch), on in sorted(host.weak.items())
        if on and family == version and switch == "Receive" and name not in {card.name, loopback}
    )
    return Plan(tuple(steps), others)


def _quiet(host: Host, name: str, *, new: bool) -> Plan:
    """Return what keeps the adapter out of DNS, and the firewall's profile from closing it."""
    steps: list[Step] = []
    if host.registers.get(name, True):
        steps.append(step.no_dns(name))
    category = host.categories.get(name)
    if category == "Public" or new:
        steps.append(step.private(name))
    found: tuple[Finding, ...] = ()
    if category is None and not new:
        found = (
            Finding(
                Severity.NOTE,
                f"{name} has no firewall profile yet",
                "Windows takes a network without a gateway for a public one",
                "see that the rules of the service hold for the profile Public too",
            ),
        )
    return Plan(tuple(steps), found)


def _of_adapter(host: Host, index: int | str) -> frozenset[str]:
    own = any(str(a.index) == str(index) and a.name == ADAPTER for a in host.adapters)
    return frozenset(("adapter",)) if own else frozenset()


def _addresses(host: Host) -> Iterator[Item]:
    for held in host.addresses:
        what = f"the address {held.address}/{held.prefix} on {host.name_of(held.index)}"
        yield Item(what, frozenset((held.address,)), _of_adapter(host, held.index))


def _networks(host: Host) -> Iterator[Item]:
    for route in host.routes.routes if host.routes else ():
        if not route.is_host:
            hop = route.gateway or "on-link"
            yield Item(
                f"the route to {route.network} by {hop} on interface {route.interface}",
                frozenset((route.gateway,)) if route.gateway else frozenset(),
                _of_adapter(host, route.interface),
            )


def _routes(host: Host, wish: Wish) -> Plan:
    gateway = (wish.server.gateway,) if wish.server.gateway else ()
    around = Surroundings(wish.server.addresses, gateway, wish.dispatchers)
    if host.routes is None:
        return Plan()
    steps: list[Step] = []
    found: list[Finding] = []
    for extra in extra_routes(host.routes, wish.clusters, around):
        if default_route.is_alone(host.routes, extra.route, extra.cluster):
            found.append(default_route.finding(extra.cluster, "New-NetRoute ... -NextHop ROUTER"))
            continue
        network, index = str(extra.route.network), extra.route.interface
        covered = ", ".join(f"{what} {address}" for what, address in extra.covers)
        hop = extra.route.gateway or ("0.0.0.0" if extra.cluster.version == 4 else "::")  # noqa: S104 - a next hop
        there = (
            f"Get-NetRoute -DestinationPrefix {network} -InterfaceIndex {index} -NextHop {hop}"
            " -ErrorAction Ignore"
        )
        how = deletion(OperatingSystem.WINDOWS, extra.route, extra.cluster)
        steps.append(
            Step(
                id=f"route:{network}@{index}",
                what=f"delete the extra route to {network}",
                why=f"{extra.rule}; it covers {covered or 'addresses that the server must reach'}",
                do=(
                    Command.powershell(
                        f"{there} | Remove-NetRoute -Confirm:$false -ErrorAction Ignore"
                    ),
                ),
                check=(Command.powershell(f"-not ({there})"),),
                undo=(
                    Command.powershell(
                        f"if (-not ({there})) {{ New-NetRoute -DestinationPrefix {network}"
                        f" -InterfaceIndex {index} -NextHop {hop} | Out-Null }}"
                    ),
                ),
                note=how.note,
            )
        )
    return Plan(tuple(steps), tuple(found))


DRIVER: Driver[Host] = Windows()
