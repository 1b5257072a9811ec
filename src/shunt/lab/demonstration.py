"""The main job on real frames: build the standard laboratory, dispatch, and count what happened.

`run` does it and returns figures only; how they are shown is the caller's affair.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.dataplane import attach, stats
from shunt.dataplane.program import Program
from shunt.errors import LabError
from shunt.lab import asking, daemon, nginx, requests, topology, witness
from shunt.lab.topology import CLUSTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from shunt.lab.nginx import Nginx
    from shunt.lab.requests import Asked, Load
    from shunt.lab.topology import Topology
    from shunt.lab.witness import Frames
    from shunt.model.addresses import Address

    Claims = Mapping[Address, tuple[str, ...]]  # cluster address -> the hosts that claim it

UNPREPARED = "unprepared"  # the servers have the alias, and no ARP silence
PREPARED = "prepared"  # both, and no dispatcher yet
DISPATCHED = "dispatched"  # the dispatcher at work

_SETTLED = 5.0  # seconds for the last lines of the servers' logs


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to show: curl's requests and wrk's connections and seconds, each per cluster address."""

    requests: int = 1000
    connections: int = 64
    seconds: int = 2
    mode: str = "auto"


@dataclass(frozen=True, slots=True)
class Share:
    """A server's part: its weight, the requests in its own log, each on a connection of its own."""

    weight: int
    requests: Mapping[Address, int]

    @property
    def total(self) -> int:
        """Return the requests at all cluster addresses."""
        return sum(self.requests.values())


@dataclass(frozen=True, slots=True)
class Cost:
    """The program's time as the kernel accounts for it, which includes the accounting itself.

    What that is shows at the empty program on the switch's port, measured at the same time.
    """

    mode: str
    runs: int
    nanoseconds: float  # of one run
    empty: float  # nanoseconds of one run of the empty program


@dataclass(frozen=True, slots=True)
class Findings:
    """What happened, in figures."""

    shares: Mapping[str, Share]
    asked: Mapping[Address, Asked]
    loads: Mapping[Address, Load]
    frames: Frames
    claims: Mapping[str, Claims]  # by stage: UNPREPARED, PREPARED, DISPATCHED
    configuration: str
    cost: Cost
    seconds: float

    @property
    def failures(self) -> list[str]:
        """Return in words whatever did not go as it must; empty when all went well."""
        wrong = [
            f"{address}: {count} requests failed: {words}"
            for address, asked in self.asked.items()
            for words, count in asked.failures.items()
        ]
        wrong += [
            f"{address}: wrk counted {load.errors} errors"
            for address, load in self.loads.items()
            if load.errors
        ]
        told = sum(each.answers.total() for each in self.asked.values())
        told += sum(load.requests for load in self.loads.values())
        logged = sum(share.total for share in self.shares.values())
        if logged < told:
            wrong.append(f"the servers logged {logged} requests, the clients had {told} answered")
        if not self.cost.runs:
            wrong.append("the program never ran")
        if self.frames.replies_through:
            wrong.append(f"{self.frames.replies_through} replies passed through the dispatcher")
        for stage, rightful in ((PREPARED, ()), (DISPATCHED, ("dispatcher",))):
            wrong += [
                f"{address} was claimed by {', '.join(found) or 'nobody'} ({stage})"
                for address, found in self.claims[stage].items()
                if found != rightful
            ]
        return wrong


def prepare(lab: Lab, tell: Callable[[str], None]) -> tuple[Topology, Claims, Claims]:
    """Build hosts and segment and prepare the servers, asking before and after who claims what.

    Raises:
        LabError: the kernel refuses something.
    """
    tell(f"laboratory {lab.ident}: building a client, a switch, a dispatcher and three servers")
    standing = topology.build(lab)
    tell("trying the servers' set-up without ARP silence: who answers?")
    for server in standing.servers.values():
        topology.add_alias(server)
    unprepared = _claims(standing)
    for server in standing.servers.values():
        topology.drop_alias(server)
    tell("preparing the servers: ARP silence, then the alias")
    for server in standing.servers.values():
        topology.prepare(server)
    return standing, unprepared, _claims(standing)


def run(lab: Lab, wishes: Wishes, tell: Callable[[str], None]) -> Findings:
    """Do all of it in an empty laboratory; `tell` is called with what is done next.

    Raises:
        LabError: something would not start, or a command failed.
    """
    began = time.monotonic()
    standing, unprepared, prepared = prepare(lab, tell)
    tell("starting nginx on each server")
    webs = nginx.start_all(standing)
    tell("starting the dispatcher")
    configuration = standing.configuration(wishes.mode)
    daemon.start(standing.dispatcher, configuration)
    dispatched = _claims(standing)
    standing.client.flush_neighbours()
    witness.place(standing)

    asked: dict[Address, Asked] = {}
    loads: dict[Address, Load] = {}
    port = lab.peer_port(standing.dispatcher)
    mode, program = _attached(standing.dispatcher, "eth0")
    _, empty = _attached(lab.segments[topology.SEGMENT], port.interface)
    with program, empty, stats.enable_stats():
        earlier = stats.program_stats(program), stats.program_stats(empty)
        for address in CLUSTERS:
            where = requests.url(address)
            tell(f"{wishes.requests:,} requests by curl to {where}")
            asked[address] = requests.curl(standing.client, where, wishes.requests)
            tell(f"{wishes.seconds} s of load by wrk to {where}")
            loads[address] = requests.wrk(
                standing.client, where, seconds=wishes.seconds, connections=wishes.connections
            )
        spent = stats.program_stats(program).since(earlier[0])
        idle = stats.program_stats(empty).since(earlier[1])

    tell("counting")
    answered = sum(each.answers.total() for each in asked.values())
    shares = _shares(standing, webs, answered + sum(load.requests for load in loads.values()))
    return Findings(
        shares=shares,
        asked=asked,
        loads=loads,
        frames=witness.read(standing),
        claims={UNPREPARED: unprepared, PREPARED: prepared, DISPATCHED: dispatched},
        configuration=configuration,
        cost=Cost(mode, spent.runs, spent.ns_per_run or 0.0, idle.ns_per_run or 0.0),
        seconds=time.monotonic() - began,
    )


def _claims(standing: Topology) -> Claims:
    return {
        address: tuple(
            standing.macs.get(mac, str(mac)) for mac in asking.who_answers(standing.client, address)
        )
        for address in CLUSTERS
    }


def _attached(host: Host, interface: str) -> tuple[str, Program]:
    """Return how an interface runs its program, and the program."""
    index = host.interface(interface).index
    found = host.call(lambda: attach.query(index))
    if found is None:
        raise LabError(f"{host.name}: {interface} carries no program, though it was started")
    return str(found.mode or "several"), Program.by_id(found.program_id)


def _shares(standing: Topology, webs: Mapping[str, Nginx], expected: int) -> dict[str, Share]:
    """Count the servers' logs, once they hold all that the clients have had answered."""
    deadline = time.monotonic() + _SETTLED
    while True:
        logs = {name: web.answered() for name, web in webs.items()}
        if (
            sum(log.requests.total() for log in logs.values()) >= expected
            or time.monotonic() > deadline
        ):
            return {
                name: Share(standing.weights[name], dict(log.requests))
                for name, log in logs.items()
            }
        time.sleep(0.02)
