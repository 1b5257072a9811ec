"""The keys of the file, each with its kind, its default and a sentence for editors.

pydantic applies these models, and `jsonschema` publishes them. A field that is None, or (), means
"not said": where the file has a wider place for the same key, `resolve` asks there.
"""

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from shunt.config import kinds
from shunt.config.kinds import Transport
from shunt.config.scalars import ScalarError
from shunt.model.addresses import Address, Mac
from shunt.model.config import (
    MAX_ADVISORS,
    Accepted,
    AdvisorsRequired,
    Dispatcher,
    Forward,
    Manager,
    Mode,
    OnDown,
    OperatingSystem,
    Track,
)

DEFAULTS = Dispatcher(interfaces=())
MANAGER = Manager()


def _listed(value: object) -> object:
    """Return one value as the list that it stands for."""
    return value if isinstance(value, list) else [value]


def _written(value: object) -> object:
    """Refuse a key with nothing after it; pydantic would take that for the default."""
    if value is None:
        raise ScalarError("is empty; give a mapping, or leave the key out")
    return value


def _advisors(value: object) -> object:
    """Return one advisor as the list that it stands for."""
    return _listed(_written(value))


def _member(value: object) -> object:
    """Return `a: 3`, and `a:` alone, as the mapping that they stand for."""
    if value is None:
        return {}
    return {"weight": value} if isinstance(value, str) else value


def _list_or_mapping(value: object) -> str:
    """Name the branch of a union; the angle brackets keep it apart from every key of a file."""
    return "<list>" if isinstance(value, list) else "<mapping>"


_T = TypeVar("_T")
_Some = Annotated[list[_T], Field(min_length=1)]
_Interface = Annotated[str, kinds.INTERFACE]
Interfaces = Annotated[
    tuple[_Interface, ...],
    BeforeValidator(_listed, json_schema_input_type=_Interface | _Some[_Interface]),
]
_ClusterAddress = Annotated[Address, kinds.CLUSTER_ADDRESS]
ClusterAddresses = Annotated[
    tuple[_ClusterAddress, ...],
    BeforeValidator(_listed, json_schema_input_type=_ClusterAddress | _Some[_ClusterAddress]),
]
_OwnAddress = Annotated[Address, kinds.ADDRESS]
OwnAddresses = Annotated[
    tuple[_OwnAddress, ...],
    BeforeValidator(_listed, json_schema_input_type=_OwnAddress | _Some[_OwnAddress]),
]
_Port = Annotated[int, kinds.PORT]
Ports = Annotated[
    tuple[_Port, ...],
    BeforeValidator(_listed, json_schema_input_type=_Port | list[_Port]),
]


_Accepted = Annotated[Accepted, kinds.ACCEPTED]
AcceptedStates = Annotated[
    tuple[_Accepted, ...],
    BeforeValidator(_listed, json_schema_input_type=_Accepted | list[_Accepted]),
]


class Keys(BaseModel):
    """A mapping of the file: the keys that it may have, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DispatcherKeys(Keys):
    """The machine that forwards."""

    interface: Interfaces = Field(
        (), min_length=1, description="Interface, or list of them, that requests arrive at."
    )
    interfaces: Interfaces = Field(
        (), min_length=1, description="The same as `interface`; write one of the two."
    )
    mode: Annotated[Mode, kinds.MODE] = Field(
        DEFAULTS.mode, description="How the XDP program is attached; auto: native, else generic."
    )
    group: Annotated[str | None, kinds.GROUP] = Field(
        None, description="A group that may use the control socket, besides root."
    )
    secret: Annotated[bytes | None, kinds.SECRET] = Field(
        None, description="Key of the flow hash, 32 hexadecimal digits. Left out: made and kept."
    )
    exceptions: Annotated[int, kinds.EXCEPTIONS] = Field(
        DEFAULTS.exceptions,
        description="Flows that can be remembered at once; at least 256 for each CPU.",
    )
    exceptions_rate: Annotated[int, kinds.RATE] = Field(
        DEFAULTS.exceptions_rate, description="Flows remembered anew, per second and CPU, at most."
    )
    announce: Annotated[int, kinds.SECONDS] = Field(
        DEFAULTS.announce, description="Time between announcements of the cluster addresses."
    )
    hooks: Annotated[str, kinds.HOOKS] = Field(
        DEFAULTS.hooks, description="A folder with scripts: serverDown, serverUp, and others."
    )


class ManagerKeys(Keys):
    """How counts, loads and health become weights; docs/manager.md has the formula."""

    dynamic: Annotated[bool, kinds.YES_NO] = Field(
        MANAGER.dynamic, description="Weights follow the measurements; no: they are the file's."
    )
    active: Annotated[int | None, kinds.PER_CENT] = Field(
        None, description="Proportion of active connections, per cent; default 50."
    )
    new: Annotated[int | None, kinds.PER_CENT] = Field(
        None, description="Proportion of new connections, per cent; default 50."
    )
    port: Annotated[int | None, kinds.PER_CENT] = Field(
        None, description="Proportion of the advisor's load, per cent; default 0."
    )
    system: Annotated[int | None, kinds.PER_CENT] = Field(
        None, description="Proportion of the machine's load (`metric`), per cent; default 0."
    )
    interval: Annotated[int, kinds.SECONDS] = Field(
        MANAGER.interval, description="Time between two calculations."
    )
    refresh: Annotated[int, kinds.CYCLES] = Field(
        MANAGER.refresh, description="Calculations between two readings of connection counts."
    )
    sensitivity: Annotated[int, kinds.PER_CENT] = Field(
        MANAGER.sensitivity,
        description="Changes below so many per cent of a service's total weight wait.",
    )
    smoothing: Annotated[int, kinds.SMOOTHING] = Field(
        MANAGER.smoothing, description="Changes are made in steps of one such part; default 1.5."
    )
    weightbound: Annotated[int, kinds.WEIGHTBOUND] = Field(
        MANAGER.weightbound,
        description="What the measurements may multiply one weight by against another.",
    )
    slow_start: Annotated[int, kinds.SECONDS_OR_OFF] = Field(
        MANAGER.slow_start, description="Time in which a server that came back grows to its weight."
    )
    min_servers: Annotated[int, kinds.PER_CENT] = Field(
        MANAGER.min_servers,
        description="Per cent of a service's capacity that is never taken out, failing or not.",
    )


class StickyKeys(Keys):
    """Client affinity: a client returns to the server that it had."""

    time: Annotated[int, kinds.SECONDS_OR_OFF] = Field(
        description="How long after its last request a client is remembered; 0: affinity is off."
    )
    mask: Annotated[int, kinds.PREFIX4] = Field(
        32, description="Prefix length under which IPv4 clients are one client."
    )
    mask6: Annotated[int, kinds.PREFIX6] = Field(
        128, description="Prefix length under which IPv6 clients are one client."
    )
    cross: Ports = Field(
        (), description="Ports of the same cluster that share the affinity with this one."
    )


class AdvisorKeys(BaseModel):
    """A health probe. Keys besides `type` are the probe's own settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Annotated[str, kinds.ADVISOR] = Field(description="The probe's name: http, connect, ...")


Advisors = Annotated[
    tuple[AdvisorKeys, ...],
    BeforeValidator(
        _advisors,
        json_schema_input_type=AdvisorKeys
        | Annotated[list[AdvisorKeys], Field(min_length=1, max_length=MAX_ADVISORS)],
    ),
]


class FlowKeys(Keys):
    """How flows are treated: for one port, or for every port of a cluster that does not say."""

    forward: Annotated[Forward | None, kinds.FORWARD] = Field(
        None, description="Forwarding method; default mac."
    )
    track: Annotated[Track | None, kinds.TRACK] = Field(
        None, description="Flows remembered: those that must be (auto, the default), all, or none."
    )
    on_down: Annotated[OnDown | None, kinds.ON_DOWN] = Field(
        None, description="Flows of a server that is down: keep (the default), move or reset them."
    )
    stale: Annotated[int | None, kinds.SECONDS] = Field(
        None,
        description="Idle time after which a flow is forgotten; default 300, port 21 (ftp) 900, "
        "port 23 (telnet) 259200.",
    )
    udp_idle: Annotated[int | None, kinds.SECONDS] = Field(
        None, description="Time after a change in which unknown UDP flows count as old; default 60."
    )
    sticky: Annotated[StickyKeys | None, BeforeValidator(_written)] = Field(
        None, description="Client affinity; default none."
    )


class MemberKeys(Keys):
    """A server's place in one service."""

    weight: Annotated[int | None, kinds.WEIGHT] = Field(
        None, description="Weight in this service; default the server's own."
    )
    fixed_weight: Annotated[bool, kinds.YES_NO] = Field(
        default=False, description="The manager leaves this server's weight alone."
    )


_Member = Annotated[
    MemberKeys,
    BeforeValidator(
        _member, json_schema_input_type=Annotated[int, kinds.WEIGHT] | MemberKeys | None
    ),
]
_Names = Annotated[tuple[Annotated[str, kinds.SERVER], ...], Field(min_length=1), Tag("<list>")]
_Weighted = Annotated[
    dict[Annotated[str, kinds.SERVER], _Member], Field(min_length=1), Tag("<mapping>")
]
Members = Annotated[_Names | _Weighted, Discriminator(_list_or_mapping)]


class PortKeys(FlowKeys):
    """A port of a cluster, with the servers behind it."""

    port: Annotated[int, kinds.PORT] = Field(
        description="Port; `any` or 0: every port of the cluster that is not named."
    )
    protocol: Annotated[Transport, kinds.TRANSPORT] = Field(
        Transport.TCP, description="tcp, udp, or both."
    )
    servers: Members = Field(description="Names of servers, or a mapping from name to weight.")
    advisor: Advisors = Field(
        (),
        min_length=1,
        max_length=MAX_ADVISORS,
        description="The probe, or list of them, that tells which servers are well; default none.",
    )
    advisors_required: Annotated[AdvisorsRequired | None, kinds.ADVISORS_REQUIRED] = Field(
        None,
        description="Of several advisors, all (the default) or any must find a server well.",
    )


class ClusterHead(FlowKeys):
    """A cluster without its ports."""

    address: ClusterAddresses = Field(
        min_length=1,
        description="Cluster address, or list of them; 0.0.0.0 or `::` is every address not named.",
    )


class ClusterKeys(ClusterHead):
    """A cluster: addresses that clients use, and what is behind their ports."""

    ports: list[PortKeys] = Field(min_length=1, description="The ports that are forwarded.")


class ServerKeys(Keys):
    """A back-end machine."""

    address: OwnAddresses = Field(
        min_length=1,
        description="The server's own address, or list of them; the first one is forwarded to.",
    )
    weight: Annotated[int, kinds.WEIGHT] = Field(
        10, description="Share of new flows against the other servers; 0: no new ones."
    )
    os: Annotated[OperatingSystem, kinds.SYSTEM] = Field(
        OperatingSystem.LINUX, description="Operating system, for the server's set-up."
    )
    via: Annotated[str | None, kinds.VIA] = Field(
        None,
        description="Way in for the set-up: local, ssh://[user@]host[:port][?jump=...&sudo=yes] or "
        "winrm://[user@]host[:port]. Left out: a script is written.",
    )
    wpar: Annotated[str | None, kinds.WPAR] = Field(
        None, description="Name of the workload partition, with os aix-wpar."
    )
    gateway: Annotated[Address | None, kinds.ADDRESS] = Field(
        None, description="The server's default gateway, where the set-up needs it (aix-wpar)."
    )
    netns: Annotated[str | None, kinds.NETNS] = Field(
        None, description="Network namespace that is the server, on Linux."
    )
    interface: Annotated[str | None, kinds.LABEL] = Field(
        None, description="The server's interface on the segment, where it must be named."
    )
    metric: Annotated[AdvisorKeys | None, BeforeValidator(_written)] = Field(
        None,
        description="An advisor that tells how loaded the machine is: agent, prometheus, exec.",
    )
    accept: AcceptedStates = Field(
        (),
        description="States that are warnings and are wanted here: forwards, for a host that "
        "passes packets on for its containers. `check` and `verify` tell them as accepted.",
    )
    mac: Annotated[Mac | None, kinds.MAC] = Field(
        None,
        description="The server's MAC address: frames go there, whoever else answers for its "
        "address. Left out: the one that is answered with.",
    )


class FileKeys(Keys):
    """The configuration of Shunt."""

    dispatcher: DispatcherKeys = Field(description="The machine that forwards.")
    clusters: dict[Annotated[str, kinds.SERVER], ClusterKeys] = Field(
        min_length=1, description="The clusters by name."
    )
    servers: dict[Annotated[str, kinds.SERVER], ServerKeys] = Field(
        description="The servers by name."
    )
    manager: Annotated[ManagerKeys | None, BeforeValidator(_written)] = Field(
        None, description="How counts, loads and health become weights."
    )
