"""What to examine, from the configuration file or from the command line."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from shunt.errors import UsageError
from shunt.model.config import Forward, Protocol
from shunt.verify.subject import Application, Cluster, Examined, Port, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shunt.model.addresses import Address, Mac
    from shunt.model.config import Config, Service

_HTTP_PORTS, _HTTPS_PORTS = (80, 8000, 8080), (443, 8443)


def from_config(
    config: Config, names: Sequence[str], *, live: bool, dispatcher: Mac | None
) -> tuple[Subject, tuple[str, ...]]:
    """Return the clusters called `names` (or of these addresses; none: all), and what is left out.

    Raises:
        UsageError: a name or address is no cluster's, or nothing is left to examine.
    """
    refuse_unknown(config, names)
    chosen: dict[tuple[str, Address], list[Service]] = {}
    wanted = {as_written(name) for name in names}
    left_out: dict[str, None] = {}
    for service in config.services:
        if wanted and not {service.cluster, str(service.address)} & wanted:
            continue
        if service.address.is_unspecified:
            left_out[f"{service.name}: a wildcard names no address to ask for"] = None
        elif service.forward is not Forward.MAC:
            reason = f"{service.forward} forwarding is not proved from the segment"
            left_out[f"{service.name}: {reason}"] = None
        else:
            if not service.port:
                why = "any port: no single one can be tried; the address itself is examined"
                left_out[f"{service.name}: {why}"] = None
            chosen.setdefault((service.cluster, service.address), []).append(service)
    if not chosen:
        known = ", ".join(dict.fromkeys(service.cluster for service in config.services)) or "none"
        raise UsageError("there is no cluster to examine", hint=f"The file has: {known}.")
    clusters = tuple(_cluster(*key, services) for key, services in chosen.items())
    servers = {
        name: Examined(
            name, config.servers[name].addresses, config.servers[name], _held(config, name)
        )
        for cluster in clusters
        for name in cluster.servers
    }
    subject = Subject(servers, clusters, live, dispatcher, _reserved(config))
    return subject, tuple(left_out)


def refuse_unknown(config: Config, names: Sequence[str]) -> None:
    """Refuse names and addresses that are no cluster's: nobody wants to leave one out by a typo.

    Raises:
        UsageError: with all of them.
    """
    known = {each for service in config.services for each in (service.cluster, service.address)}
    words = {str(each) for each in known}
    wrong = [name for name in names if name not in words and as_written(name) not in words]
    if wrong:
        clusters = dict.fromkeys(service.cluster for service in config.services)
        raise UsageError(
            f"there is no cluster {', '.join(map(repr, wrong))}",
            hint=f"The file has: {', '.join(clusters) or 'none'}.",
        )


def refuse_impossible(addresses: Sequence[Address]) -> None:
    """Refuse what cannot be one machine's address on a segment.

    Raises:
        UsageError: with the first of them.
    """
    for address in addresses:
        if address.is_unspecified or address.is_multicast or address.is_loopback:
            raise UsageError(f"{address} cannot be asked for: it is no machine's address")
        if isinstance(address, IPv6Address) and address.scope_id:
            raise UsageError(
                f"{address} names an interface", hint="Write it without %, and --from INTERFACE."
            )


def as_written(word: str) -> str:
    """Return an address as the configuration's are written; another word as it is."""
    try:
        return str(ip_address(word))
    except ValueError:
        return word


def _held(config: Config, server: str) -> frozenset[Address]:
    """Return the addresses of all services, in whatever way forwarded, of which it is a member."""
    services = (each for each in config.services if not each.address.is_unspecified)
    return frozenset(
        service.address
        for service in services
        if any(member.server == server for member in service.members)
    )


def _reserved(config: Config) -> frozenset[Address]:
    """Return every address that the file gives to somebody, whatever is examined."""
    servers = config.servers.values()
    gateways = {server.gateway for server in servers if server.gateway is not None}
    own = {address for server in servers for address in server.addresses}
    return frozenset({*config.cluster_addresses, *own, *gateways})


def from_words(
    addresses: Sequence[str],
    servers: Sequence[str],
    ports: Sequence[str],
    *,
    live: bool,
    dispatcher: Mac | None,
) -> Subject:
    """Return the subject of `shunt verify ADDRESS... --server NAME=ADDRESS --port NUMBER`.

    Raises:
        UsageError: something is no address, no port, or missing.
    """
    if not addresses or not servers:
        raise UsageError(
            "without a configuration, cluster addresses and servers must be named",
            hint="For example: shunt verify 192.0.2.10 --server a=192.0.2.21 --port 80",
        )
    examined: dict[str, Examined] = {}
    for word in servers:
        name, equals, own = word.rpartition("=")
        parsed = tuple(_address(each) for each in own.split(","))
        if equals and not name:
            raise UsageError(f"{word!r} has no name", hint="Write NAME=ADDRESS, or ADDRESS alone.")
        name = name if equals else own
        before = examined.get(name)
        examined[name] = Examined(name, (*(before.addresses if before else ()), *parsed))
    wanted = tuple(_port(word) for word in ports)
    clusters = tuple(
        Cluster(word, _address(word), tuple(examined), wanted) for word in dict.fromkeys(addresses)
    )
    return Subject(examined, clusters, live, dispatcher)


def _cluster(name: str, address: Address, services: Sequence[Service]) -> Cluster:
    members = dict.fromkeys(member.server for each in services for member in each.members)
    ports = tuple(_port_of(service) for service in services if service.port)
    return Cluster(name, address, tuple(members), ports)


def _port_of(service: Service) -> Port:
    if service.protocol is Protocol.UDP:
        return Port(service.port, Protocol.UDP)
    first = next(iter(service.advisors), None)
    return Port(service.port, Protocol.TCP, _usual(service.port), first)


def _usual(number: int) -> Application:
    if number in _HTTP_PORTS:
        return Application.HTTP
    return Application.HTTPS if number in _HTTPS_PORTS else Application.CONNECT


def _port(word: str) -> Port:
    number, _, kind = word.partition("/")
    kinds = {each.value for each in Application} | {"tcp", "udp", ""}
    if not number.isdecimal() or not 0 < int(number) < 65536 or kind not in kinds:
        raise UsageError(
            f"{word!r} is no port", hint="Write 80, 53/udp, 8080/http, 9443/https or 25/connect."
        )
    if kind == "udp":
        return Port(int(number), Protocol.UDP)
    usual = _usual(int(number))
    return Port(int(number), Protocol.TCP, Application(kind) if kind not in ("", "tcp") else usual)


def _address(word: str) -> Address:
    try:
        found = ip_address(word)
    except ValueError:
        raise UsageError(f"{word!r} is no IPv4 or IPv6 address") from None
    refuse_impossible((found,))
    return found
