"""`shunt demo`: the main job on real traffic in a laboratory, and the proof of what happened."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from shunt.cli.output import Output
from shunt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Flag = Annotated[bool, Parameter(negative=())]
Positive = Annotated[int, Parameter(validator=lambda _, value: _at_least_one(value))]


def demo(
    *,
    json: Flag = False,
    keep: Flag = False,
    requests: Positive = 1000,
    connections: Positive = 64,
    seconds: Positive = 2,
    native: Flag = False,
    generic: Flag = False,
) -> int:
    """Show the main job on real traffic, in a laboratory that is removed afterwards.

    A client, a switch, a dispatcher and three servers with nginx are made of network namespaces;
    nothing of this machine's own network is touched. Needs root.

    For example: `shunt demo --keep`, then `shunt lab exec client -- curl -s http://192.0.2.10/`

    Args:
        json: Print the figures as JSON.
        keep: Leave the laboratory standing; `shunt lab down` removes it.
        requests: Requests by curl to each cluster address.
        connections: Connections that wrk keeps busy, to each cluster address in turn.
        seconds: How long wrk makes load, for each cluster address.
        native: Insist on the driver's own XDP.
        generic: Use the kernel's generic XDP.
    """
    from shunt.cli.demo_view import document, show
    from shunt.lab.demonstration import Wishes, run
    from shunt.lab.lab import Lab

    if native and generic:
        raise UsageError("--native and --generic exclude each other")
    mode = "native" if native else "generic" if generic else "auto"
    wishes = Wishes(requests, connections, seconds, mode)
    out = Output(json=json)
    Lab.sweep()
    with Lab.create(keep=keep) as lab:
        with _progress(out) as tell:
            findings = run(lab, wishes, tell)
        kept = lab.ident if keep else None
        if json:
            out.document(document(findings, kept))
        else:
            show(out.console, findings, kept)
    return 1 if findings.failures else 0


@contextlib.contextmanager
def _progress(out: Output) -> Iterator[Callable[[str], None]]:
    """Say what is being done: in one changing line on a terminal, line by line elsewhere."""
    if not out.err.is_terminal:
        yield lambda words: out.err.print(f"demo: {words}", markup=False)
        return
    with out.err.status("making a laboratory", spinner="dots") as status:
        yield lambda words: status.update(f"{words} ...")


def _at_least_one(value: int) -> None:
    if value < 1:
        raise ValueError("must be 1 or more")
