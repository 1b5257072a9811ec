"""`shunt trace`: what would become of one packet, and why."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from shunt.cli.output import Output
from shunt.errors import UsageError

_FLAG = Parameter(negative="")


def trace(
    *,
    from_: Annotated[str, Parameter(name="--from")],
    to: str,
    syn: Annotated[bool, _FLAG] = False,
    udp: Annotated[bool, _FLAG] = False,
    root: Annotated[Path | None, Parameter(name="--root")] = None,
    json: Annotated[bool, _FLAG] = False,
) -> int:
    """Say what would become of a packet: service, slot, server, and the reason for each.

    Runs the real program on a made packet that is not sent; nothing is remembered or counted.
    Leaves with 0 if the packet would be forwarded, 1 if not.

    For example: `shunt trace --from 198.51.100.7:40000 --to 192.0.2.10:80 --syn`

    Args:
        from_: the client, ADDRESS:PORT.
        to: the cluster address and port, ADDRESS:PORT.
        syn: the packet opens a connection; else it belongs to one.
        udp: a UDP datagram instead of a TCP segment.
        root: as for `shunt up`.
        json: print the decision as JSON.
    """
    from shunt.dispatcher.control import request
    from shunt.dispatcher.places import places

    client, client_port = _endpoint("--from", from_)
    cluster, port = _endpoint("--to", to)
    if ip_address(client).version != ip_address(cluster).version:
        raise UsageError("--from and --to are of two IP versions", hint="one packet has one")
    out = Output(json=json)
    found = request(
        places(root).socket, "trace", client=client, client_port=client_port, cluster=cluster,
        port=port, protocol="udp" if udp else "tcp", syn=syn,
    )  # fmt: skip
    out.document(found)
    for line in describe(found):
        out.text(line)
    return 0 if found["cause"] == "forwarded" else 1


def _endpoint(option: str, text: str) -> tuple[str, int]:
    from shunt.dispatcher.tracing import numbers

    try:
        host, port = numbers(text)
        return str(ip_address(host)), port
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def describe(found: dict[str, Any]) -> list[str]:
    """Return the decision in words, a line for each step."""
    lines = []
    if "service" in found:
        state = "settled" if found["settled"] else f"not settled, elder {found['elder'] or 'gone'}"
        slot = f"slot     {found['slot']} of {found['slots']} by hash {found['hash']}"
        lines = [
            f"service  {found['service']}: {found['match']}",
            f"{slot}: server {found['current'] or 'none'}, {state}",
            f"server   {found['server'] or 'none'} at {found['mac']}: {found['reason_meaning']}",
        ]
    else:
        lines = [f"service  none: {found['match']}"]
    lines.append(f"packet   {found['verdict']}, {found['cause']}: {found['cause_meaning']}")
    return lines
