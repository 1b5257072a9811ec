"""`shunt routes`: the extra routes in a pasted route table, and how to delete them."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from cyclopts import Parameter

from shunt.cli.output import JsonValue, Output
from shunt.errors import UsageError
from shunt.model.config import OperatingSystem

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.routes.answer import Answer
    from shunt.servers.routes.delete import Deletion
    from shunt.servers.routes.held import OnTheWire
    from shunt.servers.routes.rule import Extra

_MAX_SIZE = 64 << 20  # bytes; a million routes


def routes(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)] = Path("-"),
    *,
    cluster: Annotated[list[str], Parameter(negative="")],
    own: Annotated[list[str] | None, Parameter(negative="")] = None,
    gateway: str | None = None,
    dispatcher: Annotated[list[str] | None, Parameter(negative="")] = None,
    system: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Find extra routes in a route table and print the commands that delete them.

    Reads the output of `netstat -rn`, `netstat -rnv`, `route print`, `ip route` or
    `ip -j route show table all` of any system, also as one folded line, and says which system it
    is from. Exit code 0: no extra routes; 1: there are some, or the cluster address is on a network
    card; 2: the listing was not understood, or cannot show the answer.

    ```
    netstat -rn | shunt routes --cluster 192.0.2.10
    shunt routes table.txt --cluster 9.67.133.158 --own 9.67.133.67
    ip -j route show table all | shunt routes --cluster 192.0.2.10 --json
    ```

    Parameters
    ----------
    file
        The listing; `-` reads standard input.
    cluster
        The cluster address; may be given several times.
    own
        The server's own address. Read off the listing where it can be.
    gateway
        The server's default gateway. Read off the listing where it can be.
    dispatcher
        The dispatcher's address.
    system
        The system that printed it, where that is known better: `--system windows2003`.
    json
        Print one JSON document.
    """
    from shunt.servers.routes.answer import answer
    from shunt.servers.routes.rule import Surroundings
    from shunt.servers.routes.text import decode

    around = Surroundings(
        own=_addresses(own or []),
        gateways=_addresses([gateway] if gateway else []),
        dispatchers=_addresses(dispatcher or []),
    )
    result = answer(decode(_read(file)), _addresses(cluster), around, _system(system))
    out = Output(json=json)
    out.document(_document(result))
    _print(out, result)
    return result.exit_code


def _addresses(texts: list[str]) -> tuple[Address, ...]:
    try:
        return tuple(ip_address(text) for text in texts)
    except ValueError as error:
        raise UsageError(
            str(error), hint="write an address like 192.0.2.10 or 2001:db8::10"
        ) from error


def _system(name: str | None) -> OperatingSystem | None:
    if name is None:
        return None
    try:
        return OperatingSystem(name)
    except ValueError as error:
        raise UsageError(
            f"{name!r} is no system that Shunt knows", hint=f"known: {', '.join(OperatingSystem)}"
        ) from error


def _read(file: Path) -> bytes:
    if file == Path("-"):
        return _bounded(sys.stdin.buffer, "standard input")
    try:
        with file.open("rb") as stream:
            return _bounded(stream, str(file))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def _bounded(stream: BinaryIO, name: str) -> bytes:
    data = stream.read(_MAX_SIZE + 1)
    if len(data) > _MAX_SIZE:
        raise UsageError(
            f"{name} has more than {_MAX_SIZE >> 20} MiB", hint="paste the route table alone"
        )
    return data


def _print(out: Output, result: Answer) -> None:
    count = len(result.listing.routes)
    out.text(f"{result.system}: {result.listing.layout}, {count} row{'s' * (count != 1)}")
    for extra, how in result.extras:
        _print_extra(out, extra, how)
    for misplaced in result.on_the_wire:
        _print_misplaced(out, misplaced)
    for blind in result.blind:
        out.text(f"cannot tell for {blind.cluster}: {blind.why}")
        out.text(f"  this can: {blind.command}")
    if not result.extras and not result.on_the_wire and not result.blind:
        out.text("no extra routes")


def _print_misplaced(out: Output, misplaced: OnTheWire) -> None:
    card = misplaced.route.card == misplaced.interface and " " in misplaced.interface
    name = misplaced.interface if card else f"{misplaced.interface}, a network card"
    out.text(
        f"{misplaced.cluster} is on {name} (line {misplaced.route.line}), where the server answers"
        " ARP for it"
    )
    out.text("  take the address off the card and put it on the loopback; its route there is not")
    out.text("  extra: without it the server cannot reach its neighbours")


def _print_extra(out: Output, extra: Extra, how: Deletion) -> None:
    route = extra.route
    name = route.written if route.network is None else str(route.network)
    out.text(f"extra route: {name} (line {route.line}), because {extra.rule} ({extra.cluster})")
    if extra.covers:
        names = ", ".join(f"{what} {address}" for what, address in extra.covers)
        out.text(f"  {extra.severity}: it covers {names}")
    else:
        out.text(f"  {extra.severity}: the server cannot answer other addresses of this network")
    for command in how.commands:
        out.text(f"  delete it: {command}")
    if how.note:
        out.text(f"  {how.note}")


def _document(result: Answer) -> JsonValue:
    return {
        "system": result.system.value,
        "layout": result.listing.layout,
        "rows": len(result.listing.routes),
        "ignored": result.ignored,
        "extra": [
            {
                "cluster": str(extra.cluster),
                "destination": extra.route.written,
                "network": None if extra.route.network is None else str(extra.route.network),
                "gateway": None if extra.route.gateway is None else str(extra.route.gateway),
                "interface": extra.route.interface,
                "table": extra.route.table or extra.route.where.value,
                "line": extra.route.line,
                "rule": extra.rule.value,
                "severity": extra.severity.value,
                "covers": [
                    {"what": what, "address": str(address)} for what, address in extra.covers
                ],
                "delete": list(how.commands),
                "note": how.note,
            }
            for extra, how in result.extras
        ],
        "on_the_wire": [
            {
                "cluster": str(misplaced.cluster),
                "interface": misplaced.interface,
                "line": misplaced.route.line,
            }
            for misplaced in result.on_the_wire
        ],
        "cannot_tell": [
            {"cluster": str(blind.cluster), "why": blind.why, "command": blind.command}
            for blind in result.blind
        ],
    }
