"""`shunt lab`: look inside laboratories that stand, and remove them."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import App, Parameter

from shunt.cli.output import Output
from shunt.errors import UsageError

Flag = Annotated[bool, Parameter(negative=())]

app = App(
    name="lab", help="Look inside laboratories of network namespaces that stand, and remove them."
)


@app.command(name="list")
def list_labs(*, json: Flag = False) -> int:
    """List the laboratories that stand on this machine, with their hosts and addresses.

    For example: `shunt lab list`

    Args:
        json: Print JSON instead of a table.
    """
    from rich.table import Table

    from shunt.lab.lab import Lab

    out = Output(json=json)
    found = Lab.standing()
    out.document(
        [
            {"id": lab.ident, "state": lab.state, "hosts": lab.hosts, "segments": lab.segments}
            for lab in found
        ]
    )
    if not found:
        out.text("No laboratory stands here. `shunt demo --keep` leaves one.")
        return 0
    table = Table("id", "state", "host", "addresses", box=None, header_style="bold")
    for lab in found:
        for row, (host, addresses) in enumerate(lab.hosts.items()):
            start = (lab.ident, lab.state) if row == 0 else ("", "")
            table.add_row(*start, host, ", ".join(addresses))
    out.console.print(table)
    return 0


@app.command(name="exec")
def execute(
    host: str,
    /,
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    lab: str | None = None,
) -> int:
    """Run a command on a host of a laboratory; leave with the command's own exit code.

    For example: `shunt lab exec client -- curl -s http://192.0.2.10/`

    Args:
        host: The host's name; `shunt lab list` shows them.
        command: The command and its arguments, after `--`.
        lab: Which laboratory, where several stand.
    """
    from shunt.lab.lab import Lab

    if not command:
        raise UsageError("no command to run", hint=f"shunt lab exec {host} -- ip address")
    found = Lab.open(_the_only_one() if lab is None else lab)
    if host not in found.hosts:
        raise UsageError(
            f"laboratory {found.ident!r} has no host {host!r}",
            hint=f"its hosts: {', '.join(found.hosts)}",
        )
    argv = found.hosts[host].argv(command)
    os.execvp(argv[0], argv)  # noqa: S606 - no shell; the command is the operator's own


@app.command
def down(
    ident: str | None = None,
    /,
    *,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
    dry_run: Flag = False,
    json: Flag = False,
) -> int:
    """Remove a laboratory: its processes, namespaces, mounts and files.

    For example: `shunt lab down --all` removes all but those that a running process uses

    Args:
        ident: Which one; also one in use, if it is named.
        all_: Every one that was kept or whose owner died.
        dry_run: Say what would be removed, and remove nothing.
        json: Print JSON: the names of those removed.
    """
    from shunt.lab.lab import Lab

    out = Output(json=json)
    if ident is not None and all_:
        raise UsageError("either a laboratory's name or --all, not both")
    if all_:
        names = [lab.ident for lab in Lab.standing() if lab.state != "in use"]
    else:
        names = [_the_only_one() if ident is None else ident]
    for name in names:
        found = Lab.open(name)
        if not dry_run:
            found.down()
        out.text(f"{'would remove' if dry_run else 'removed'} {name}: {', '.join(found.hosts)}")
    if not names:
        out.text("No laboratory to remove.")
    out.document({"removed": [] if dry_run else names, "would_remove": names if dry_run else []})
    return 0


def _the_only_one() -> str:
    """Return the laboratory that is meant when none is named.

    Raises:
        UsageError: none stands, or several do.
    """
    from shunt.lab.lab import Lab

    found = Lab.standing()
    chosen = [lab.ident for lab in found if lab.state != "in use"] or [lab.ident for lab in found]
    if not chosen:
        raise UsageError("no laboratory stands here", hint="`shunt demo --keep` leaves one")
    if len(chosen) > 1:
        raise UsageError("several laboratories stand here", hint=f"name one: {', '.join(chosen)}")
    return chosen[0]
