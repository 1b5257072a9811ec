"""`shunt flows`: the flows that the dispatcher remembers."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from shunt.cli.output import Output
from shunt.errors import UsageError

_MOST = 10_000  # that the daemon lists in one reply
_FLAG = Parameter(negative="")


def flows(
    *,
    service: str | None = None,
    server: str | None = None,
    client: str | None = None,
    limit: int = 100,
    count: Annotated[bool, _FLAG] = False,
    root: Annotated[Path | None, Parameter(name="--root")] = None,
    json: Annotated[bool, _FLAG] = False,
) -> int:
    """List and count the remembered flows: exceptions, or all flows of a service with `track: all`.

    For example: `shunt flows --server a --count`

    Args:
        service: only of this service, such as 192.0.2.10:80/tcp.
        server: only those that go to this server.
        client: only those of this client address.
        limit: list at most so many, 10,000 at most; all are counted.
        count: only count.
        root: as for `shunt up`.
        json: print the result as JSON.
    """
    from rich.table import Table

    from shunt.dispatcher.control import request
    from shunt.dispatcher.places import places

    if client is not None:
        try:
            ip_address(client)
        except ValueError as error:
            raise UsageError(f"--client: {error}") from None
    if not 0 <= limit <= _MOST:
        raise UsageError(f"--limit {limit}: a number of flows, 0 to {_MOST}")
    out = Output(json=json)
    found = request(
        places(root).socket, "flows", service=service, server=server, client=client,
        limit=0 if count else limit,
    )  # fmt: skip
    out.document(found)
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for heading in ("client", "service", "server", "idle"):
        table.add_column(heading)
    for flow in found["flows"]:
        host = f"[{flow['client']}]" if ":" in flow["client"] else flow["client"]
        ended = ", closed" if flow["closed"] else ""
        table.add_row(
            f"{host}:{flow['client_port']}", flow["service"], flow["server"],
            f"{flow['idle']} s{ended}",
        )  # fmt: skip
    if found["flows"]:
        out.console.print(table)
    for row in found["counts"]:
        out.text(f"{row['flows']:>10,}  {row['service']}  {row['server']}")
    out.text(f"{found['total']:>10,}  flows remembered")
    return 0
