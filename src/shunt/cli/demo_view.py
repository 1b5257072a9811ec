"""How the demonstration's findings are shown: for a person in a minute, or as one JSON document."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from shunt.lab.topology import CLUSTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.cli.output import JsonValue, VisibleConsole
    from shunt.lab.demonstration import Findings, Share

_BAR = 30
_EIGHTHS = " ▏▎▍▌▋▊▉"

_PICTURE = """\
  client ── switch ─┬─ dispatcher   forwards what is sent to {four}
                    │               and {six}, by MAC address
                    ├─ server a
                    ├─ server b     each holds both addresses, silently,
                    └─ server c     and replies straight to the client"""


def show(console: VisibleConsole, findings: Findings, kept: str | None) -> None:
    """Print the findings; `kept` is the laboratory's name if it stands."""
    four, six = CLUSTERS
    _head(console, "The laboratory")
    console.print(_PICTURE.format(four=four, six=six), markup=False)
    _head(console, "The configuration of the dispatcher")
    console.print(Text(_indented(findings.configuration.rstrip()), style="cyan"))
    _head(console, "Who answered the requests")
    console.print(_shares(findings.shares))
    console.print(f"  {_told(findings)}", markup=False)
    _head(console, "Which way the replies went")
    console.print(_frames(findings))
    console.print("  Counted in the kernel at the switch's ports, not by Shunt.")
    _head(console, "Who says “the cluster address is mine”")
    console.print(_claims(findings))
    console.print(
        "  By ARP for IPv4, by neighbour discovery for IPv6; asked on the wire each time.\n"
        "  Linux never advertises an IPv6 address of its loopback: IPv6 needs no silence."
    )
    _head(console, "What one packet cost")
    cost = findings.cost
    console.print(
        f"  {cost.nanoseconds:.0f} ns in the program, on average over {cost.runs:,} packets, "
        f"in {cost.mode} mode.\n"
        f"  So the kernel accounts; of this, its accounting itself is some {cost.empty:.0f} ns:\n"
        "  an empty program on the switch's port took that long by the same clock."
    )
    console.print()
    _verdict(console, findings)
    if kept:
        _how_to_look_inside(console, kept)


def document(findings: Findings, kept: str | None) -> JsonValue:
    """Return the findings as JSON."""
    total = sum(share.total for share in findings.shares.values())
    weights = sum(share.weight for share in findings.shares.values())
    return {
        "ok": not findings.failures,
        "failures": findings.failures,
        "configuration": findings.configuration,
        "servers": {
            name: {
                "weight": share.weight,
                "wanted_share": share.weight / weights,
                "share": share.total / total if total else 0.0,
                "requests": {str(address): count for address, count in share.requests.items()},
            }
            for name, share in findings.shares.items()
        },
        "curl": {
            str(address): {
                "answers": dict(asked.answers),
                "failures": dict(asked.failures),
                "seconds": asked.seconds,
            }
            for address, asked in findings.asked.items()
        },
        "wrk": {
            str(address): {
                "requests": load.requests,
                "seconds": load.seconds,
                "requests_per_second": load.per_second,
                "errors": load.errors,
            }
            for address, load in findings.loads.items()
        },
        "frames": {
            "requests_into_dispatcher": findings.frames.requests_in,
            "requests_out_of_dispatcher": findings.frames.requests_out,
            "replies_through_dispatcher": findings.frames.replies_through,
            "replies_to_client_from": dict(findings.frames.replies_from),
        },
        "claims": {
            stage: {str(address): list(names) for address, names in claims.items()}
            for stage, claims in findings.claims.items()
        },
        "cost": {
            "mode": findings.cost.mode,
            "packets": findings.cost.runs,
            "nanoseconds_per_packet": findings.cost.nanoseconds,
            "nanoseconds_of_an_empty_program": findings.cost.empty,
        },
        "seconds": findings.seconds,
        "lab": kept,
    }


def bar(share: float, width: int = _BAR) -> str:
    """Return a bar of `width` characters that a share of 1 fills, in steps of an eighth."""
    eighths = round(share * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def _head(console: VisibleConsole, title: str) -> None:
    console.print(f"\n[bold]{title}[/]")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _shares(shares: Mapping[str, Share]) -> Table:
    total = sum(share.total for share in shares.values()) or 1
    weights = sum(share.weight for share in shares.values())
    largest = max(share.total for share in shares.values()) or 1
    table = Table(box=None, pad_edge=True, header_style="dim")
    table.add_column("server")
    for title in ("weight", "wanted", "got", "requests"):
        table.add_column(title, justify="right")
    table.add_column("")
    for name, share in shares.items():
        table.add_row(
            name,
            str(share.weight),
            f"{share.weight / weights:.1%}",
            f"[bold]{share.total / total:.1%}[/]",
            f"{share.total:,}",
            f"[green]{bar(share.total / largest)}[/]",
        )
    return table


def _told(findings: Findings) -> str:
    curl = sum(asked.answers.total() for asked in findings.asked.values())
    wrk = sum(load.requests for load in findings.loads.values())
    rates = ", ".join(
        f"{load.per_second:,.0f} a second over IPv{address.version}"
        for address, load in findings.loads.items()
    )
    return (
        f"{curl:,} by curl and {wrk:,} by wrk, each on a new connection;\n"
        f"  wrk had {rates}.\n"
        "  Counted in the servers' own logs; wrk leaves a few under way when it stops."
    )


def _frames(findings: Findings) -> Table:
    frames = findings.frames
    table = Table(box=None, pad_edge=True, header_style="dim")
    table.add_column("frames")
    table.add_column("", justify="right")
    table.add_column("")
    table.add_row("requests into the dispatcher", f"{frames.requests_in:,}", "")
    table.add_row("requests from it to the servers", f"{frames.requests_out:,}", "")
    through = frames.replies_through
    style = "red" if through else "green"
    table.add_row("replies through the dispatcher", f"[bold {style}]{through:,}[/]", "")
    direct = {name: count for name, count in frames.replies_from.items() if count}
    table.add_row(
        "replies straight to the client",
        f"{sum(direct.values()):,}",
        ", ".join(f"{name} {count:,}" for name, count in direct.items()),
    )
    return table


def _claims(findings: Findings) -> Table:
    words = {
        "unprepared": "servers with the address, not silenced",
        "prepared": "servers silenced first, then given it",
        "dispatched": "the same with the dispatcher at work",
    }
    table = Table(box=None, pad_edge=True, header_style="dim")
    table.add_column("")
    for address in findings.asked:
        table.add_column(str(address))
    for stage, claims in findings.claims.items():
        answers = (", ".join(claims[address]) or "[dim]nobody[/]" for address in findings.asked)
        table.add_row(words[stage], *answers)
    return table


def _verdict(console: VisibleConsole, findings: Findings) -> None:
    total = sum(share.total for share in findings.shares.values())
    if not findings.failures:
        console.print(
            f"[bold green]✓[/] {total:,} requests, none failed, "
            f"no reply through the dispatcher. {findings.seconds:.1f} s."
        )
    for words in findings.failures:
        console.print(Text(f"✗ {words}", style="bold red"))


def _how_to_look_inside(console: VisibleConsole, kept: str) -> None:
    command = "shunt" if shutil.which("shunt") else sys.argv[0]
    console.print(f"\n[bold]The laboratory {kept} stands.[/] Look inside:")
    for line in (
        "lab list",
        f"lab exec client --lab {kept} -- curl -s http://192.0.2.10/",
        f"lab exec dispatcher --lab {kept} -- ip -details link show eth0",
        f"lab down {kept}",
    ):
        # A line that is to be copied stays one, however long the command's path is.
        console.print(Text(f"  {command} {line}", style="cyan"), soft_wrap=True)
