"""`shunt watch`: report whoever claims a cluster address, as it happens."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shunt.cli.output import Output
from shunt.cli.terminal import tell
from shunt.errors import HostError, UsageError

if TYPE_CHECKING:
    from shunt.model.addresses import Address, Mac
    from shunt.verify.watch import Sighting

DEFAULT = Path("/etc/shunt/shunt.yaml")
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]


def watch(
    *clusters: str,
    config: Annotated[Path | None, Parameter(name=("-c", "--config"))] = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    dispatcher: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    once: Flag = False,
    json: Flag = False,
) -> int:
    """Report whoever claims a cluster address, as it happens, until interrupted.

    It only listens. Run it on any machine of the segment; on the dispatcher the daemon does so
    by itself. Where an interface goes down it listens again when it is back, and says so. Leaves
    with 1 after the first sighting if asked for with --once.

    For example: `shunt watch -c shunt.yaml --dispatcher 52:54:00:12:34:56`, or
    `shunt watch 192.0.2.10 --from eth0 --once || systemctl start alarm`

    Args:
        clusters: Names or addresses of the clusters to watch; without any, all of the file.
        config: The configuration file; /etc/shunt/shunt.yaml unless addresses are named.
        from_: The interface to listen on; those in the addresses' network if not named.
        dispatcher: The MAC of a machine that may claim the addresses; may be repeated.
        once: Leave with 1 after the first sighting.
        json: Print one JSON document a line.
    """
    addresses, near = _watched(clusters, config, from_)
    allowed = tuple(_mac(word) for word in dispatcher)
    interfaces = (from_,) if from_ is not None else _found(near)
    out = Output(json=json)
    return asyncio.run(_listen(interfaces, addresses, allowed, out, once=once))


async def _listen(
    interfaces: tuple[str, ...],
    addresses: tuple[Address, ...],
    allowed: tuple[Mac, ...],
    out: Output,
    *,
    once: bool,
) -> int:
    from shunt.verify.watch import sightings

    def say(words: str) -> None:
        out.err.print(words, markup=False)

    async for interface, sighting in sightings(interfaces, addresses, allowed, say):
        _tell(sighting, out, interface)
        if once:
            return 1
    return 0


def _found(near: tuple[Address, ...]) -> tuple[str, ...]:
    """Return this machine's interfaces on the addresses' segment.

    Raises:
        HostError: there is none.
    """
    from shunt.verify.place import interfaces_near

    found = interfaces_near(near)
    if not found:
        raise HostError(
            "no interface here is in the network of the clusters or their servers",
            hint="Name the one to listen on with --from.",
        )
    return found


def _tell(sighting: Sighting, out: Output, interface: str = "") -> None:
    from json import dumps

    from shunt.verify.sayings import said

    claim = sighting.claim
    if out.json:
        told = {
            "at": sighting.at,
            "interface": interface,
            "address": str(claim.address),
            "mac": str(claim.mac),
            "speaker": str(claim.said_by),
            "how": str(claim.how),
            "times": sighting.times,
            "unnamed": sighting.unnamed,
        }
        tell(dumps(told))
        return
    when = time.strftime("%H:%M:%S", time.localtime(sighting.at))
    more = f" (and {sighting.unnamed} claims by many others)" if sighting.unnamed else ""
    out.text(f"{when} {said(claim)}{more}")


def _watched(
    clusters: tuple[str, ...], config: Path | None, interface: str | None
) -> tuple[tuple[Address, ...], tuple[Address, ...]]:
    """Return the addresses to watch, and those by which their segment is known."""
    from ipaddress import ip_address

    from shunt.verify.selection import as_written, refuse_impossible, refuse_unknown

    if config is None and clusters and (interface is not None or not DEFAULT.exists()):
        try:
            named = tuple(ip_address(word) for word in dict.fromkeys(clusters))
        except ValueError as error:
            raise UsageError(str(error), hint="Cluster names need a file: -c FILE.") from None
        refuse_impossible(named)
        return named, named
    from shunt.config import load

    loaded = load(config or DEFAULT)
    refuse_unknown(loaded, clusters)
    wanted = {as_written(name) for name in clusters}
    chosen = {
        service.address: None
        for service in loaded.services
        if not service.address.is_unspecified
        and (not clusters or {service.cluster, str(service.address)} & wanted)
    }
    if not chosen:
        raise UsageError("there is no cluster to watch", hint="See `shunt config show`.")
    servers = (address for server in loaded.servers.values() for address in server.addresses)
    return tuple(chosen), (*chosen, *servers)


def _mac(word: str) -> Mac:
    from shunt.model.addresses import Mac

    try:
        return Mac.parse(word)
    except ValueError as error:
        raise UsageError(str(error)) from None
