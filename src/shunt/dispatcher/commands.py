"""What the control socket can be asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from dataclasses import asdict
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import structlog

from shunt.advisors import registry
from shunt.advisors.advisor import Transport
from shunt.advisors.check import make
from shunt.advisors.dialogue import shown
from shunt.config import dump
from shunt.dispatcher import snapshot
from shunt.dispatcher.flows import MOST, Filter, Index, budgets, flows
from shunt.dispatcher.tracing import Packet, trace
from shunt.errors import ConfigError, HostError, UsageError
from shunt.model.addresses import packed16, unpacked16
from shunt.model.config import Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from shunt.advisors.check import Check
    from shunt.dispatcher.control import Client
    from shunt.dispatcher.control_server import Handler
    from shunt.dispatcher.daemon import Daemon
    from shunt.dispatcher.overrides import Key
    from shunt.errors import ShuntError
    from shunt.model.addresses import Address

log = structlog.get_logger()

_MOST_PLACES = 20  # of mistakes in a file that are told to others than root


class Commands:
    """Handlers of one daemon; each takes the request and returns what is printed as JSON."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._reading = asyncio.Semaphore(1)  # big replies are made one at a time
        self._making = asyncio.Semaphore(1)  # and so are checks by hand, beside the event loop

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by command."""
        return {
            "status": self.status,
            "reload": self.reload,
            "down": self.down,
            "weight": self.weight,
            "quiesce": self.quiesce,
            "unquiesce": self.unquiesce,
            "configuration": self.configuration,
            "trace": self.trace,
            "flows": self.flows,
            "advise": self.advise,
        }

    async def status(self, _request: Mapping[str, Any], _client: Client) -> dict[str, Any]:
        """Return the whole snapshot."""
        daemon = self._daemon
        before = daemon.samples[0] if daemon.samples else None
        now = asyncio.get_running_loop().time()
        servers = daemon.engine.config.servers.values()
        pinned = frozenset(packed16(each.addresses[0]) for each in servers if each.mac)
        async with self._reading:
            kernel, taken = await daemon.work(
                self._kernel, now, before, daemon.swept, self._names(), pinned
            )
        return {
            "daemon": {
                "process": os.getpid(),
                "file": str(daemon.file),
                "took_over": not daemon.engine.fresh,
                "announced": daemon.announcer.rounds,
                "announcing_failed": dict(daemon.announcer.failures),
                "missing_interfaces": sorted(daemon.following.missing),
                "refused_interfaces": dict(daemon.following.refused),
                "held": [
                    {
                        "address": str(each.address),
                        "interface": each.interface,
                        "remedy": each.removal,
                    }
                    for each in sorted(daemon.following.held, key=str)
                ],
                "server_macs": [news.document() for news in daemon.neighbour_news.doubtful()],
                "loops": {name: age.document() for name, age in daemon.ages().items()},
                "claims": [claimed.document() for claimed in daemon.guardian.claims],
            },
            "diagnoses": [
                each.document()
                for each in (*daemon.engine.diagnoses, *daemon.sent_back.diagnoses())
            ],
            "health": await daemon.health.document(),
            "events": daemon.events.document(),
            "moved": {
                "slots": daemon.engine.balancer.moved,
                "last_minute": daemon.moved_lately,
            },
            **kernel,
            **snapshot.document(taken),
        }

    def _kernel(
        self,
        at: float,
        before: snapshot.Sample | None,
        swept: snapshot.Swept | None,
        names: Mapping[bytes, str],
        pinned: frozenset[bytes],
    ) -> tuple[dict[str, Any], snapshot.Taken]:
        """Return what the kernel's maps say, all of one moment: nothing is written meanwhile."""
        engine = self._daemon.engine
        balancer, plane = engine.balancer, engine.plane
        now = snapshot.sample(balancer, at)
        context = snapshot.Context(
            now,
            snapshot.rates(now, before) if before else None,
            swept.holds(balancer) if swept else None,
            names,
            pinned,
        )
        found = {
            "interfaces": self._daemon.interfaces.document(plane),
            "program": {"id": plane.program.info().id},
            "budgets": budgets(balancer),
        }
        return found, snapshot.take(balancer, context)

    async def reload(self, _request: Mapping[str, Any], client: Client) -> dict[str, Any]:
        """Read the file again; what is wrong with it only root is told, who may read it."""
        try:
            return await self._daemon.reloading.reload()
        except (ConfigError, HostError) as error:
            if client.is_trusted:
                raise
            log.error("reload refused; the old state stays", problem=error.message)  # noqa: TRY400 - said in one line
            raise withheld(error) from None

    async def down(self, _request: Mapping[str, Any], client: Client) -> dict[str, Any]:
        """Detach and leave; for root only."""
        if not client.is_trusted:
            raise UsageError("to end the dispatcher is for root only", hint="become root")
        self._daemon.end(remove=True)
        return {"process": os.getpid()}

    async def weight(self, request: Mapping[str, Any], _client: Client) -> dict[str, Any]:
        """Set a server's weight until told otherwise; None gives it back to the file."""
        weight = request["weight"]
        if weight is not None and not (type(weight) is int and 0 <= weight <= 0xFFFF):
            raise UsageError(f"a weight is a number from 0 to 65535, not {_told(weight)}")
        before = self._weights()
        result = await self._change(request, weight=weight)
        after = self._weights()
        for row in result["changed"]:
            key = row["service"], row["server"]
            row |= {"before": before.get(key), "after": after.get(key)}
        return result

    async def quiesce(self, request: Mapping[str, Any], _client: Client) -> dict[str, Any]:
        """Give a server no new connections."""
        return await self._change(request, quiesced=True, now=_now(request))

    async def unquiesce(self, request: Mapping[str, Any], _client: Client) -> dict[str, Any]:
        """Give it new connections again."""
        return await self._change(request, quiesced=False, now=False)

    async def configuration(self, _request: Mapping[str, Any], _client: Client) -> dict[str, Any]:
        """Return the configuration in force, as text, and the run-time changes to it."""
        engine = self._daemon.engine
        return {
            "file": str(self._daemon.file),
            "configuration": dump(engine.config, secret=False),
            "cluster_addresses": [str(address) for address in engine.config.cluster_addresses],
            "overrides": [
                {"service": service, "server": server} | asdict(override)
                for (service, server), override in sorted(engine.overrides.entries.items())
            ],
            "kept": engine.kept(),
        }

    async def trace(self, request: Mapping[str, Any], _client: Client) -> dict[str, Any]:
        """Run the program on one made packet."""
        with _reading():
            packet = Packet(
                _address(request["client"]), _port(request["client_port"]),
                _address(request["cluster"]), _port(request["port"]),
                Protocol(request["protocol"]), _flag(request["syn"]),
            )  # fmt: skip
        daemon = self._daemon
        return await daemon.work(trace, daemon.engine.balancer, packet, self._names())

    async def flows(self, request: Mapping[str, Any], _client: Client) -> dict[str, Any]:
        """List remembered flows."""
        client = request.get("client")
        with _reading():
            wanted = Filter(
                _text(request.get("service") or ""),
                _text(request.get("server") or ""),
                _address(client) if client else None,
                _whole(request["limit"], MOST),
            )
        daemon = self._daemon
        config, balancer = daemon.engine.config, daemon.engine.balancer
        leaving = (str(unpacked16(identity)) for identity in balancer.leaving())
        _known("service", wanted.service, (service.name for service in config.services))
        _known("server", wanted.server, (*config.servers, *leaving))
        index = await daemon.work(Index.of, balancer, self._names())
        async with self._reading:
            return await asyncio.to_thread(flows, index, wanted)

    async def advise(self, request: Mapping[str, Any], client: Client) -> dict[str, Any]:
        """Make one check at a server, and return its verdict and dialogue."""
        with _reading():
            kind, settings = _text(request["kind"]), dict(request["settings"])
            address, port = _address(request["address"]), _port(request["port"])
            server = _text(request["server"])
        async with self._making:
            check = await asyncio.to_thread(_allowed_check, client, kind, settings, port)
        made = self._daemon.health.once(check, address, port, server)
        return (await client.while_there(made)).document()

    def _names(self) -> dict[bytes, str]:
        servers = self._daemon.engine.config.servers.values()
        return {packed16(server.addresses[0]): server.name for server in servers}

    async def _change(self, request: Mapping[str, Any], **change: Any) -> dict[str, Any]:
        daemon = self._daemon
        async with daemon.reloading.lock:
            with _reading():
                services = [_text(each) for each in _listed(request.get("services"))]
                keys = self._keys(_text(request["server"]), services)
            moved = await daemon.change(daemon.engine.overrides.with_change(keys, **change))
        return {"changed": [{"service": s, "server": n} for s, n in keys], "moved": moved}

    def _weights(self) -> dict[Key, int]:
        """Return the weight that is wanted of each server: the run-time one, or the file's."""
        engine = self._daemon.engine
        return {
            (service.name, member.server): member.weight if changed is None else changed
            for service in engine.config.services
            for member in service.members
            for changed in (engine.overrides.get(service.name, member.server).weight,)
        }

    def _keys(self, server: str, services: list[str]) -> list[Key]:
        """Return (service, server) for each service that is meant: those named, or all it is in."""
        config = self._daemon.engine.config
        _known("server", server, config.servers)
        members = {s.name: s for s in config.services if any(m.server == server for m in s.members)}
        for name in services:
            if name not in members:
                raise UsageError(
                    f"server {server} is not in a service {name!r}",
                    hint=f"it is in {', '.join(members) or 'none'}",
                )
        return [(name, server) for name in services or members]


def _allowed_check(client: Client, kind: str, settings: Mapping[str, Any], port: int) -> Check:
    """Return the check that a client asks for; for a thread, as it may take a while.

    Raises:
        UsageError: there is no such check, or the client may not have it made.
    """
    allow(client, kind)
    check = make(kind, settings, port=port)
    allow(client, kind, check)
    return check


def withheld(error: ShuntError) -> UsageError:
    """Return what others than root are told of a refused file: where it is wrong, not what it says.

    The file may be root's alone to read, and a mistake is often a value in the wrong place.
    """
    found = error.problems if isinstance(error, ConfigError) else ()
    places = [f"line {each.line}, column {each.column}" for each in found[:_MOST_PLACES]]
    more = [f"and {len(found) - len(places)} more"] if len(found) > len(places) else []
    where = f": {'; '.join(places + more)}" if places else ""
    return UsageError(
        f"the file is refused, and the old state stays{where}",
        hint="the daemon's log says what is wrong, and so does `shunt config check` to root",
    )


def allow(client: Client, kind: str, check: Check | None = None) -> None:
    """Refuse an advisor by hand to a client that would do more by it than itself may.

    Before the check is made, for plug-ins run when they are looked up; and after.

    Raises:
        UsageError: it would have us run a program or a plug-in, or open a file.
    """
    if client.is_trusted:
        return
    what = None
    if kind in registry.plug_ins():
        what = "is a plug-in, which runs within the daemon"
    elif check is not None and check.advisor.transport is Transport.PROCESS:
        what = "runs a command"
    elif check is not None and check.advisor.secure and check.advisor.secure.authorities:
        what = "opens a file (authorities)"
    if what:
        raise UsageError(
            f"the advisor {kind} {what}: the daemon does that for root only",
            hint="become root; or leave it out of a check by hand",
        )


def _known(kind: str, name: str, names: Iterable[str]) -> None:
    """Refuse a name that nothing has; no name is fine.

    Raises:
        UsageError: with those that there are.
    """
    there = tuple(names)
    if name and name not in there:
        raise UsageError(f"there is no {kind} {name!r}", hint=f"there are {', '.join(there)}")


# What a request's keys must be: JSON has numbers that are infinite, and any value anywhere.


def _whole(number: object, most: int) -> int:
    if type(number) is not int or not 0 <= number <= most:  # True is an int as well
        raise ValueError(f"{_told(number)} is not a whole number from 0 to {most}")
    return number


def _port(number: object) -> int:
    return _whole(number, 0xFFFF)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{_told(value)} is not a text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{_told(value)} is neither true nor false")
    return value


def _now(request: Mapping[str, Any]) -> bool:
    with _reading():
        return _flag(request.get("now") or False)


def _address(value: object) -> Address:
    return ip_address(_text(value))  # which would take a number as well


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"{_told(value)} is not a list")
    return value


def _told(value: object) -> str:
    return shown(json.dumps(value), 40)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Call what cannot be read of a request the client's mistake."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UsageError(f"bad request: {error}") from None
