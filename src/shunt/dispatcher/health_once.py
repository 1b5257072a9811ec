"""One check by hand, with its dialogue: by the daemon's own path, or by one made for it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shunt.advisors.check import At
from shunt.advisors.run import run
from shunt.dataplane.features import require
from shunt.dispatcher.health_path import HealthPath
from shunt.dispatcher.whereabouts import way_to
from shunt.errors import NetworkError, UsageError
from shunt.model.config import Forward
from shunt.network.watch import NeighbourWatch

if TYPE_CHECKING:
    from shunt.advisors.advisor import Target
    from shunt.advisors.check import Check
    from shunt.advisors.dialogue import Verdict
    from shunt.dispatcher.wishes import Way
    from shunt.model.addresses import Address
    from shunt.model.config import Config, Server

_PATIENCE = 4.0  # seconds; a dead address takes the kernel about three
_MAX_SAID = 1 << 16  # bytes of a dialogue that are kept,
_MAX_PIECES = 1000  # and pieces: what comes byte by byte would cost a hundred times its size


@dataclass(frozen=True, slots=True)
class Once:
    """A verdict, and what was said (`>`) and heard (`<`) on the way to it: its beginning."""

    verdict: Verdict
    said: tuple[tuple[str, bytes], ...]

    def document(self) -> dict[str, Any]:
        """Return it as data; bytes as text of one character a byte."""
        verdict = self.verdict
        return {
            "up": verdict.up,
            "words": verdict.words,
            "load": verdict.load,
            "share": verdict.share,
            "warning": verdict.warning,
            "dialogue": [[direction, data.decode("latin-1")] for direction, data in self.said],
        }


class Transcript:
    """The beginning of a dialogue; how long the whole is, a stranger decides."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []
        self._left = _MAX_SAID

    def note(self, direction: str, data: bytes) -> None:
        """Keep a piece as far as there is room."""
        if len(self.said) < _MAX_PIECES and (self._left > 0 or not data):
            self.said.append((direction, data[: self._left]))
            self._left -= len(data)


@dataclass(frozen=True, slots=True)
class Aim:
    """Whom a check by hand asks; `along` the forwarding path, or directly."""

    target: Target
    server: Server
    along: bool


def aim(config: Config, check: Check, address: Address, port: int, name: str) -> Aim:
    """Return whom a check by hand at a server asks; pure.

    Along the path it may ask cluster addresses only: for any other address the path would lead
    this host's own traffic astray.

    Args:
        config: in force, or of the file where no daemon runs.
        check: to be made; its `at` decides, as in the file.
        address: that was given: a cluster address, or one of the server's own.
        port: that was given; 0: the check's own.
        name: of the server.

    Raises:
        UsageError: there is no such server, or the address is neither.
    """
    server = config.servers.get(name)
    if server is None:
        known = ", ".join(config.servers) or "none"
        raise UsageError(f"there is no server {name!r}", hint=f"there is {known}")
    is_cluster = address in config.cluster_addresses
    is_own = address in server.addresses
    is_any = address.is_unspecified and any(s.address == address for s in config.services)
    if not (is_cluster or is_own or is_any):
        raise UsageError(
            f"{address} is no cluster address, and none of server {name}'s own",
            hint=f"{_cluster_addresses(config)}; to ask {address} itself, leave out --server",
        )
    if check.at is At.SERVER or is_any or (is_cluster and not _is_by_mac(config, address, port)):
        own = address if is_own else _own(server, address)
        return Aim(check.target(own, port, name), server, along=False)
    if not is_cluster:
        raise UsageError(
            f"{address} is no cluster address, so there is no way along which requests take it",
            hint=f"{_cluster_addresses(config)}; to ask server {name} itself, add at=server",
        )
    return Aim(check.target(address, port, name), server, along=True)


def _is_by_mac(config: Config, address: Address, port: int) -> bool:
    """Return whether frames reach servers with this cluster address in them."""
    there = [service for service in config.services if service.address == address]
    meant = [service for service in there if service.port == port] or there
    return any(service.forward is Forward.MAC for service in meant)


def _own(server: Server, other: Address) -> Address:
    """Return the server's own address in another one's family, if it has one."""
    of_family = (each for each in server.addresses if each.version == other.version)
    return next(of_family, server.addresses[0])


def _cluster_addresses(config: Config) -> str:
    listed = ", ".join(map(str, config.cluster_addresses))
    return f"the cluster addresses are {listed}" if listed else "there are no cluster addresses"


def reachable(server: Server, way: Way) -> Way:
    """Return the way to a server.

    Raises:
        NetworkError: its MAC is not known.
    """
    if way.mac is None:
        raise NetworkError(
            f"server {server.name} ({server.addresses[0]}) cannot be reached: {way.reason}",
            hint="the check goes to its MAC address; is it on this segment, and alive?",
        )
    return way


async def directly(check: Check, target: Target, mark: int = 0) -> Once:
    """Make a check."""
    transcript = Transcript()
    verdict = await run(check, target, mark=mark, listener=transcript.note)
    return Once(verdict, tuple(transcript.said))


async def once(check: Check, aim: Aim, path: HealthPath, way: Way) -> Once:
    """Make a check at a server by a path; the path is afterwards what it was before.

    Raises:
        NetworkError: the server's MAC is not known, or there is no way to the address.
    """
    if not aim.along:
        return await directly(check, aim.target)
    way = reachable(aim.server, way)
    with path.borrowed(aim.target.address, aim.server.name, way) as mark:
        return await directly(check, aim.target, mark)


async def alone(check: Check, aim: Aim) -> Once:
    """Make a check at a server where no daemon runs: lay a path, and take it up again.

    Raises:
        NetworkError: the server's MAC is not to be had, or there is no way to the address.
        HostError: we may not, or the kernel lacks what it takes.
    """
    if not aim.along:
        return await directly(check, aim.target)
    require()
    own = aim.server.addresses[0]
    async with NeighbourWatch((own,)) as watch:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await watch.settled()
        way = way_to(watch.neighbours[own], None)
    with contextlib.closing(HealthPath()) as path:
        keeping = asyncio.create_task(path.keep())
        try:
            return await once(check, aim, path, way)
        finally:
            keeping.cancel()
