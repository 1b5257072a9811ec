"""`shunt server weight|quiesce|unquiesce`: changes at run time, which survive restarts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from shunt.cli.output import Output

_FLAG = Parameter(negative="")
_EVERY = 1.0
Services = Annotated[list[str] | None, Parameter(name="--service", negative="")]
Root = Annotated[Path | None, Parameter(name="--root")]
Json = Annotated[bool, _FLAG]


def weight(
    name: str,
    value: int | None = None,
    *,
    service: Services = None,
    root: Root = None,
    json: Json = False,
) -> int:
    """Set a server's weight while the dispatcher runs; without a number, as the file says.

    No established connection changes its server. The weight holds until it is changed again,
    also after a restart; `shunt config diff` shows it.

    For example: `shunt server weight a 5 --service 192.0.2.10:80/tcp`

    Args:
        name: the server.
        value: 0 to 65535; nothing gives the weight back to the file.
        service: in this service only; may be given several times.
        root: as for `shunt up`.
        json: print the result as JSON.
    """
    return _change("weight", name, service, root, Output(json=json), weight=value)


def quiesce(
    name: str,
    *,
    service: Services = None,
    now: Annotated[bool, _FLAG] = False,
    wait: Annotated[bool, _FLAG] = False,
    root: Root = None,
    json: Json = False,
) -> int:
    """Give a server no new connections; those that it has finish.

    With `--wait`, shows what is still there until the server may be switched off.

    For example: `shunt server quiesce a --wait`

    Args:
        name: the server.
        service: in this service only; may be given several times.
        now: not even clients with affinity get new connections there.
        wait: stay until nothing needs the server any more.
        root: as for `shunt up`.
        json: print the result as JSON.
    """
    out = Output(json=json)
    code = _change("quiesce", name, service, root, out, now=now)
    return _wait(name, service, root, out) if wait else code


def unquiesce(name: str, *, service: Services = None, root: Root = None, json: Json = False) -> int:
    """Give a quiesced server new connections again.

    For example: `shunt server unquiesce a`

    Args:
        name: the server.
        service: in this service only; may be given several times.
        root: as for `shunt up`.
        json: print the result as JSON.
    """
    return _change("unquiesce", name, service, root, Output(json=json))


def _change(
    command: str, name: str, services: list[str] | None, root: Path | None, out: Output, **more: Any
) -> int:
    from shunt.dispatcher.control import request
    from shunt.dispatcher.places import places

    result = request(places(root).socket, command, server=name, services=services, **more)
    out.document(result)
    for changed in result["changed"]:
        number = f" {changed['before']} -> {changed['after']}" if command == "weight" else ""
        out.text(f"{changed['server']} in {changed['service']}: {command}{number}")
    out.text(f"{result['moved']} slots changed hands")
    return 0


def _wait(name: str, services: list[str] | None, root: Path | None, out: Output) -> int:
    from rich.live import Live
    from rich.text import Text

    from shunt.dispatcher.control import request
    from shunt.dispatcher.places import places

    socket = places(root).socket
    status = request(socket, "status")
    members = members_of(status, name, services)
    with Live(Text(""), console=out.err, auto_refresh=False) as live:
        while left := remaining(status, members):
            live.update(Text("\n".join(left)), refresh=True)
            time.sleep(_EVERY)
            status = request(socket, "status")
        live.update(Text(""), refresh=True)
    out.text(f"{name} has no flows any more: it may be switched off")
    return 0


Member = tuple[str, str]
"""(service name, the server's own address): a server that leaves its service has no name there."""


def members_of(status: dict[str, Any], name: str, services: list[str] | None) -> set[Member]:
    """Return what a server is in each service that is meant."""
    return {
        (service["name"], row["address"])
        for service in status["services"]
        if not services or service["name"] in services
        for row in service["servers"]
        if row["server"] == name
    }


def remaining(status: dict[str, Any], members: set[Member]) -> list[str]:
    """Return what still needs a server, in words; nothing if it may be switched off.

    Raises:
        ControlError: a service has gone meanwhile, and with it what could be told.
    """
    from shunt.errors import ControlError

    there = {service["name"]: service for service in status["services"]}
    left = []
    for name, address in sorted(members):
        if name not in there:
            raise ControlError(
                f"the service {name} has gone: whether {address} has flows of it cannot be told",
                hint="look at the connections on the server itself",
            )
        for row in there[name]["servers"]:
            if row["address"] == address and (needs := _needs(row)):
                rate = row["rates"].get("packets", 0)
                left.append(f"{name}: {', '.join(needs)}; {rate:,.0f} packets a second")
    return left


def _needs(row: dict[str, Any]) -> list[str]:
    found = (
        f"{row['share']:.1%} of the slots" if row["share"] else "",
        f"{row['elder_slots']:,} slots with older flows" if row["elder_slots"] else "",
        f"{row['exceptions']:,} remembered flows" if row["exceptions"] else "",
        "not counted yet" if row["exceptions"] is None else "",
    )
    return [words for words in found if words]
