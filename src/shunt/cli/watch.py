"""`shunt watch`: report whoever claims a cluster address, as it happens."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shunt.cli.output import Output
from shunt.errors import UsageError

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
    by itself. Leaves with 1 after the first sighting if asked for with --once.

    Examples:
        shunt watch -c shunt.yaml --dispatcher 52:54:00:12:34:56

        shunt watch 192.0.2.10 --from eth0 --once || systemctl start alarm

    Args:
        clusters: Names or addresses of the clusters to watch; without any, all of the file.
        config: The configuration file; /etc/shunt/shunt.yaml unless addresses are named.
        from_: The interface to listen on; the file's first one if not named.
        dispatcher: The MAC of a machine that may claim the addresses; may be repeated.
        once: Leave with 1 after the first sighting.
        json: Print one JSON document a line.
    """
    addresses, interface = _watched(clusters, config, from_)
    allowed = tuple(_mac(word) for word in dispatcher)
    out = Output(json=json)
    return asyncio.run(_listen(interface, addresses, allowed, out, once=once))


async def _listen(
    interface: str,
    addresses: tuple[Address, ...],
    allowed: tuple[Mac, ...],
    out: Output,
    *,
    once: bool,
) -> int:
    from shunt.verify.watch import Watch

    with Watch(interface, addresses, allowed) as listening:
        out.err.print(f"watching {', '.join(map(str, addresses))} on {interface}")
        async for sighting in listening:
            _tell(sighting, out)
            if once:
                return 1
    return 0


def _tell(sighting: Sighting, out: Output) -> None:
    from json import dumps

    from shunt.verify.vendors import describe

    claim = sighting.claim
    if out.json:
        told = {
            "at": sighting.at,
            "address": str(claim.address),
            "mac": str(claim.mac),
            "how": str(claim.how),
            "times": sighting.times,
            "unnamed": sighting.unnamed,
        }
        print(dumps(told), flush=True)
        return
    when = time.strftime("%H:%M:%S", time.localtime(sighting.at))
    more = f" (and {sighting.unnamed} claims by many others)" if sighting.unnamed else ""
    out.text(f"{when} {claim.how}: {claim.address} is at {describe(claim.mac)}{more}")


def _watched(
    clusters: tuple[str, ...], config: Path | None, interface: str | None
) -> tuple[tuple[Address, ...], str]:
    from ipaddress import ip_address

    if config is None and clusters and interface is not None:
        try:
            return tuple(ip_address(word) for word in clusters), interface
        except ValueError as error:
            raise UsageError(str(error), hint="Cluster names need a file: -c FILE.") from None
    from shunt.config import load

    loaded = load(config or DEFAULT)
    chosen = {
        service.address: None
        for service in loaded.services
        if not service.address.is_unspecified
        and (not clusters or {service.cluster, str(service.address)} & set(clusters))
    }
    if not chosen:
        raise UsageError("there is no cluster to watch", hint="See `shunt config show`.")
    return tuple(chosen), interface or loaded.dispatcher.interfaces[0]


def _mac(word: str) -> Mac:
    from shunt.model.addresses import Mac

    try:
        return Mac.parse(word)
    except ValueError as error:
        raise UsageError(str(error)) from None
