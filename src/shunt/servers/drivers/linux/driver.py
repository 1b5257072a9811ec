"""The Linux driver: the order of the plan, and nothing else."""

from __future__ import annotations

from ipaddress import IPv4Address
from types import MappingProxyType
from typing import TYPE_CHECKING

from shunt.model.config import Forward, OperatingSystem
from shunt.servers.drivers.linux import (
    alias,
    choice,
    files,
    filters,
    inventory,
    kernel,
    parse,
    paths,
    persistence,
    silence,
    tunnel,
)
from shunt.servers.drivers.linux.facts import facts
from shunt.servers.drivers.linux.observed import Held, Host, Link, Managers
from shunt.servers.steps import Driver, Fact, Finding, Item, Output, Plan, Severity
from shunt.servers.wish import Silence, Wish

if TYPE_CHECKING:
    from collections.abc import Mapping


class Linux:
    """Servers that run Linux, a container or a network namespace of one."""

    system = OperatingSystem.LINUX

    def facts(self, wish: Wish) -> tuple[Fact, ...]:
        """Return the questions."""
        return (*facts(files.asked(len(wish.clusters))), kernel.question(wish))

    def observe(self, wish: Wish, outputs: Mapping[str, Output]) -> Host:  # the protocol's
        """Return what the outputs say, or raise ParseError."""
        del wish  # the outputs say it all
        return parse.host(outputs)

    def unseen(self, wish: Wish) -> Host:
        """Return a host fresh from its installer: one NIC, kernel's defaults, systemd."""
        first = Held(IPv4Address("127.0.0.1"), 8, "host")
        own = tuple(Held(a, a.max_prefixlen, "global") for a in wish.server.addresses)
        loopback = Link("lo", up=True, loopback=True, arp=True, kind="", addresses=(first,))
        name = wish.server.interface or "eth0"
        nic = Link(name, up=True, loopback=False, arp=True, kind="", addresses=own)
        values = {"ipv4/ip_forward": 0, silence.IGNORE: 0, silence.ANNOUNCE: 0}
        return Host(
            links=(loopback, nic),
            routes=(),
            rules=(),
            proxies=(),
            values=MappingProxyType(values | {"ipv4/conf/all/rp_filter": 0}),
            tools=frozenset({"nft", "systemctl"}),
            managers=Managers(systemd=True),
        )

    def inventory(self, observed: Host) -> tuple[Item, ...]:
        """Return addresses, routes of all tables, rules and settings."""
        return tuple(inventory.items(observed))

    def plan(self, observed: Host, wish: Wish) -> Plan:
        """Return what separates the host from the wish: silence before the alias, always."""
        result = Plan(findings=_no_sense(wish))
        if _is_unfit(result):
            return result
        past = (*persistence.obsolete(observed, wish), *filters.obsolete(observed, wish))
        result += Plan(obsolete=past)
        result += silence.plan(observed, wish)
        result += persistence.plan_silence(observed, wish)
        if _is_unfit(result):
            return result  # an alias that answers ARP is worse than none
        result += paths.reverse_path(observed, wish)
        if wish.forward is Forward.ENCAP:
            result += tunnel.plan(observed, wish)
        if choice.method(observed, wish) is not Silence.REDIRECT:
            result += alias.plan(observed, wish)
        result += paths.plan(observed, wish)
        result += Plan(findings=tuple(kernel.findings(observed, wish)))
        result += persistence.undone_at_boot(observed, wish)
        if _is_unfit(result):
            return result  # what is not right yet shall not come back at every boot
        return result + persistence.plan_alias(observed, wish)


def _is_unfit(plan: Plan) -> bool:
    return any(finding.severity is Severity.ERROR for finding in plan.findings)


def _no_sense(wish: Wish) -> tuple[Finding, ...]:
    own = tuple(
        Finding(
            Severity.ERROR,
            f"{address} is the server's own address",
            "a cluster address belongs to every server of the cluster, so it can be nobody's own",
            "give the cluster an address of its own",
        )
        for address in wish.clusters
        if address in wish.server.addresses
    )
    if wish.clusters or wish.bare:
        return own
    return (
        Finding(
            Severity.WARNING,
            "no service uses this server",
            "there is no cluster address that it could hold",
            "name it in a service of the configuration",
        ),
    )


DRIVER: Driver[Host] = Linux()
