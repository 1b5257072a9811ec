"""`shunt status`: what the dispatcher does now, and the reason for whatever is not in service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from shunt.cli.output import Output
from shunt.cli.status_alarms import alarms, alive

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from shunt.dispatcher.places import Places

_EVERY = 1.0
_BARS = 12
_MOST_SERVICES = 100  # that a person is shown
_FLAG = Parameter(negative="")


def status(
    *,
    root: Annotated[Path | None, Parameter(name="--root")] = None,
    json: Annotated[bool, _FLAG] = False,
    watch: Annotated[bool, _FLAG] = False,
    memory: Annotated[bool, _FLAG] = False,
) -> int:
    """Show clusters, services and servers: weight, share, MAC, packets, rates, reasons.

    Works without the daemon as well, from what is pinned in the kernel. Leaves with 1 if the daemon
    does not run, or some of its work has stopped.

    For example: `shunt status --watch`

    Args:
        root: as for `shunt up`.
        json: print everything as one JSON document.
        watch: draw anew every second, until Ctrl-C.
        memory: show what the kernel keeps, in bytes.
    """
    from shunt.dispatcher.places import places

    where = places(root)
    out = Output(json=json)
    if watch and not json:
        return _watch(where, out)
    document = read(where)
    out.document(document)
    if not json:
        out.console.print(_memory(document) if memory else render(document))
    return 1 if alarms(document) else 0


def read(where: Places) -> dict[str, Any]:
    """Return the snapshot from the daemon, or without one from the kernel.

    Raises:
        ControlError: nothing dispatches here, or the daemon is there and could not tell.
    """
    from shunt.dispatcher.control import is_served, request
    from shunt.dispatcher.inspection import inspect
    from shunt.errors import ControlError

    try:
        document: dict[str, Any] = request(where.socket, "status")
    except ControlError as error:
        found = None if is_served(where.socket) else inspect(where)
        if found is None:
            raise error from None
        return found
    return document


def _watch(where: Places, out: Output) -> int:
    from rich.live import Live

    with Live(render(read(where)), console=out.console, auto_refresh=False) as live:
        while True:
            time.sleep(_EVERY)
            live.update(render(read(where)), refresh=True)


def render(document: dict[str, Any]) -> Group:
    """Return the snapshot as tables."""
    from rich.console import Group
    from rich.text import Text

    from shunt.cli.status_health import tables

    head = Text()
    daemon = document["daemon"]
    if daemon:
        head.append(f"dispatcher: process {daemon['process']}, {daemon['file']}\n")
        head.append(f"{alive(daemon['loops'])}\n")
    for line in alarms(document):
        head.append(f"{line}\n", "red")
    for name, link in document["interfaces"].items():
        head.append_text(_interface(name, link))
    for diagnosis in document["diagnoses"]:
        head.append(f"{diagnosis['text']}\n", "red")
    if daemon:
        head.append(_happened(document))
        head.append(_refused(document), "yellow")
    for claim in daemon["claims"] if daemon else ():
        head.append(
            f"{claim['mac']} claims {claim['address']} on {claim['interface']} "
            f"({claim['times']} times): find that machine\n",
            "red",
        )
    shown, left_out = _worth_showing(document["services"])
    health = document.get("health")
    checks = tables(health, {service["name"] for service in shown}) if health else ()
    others = [Text(f"{left_out:,} more services; --json has them all\n")] if left_out else []
    return Group(head, *map(_service, shown), *others, *checks, _causes(document))


def _interface(name: str, link: dict[str, Any]) -> Text:
    """Return an interface with its problems, and what else is to be known of it."""
    from rich.text import Text

    told = Text()
    if link["mode"] != "gone":
        refused = f" (native refused: {link['native_refused']})" if link["native_refused"] else ""
        told.append(f"interface {name}: {link['mode']} mode{refused}\n")
    for problem in link["problems"]:
        told.append(f"interface {name} {problem['text']}\n", "red")
    for note in link["notes"]:
        told.append(f"interface {name} {note}\n", "dim")
    return told


def _worth_showing(services: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Return the services to show, in their order, and how many are left out.

    Of many, those come first in which a server is not as the file says.
    """
    if len(services) <= _MOST_SERVICES:
        return services, 0
    ailing = [bool(any(row["reason"] for row in each["servers"])) for each in services]
    chosen = sorted(sorted(range(len(services)), key=lambda n: not ailing[n])[:_MOST_SERVICES])
    return [services[number] for number in chosen], len(services) - _MOST_SERVICES


def _happened(document: dict[str, Any]) -> str:
    """Return what has happened since the daemon's start, as a line or none."""
    moved = document["moved"]
    told = [f"{name} {count:,}" for name, count in document["events"].items() if count]
    if moved["slots"]:
        lately = f"{moved['last_minute']:,} in the last minute"
        told.append(f"slots that changed hands {moved['slots']:,} ({lately})")
    return f"since the start: {', '.join(told)}\n" if told else ""


def _refused(document: dict[str, Any]) -> str:
    """Return what was not remembered for its rate, as a line or none."""
    kinds = document["budgets"].items()
    told = [
        f"{counts['refused']:,} {kind}"
        for kind, counts in kinds
        if counts["refused"] and kind != "pings"  # they have a cause of their own
    ]
    if not told:
        return ""
    return f"not remembered, for their rate: {', '.join(told)} (dispatcher.exceptions_rate)\n"


def _service(service: dict[str, Any]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    details = f"{service['slots']} slots"
    if service["unsettled"]:
        details += f", {service['unsettled']} of them not settled yet"
    if service["exceptions"]:
        details += f", {service['exceptions']} flows remembered"
    name = escape(service["name"])  # an IPv6 address may look like markup
    title = f"{service['cluster'] or ''} {name}  [dim]({details})[/]"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), header_style="dim")
    for heading in ("server", "address", "MAC"):
        table.add_column(heading)
    for heading in ("weight", "share"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for heading in ("packets", "per s", "new", "closed"):
        table.add_column(heading, justify="right")
    table.add_column("why not more")
    for row in service["servers"]:
        table.add_row(*_row(row))
    return table


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    from rich.markup import escape

    bar = "█" * round(row["share"] * _BARS)
    rate = row["rates"].get("packets")
    weight = "" if row["weight"] is None else str(row["weight"])
    return (
        row["server"] or "?",
        row["address"],
        (row["mac"] or "unknown") + (" pinned" if row["mac_pinned"] else ""),
        weight,
        f"{row['share']:.1%}",
        f"[green]{bar:<{_BARS}}[/]",
        f"{row['packets']:,}",
        "" if rate is None else f"{rate:,.0f}",
        f"{row['opened']:,}",
        f"{row['closed']:,}",
        f"[yellow]{escape(row['reason'])}[/]" if row["reason"] else "",
    )


def _causes(document: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title="every packet", title_justify="left", box=None, padding=(0, 1),
                  header_style="dim")  # fmt: skip
    table.add_column("cause")
    table.add_column("packets", justify="right")
    table.add_column("meaning")
    for name, cause in document["causes"].items():
        if cause["packets"]:
            table.add_row(name, f"{cause['packets']:,}", cause["meaning"])
    return table


def _memory(document: dict[str, Any]) -> Group:
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    maps = Table(title="maps in the kernel", title_justify="left", box=None, header_style="dim")
    maps.add_column("map")
    maps.add_column("bytes", justify="right")
    for name, size in document["memory"]["maps"].items():
        maps.add_row(name, f"{size:,}")
    services = Table(title="each service", title_justify="left", box=None, header_style="dim")
    for heading in ("service", "slots", "shared by", "members"):
        services.add_column(heading, justify="left" if heading == "service" else "right")
    for name, part in document["memory"]["services"].items():
        services.add_row(
            escape(name), f"{part['slots']:,}", f"{part['shared_by']}", f"{part['members']:,}"
        )
    return Group(maps, services)
