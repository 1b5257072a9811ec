"""From entities to the model: defaults that depend on others, and checks that span entities."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from shunt.config.kinds import Transport
from shunt.model.config import (
    Advisor,
    AdvisorsRequired,
    Config,
    Dispatcher,
    Forward,
    Manager,
    Member,
    OnDown,
    OperatingSystem,
    Protocol,
    Server,
    Service,
    Sticky,
    Track,
)
from shunt.model.via import Via

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.config.draft import ClusterDraft, Draft
    from shunt.config.places import Path
    from shunt.config.report import Report
    from shunt.config.schema import (
        AdvisorKeys,
        ClusterHead,
        DispatcherKeys,
        ManagerKeys,
        PortKeys,
        ServerKeys,
        StickyKeys,
    )
    from shunt.model.addresses import Address

STALE = 300  # seconds; the defaults of IBM's Dispatcher (staletimeout)
STALE_BY_PORT = {21: 900, 23: 259_200}  # ftp's and telnet's control connections rest for long
UDP_IDLE = 60


def check(draft: Draft, report: Report) -> None:
    """Report what is wrong between entities."""
    clusters = _cluster_addresses(draft)
    _servers(draft.servers, clusters, report)
    if draft.manager is not None:
        _proportions(_manager(draft.manager), report)
    _services(draft.clusters, report)
    for name, cluster in draft.clusters.items():
        _cross(name, cluster, report)
        _advisors_required(name, cluster, report)


def build(draft: Draft) -> Config:
    """Return the model of a draft that is right."""
    assert draft.dispatcher is not None
    return Config(
        dispatcher=_dispatcher(draft.dispatcher),
        services=tuple(
            service
            for name, cluster in draft.clusters.items()
            for service in _cluster_services(name, cluster, draft.servers)
        ),
        servers=MappingProxyType(
            {name: _server(name, keys) for name, keys in draft.servers.items()}
        ),
        manager=_manager(draft.manager) if draft.manager else Manager(),
    )


def address_paths(draft: Draft) -> dict[Address, Path]:
    """Return where each cluster address stands first."""
    paths: dict[Address, Path] = {}
    for name, cluster in draft.clusters.items():
        for index, address in enumerate(cluster.head.address if cluster.head else ()):
            paths.setdefault(address, ("clusters", name, "address", index))
    return paths


def _cluster_addresses(draft: Draft) -> dict[Address, Path]:
    return {at: path for at, path in address_paths(draft).items() if not at.is_unspecified}


def _servers(
    servers: Mapping[str, ServerKeys], clusters: Mapping[Address, Path], report: Report
) -> None:
    owners: dict[Address, tuple[str, Path]] = {}
    for name, server in servers.items():
        at: Path = ("servers", name)
        for index, address in enumerate(server.address):
            path = (*at, "address", index)
            if address in clusters:
                line = report.places.value(clusters[address]).line
                report.value(
                    path,
                    f"{address} is a cluster address (line {line}); give the server's own address",
                )
            if address in owners:
                other, place = owners[address]
                line = report.places.value(place).line
                report.value(
                    path,
                    f"{address} is the address of server `{other}` at line {line} already; "
                    "each address belongs to one server, once",
                )
            owners.setdefault(address, (name, path))
        if server.gateway is not None and server.gateway in server.address:
            report.value(
                (*at, "gateway"), f"{server.gateway} is the server itself; give its router"
            )
        _wpar(server, at, report)
    _one_wpar(servers, report)


def _proportions(manager: Manager, report: Report) -> None:
    total = manager.active + manager.new + manager.port + manager.system
    if total != 100:
        report.value(
            ("manager",), f"active, new, port and system are {total} per cent together; make it 100"
        )


def _wpar(server: ServerKeys, at: Path, report: Report) -> None:
    if server.os is OperatingSystem.AIX_WPAR and server.wpar is None:
        report.value((*at, "os"), "os aix-wpar needs the partition's name; add `wpar: NAME`")
    if server.wpar is not None and server.os is not OperatingSystem.AIX_WPAR:
        report.key((*at, "wpar"), f"`wpar` is for os aix-wpar, and this is {server.os}; drop one")


def _one_wpar(servers: Mapping[str, ServerKeys], report: Report) -> None:
    """Report partitions of one AIX system: they share one loopback, and so the alias."""
    first: dict[object, str] = {}
    for name, server in servers.items():
        if server.os is not OperatingSystem.AIX_WPAR or server.via is None:
            continue
        via = Via.parse(server.via)
        at = via.endpoint
        other = first.setdefault((at and (at.host.lower(), at.port), via.jump), name)
        if other != name:
            line = report.places.value(("servers", other)).line
            report.value(
                ("servers", name, "via"),
                f"server `{other}` at line {line} is a partition of this AIX system already; its "
                "partitions share one loopback, so only one of them can listen on the cluster "
                "address: keep one, or use another machine",
            )


def _services(clusters: Mapping[str, ClusterDraft], report: Report) -> None:
    """Report services that share address, protocol and port, with both places."""
    first: dict[tuple[Address, Protocol, int], tuple[Path, Path]] = {}
    for name, cluster in clusters.items():
        for number, address in enumerate(cluster.head.address if cluster.head else ()):
            address_path: Path = ("clusters", name, "address", number)
            for index, port in cluster.ports.items():
                port_path: Path = ("clusters", name, "ports", index, "port")
                for protocol in _protocols(port.protocol):
                    key = (address, protocol, port.port)
                    if key not in first:
                        first[key] = (address_path, port_path)
                        continue
                    other_address, other_port = first[key]
                    # The later of the two keys is at fault: an address written twice, or a port.
                    twice = other_port == port_path
                    here, there = (
                        (address_path, other_address) if twice else (port_path, other_port)
                    )
                    line, column = report.places.value(there)
                    report.value(
                        here,
                        f"{address} port {port.port or 'any'}/{protocol} is a service already "
                        f"(line {line}, column {column}); keep one of them",
                    )


def _cross(name: str, cluster: ClusterDraft, report: Report) -> None:
    """Report ports of `cross` that the cluster does not have."""
    ports = {port.port for port in cluster.ports.values()}
    places: list[tuple[Path, StickyKeys | None]] = [
        (("clusters", name, "ports", index), port.sticky) for index, port in cluster.ports.items()
    ]
    if cluster.head:
        places.append((("clusters", name), cluster.head.sticky))
    for path, sticky in places:
        for index, port in enumerate(sticky.cross if sticky else ()):
            if port not in ports:
                known = ", ".join(str(number or "any") for number in sorted(ports))
                report.value(
                    (*path, "sticky", "cross", index),
                    f"cluster `{name}` has no port {port or 'any'}; its ports are {known}",
                )


def _advisors_required(name: str, cluster: ClusterDraft, report: Report) -> None:
    """Report a rule about several advisors where there are not several."""
    for index, port in cluster.ports.items():
        if port.advisors_required is not None and len(port.advisor) < 2:
            report.key(
                ("clusters", name, "ports", index, "advisors_required"),
                "says which of several advisors count, and there are not several; leave it out",
            )


def _protocols(transport: Transport) -> tuple[Protocol, ...]:
    if transport is Transport.BOTH:
        return (Protocol.TCP, Protocol.UDP)
    return (Protocol(transport.value),)


def _dispatcher(keys: DispatcherKeys) -> Dispatcher:
    return Dispatcher(
        interfaces=tuple(dict.fromkeys(keys.interface or keys.interfaces)),
        mode=keys.mode,
        group=keys.group,
        secret=keys.secret,
        exceptions=keys.exceptions,
        exceptions_rate=keys.exceptions_rate,
        announce=keys.announce,
        hooks=keys.hooks,
    )


def _manager(keys: ManagerKeys) -> Manager:
    """Return the manager; with some proportions given, those that are not are 0."""
    given = (keys.active, keys.new, keys.port, keys.system)
    if any(part is not None for part in given):
        active, new, port, system = (part or 0 for part in given)
    else:
        usual = Manager()
        active, new, port, system = usual.active, usual.new, usual.port, usual.system
    return Manager(
        dynamic=keys.dynamic,
        active=active,
        new=new,
        port=port,
        system=system,
        interval=keys.interval,
        refresh=keys.refresh,
        sensitivity=keys.sensitivity,
        smoothing=keys.smoothing,
        weightbound=keys.weightbound,
        slow_start=keys.slow_start,
        min_servers=keys.min_servers,
    )


def _server(name: str, keys: ServerKeys) -> Server:
    return Server(
        name=name,
        addresses=keys.address,
        weight=keys.weight,
        os=keys.os,
        via=keys.via,
        wpar=keys.wpar,
        gateway=keys.gateway,
        netns=keys.netns,
        interface=keys.interface,
        metric=_advisor(keys.metric) if keys.metric else None,
        accept=tuple(dict.fromkeys(keys.accept)),
        mac=keys.mac,
    )


def _cluster_services(
    name: str, cluster: ClusterDraft, servers: Mapping[str, ServerKeys]
) -> list[Service]:
    assert cluster.head is not None
    return [
        _service(name, address, protocol, port, cluster.head, _members(port, servers))
        for address in cluster.head.address
        for port in cluster.ports.values()
        for protocol in _protocols(port.protocol)
    ]


def _members(port: PortKeys, servers: Mapping[str, ServerKeys]) -> tuple[Member, ...]:
    if isinstance(port.servers, tuple):
        return tuple(Member(name, servers[name].weight) for name in port.servers)
    return tuple(
        Member(
            name, servers[name].weight if keys.weight is None else keys.weight, keys.fixed_weight
        )
        for name, keys in port.servers.items()
    )


def _service(
    name: str,
    address: Address,
    protocol: Protocol,
    port: PortKeys,
    head: ClusterHead,
    members: tuple[Member, ...],
) -> Service:
    return Service(
        cluster=name,
        address=address,
        protocol=protocol,
        port=port.port,
        members=members,
        forward=port.forward or head.forward or Forward.MAC,
        track=port.track or head.track or Track.AUTO,
        on_down=port.on_down or head.on_down or OnDown.KEEP,
        stale=port.stale or head.stale or STALE_BY_PORT.get(port.port, STALE),
        udp_idle=port.udp_idle or head.udp_idle or UDP_IDLE,
        sticky=_sticky(port.sticky or head.sticky, port.port),
        advisors=tuple(_advisor(keys) for keys in port.advisor),
        advisors_required=port.advisors_required or AdvisorsRequired.ALL,
    )


def _sticky(keys: StickyKeys | None, port: int) -> Sticky | None:
    if keys is None or keys.time == 0:
        return None
    cross = tuple(other for other in dict.fromkeys(keys.cross) if other != port)
    return Sticky(time=keys.time, mask4=keys.mask, mask6=keys.mask6, cross=cross)


def _advisor(keys: AdvisorKeys) -> Advisor:
    settings = {key: _frozen(value) for key, value in (keys.model_extra or {}).items()}
    return Advisor(type=keys.type, settings=MappingProxyType(settings))


def _frozen(value: object) -> object:
    """Return a setting that nobody can change; nothing after a key is an empty text."""
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return "" if value is None else value
