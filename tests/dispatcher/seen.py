"""What a running daemon in a laboratory says of its servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shunt.dispatcher.control import request
from shunt.dispatcher.places import places

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.lab.daemon import Daemon

WEB = "192.0.2.10:80/tcp"
OWN = {"a": "192.0.2.21", "b": "192.0.2.22", "c": "192.0.2.23"}
WEIGHTS = {"a": 10, "b": 20, "c": 30}


def configuration(
    ports: str, *, options: str = "", more: str = "", servers: Mapping[str, str] | None = None
) -> str:
    """Return a file for the standard laboratory with these ports at one cluster address.

    Args:
        ports: the items of the list, each on a line of its own.
        options: of the dispatcher.
        more: sections after the servers.
        servers: further options of servers, by name.
    """
    listed = "\n".join(f"      - {line}" for line in ports.strip().splitlines())
    rows = "\n".join(
        f"  {name}: {{address: {OWN[name]}, weight: {weight}{(servers or {}).get(name, '')}}}"
        for name, weight in WEIGHTS.items()
    )
    return (
        f"dispatcher:\n  interface: eth0\n{options}"
        f"clusters:\n  web:\n    address: 192.0.2.10\n    ports:\n{listed}\n"
        f"servers:\n{rows}\n{more}"
    )


def status(running: Daemon) -> dict[str, Any]:
    """Return what `shunt status --json` would print."""
    found: dict[str, Any] = request(places(running.root).socket, "status")
    return found


def weights(running: Daemon, service: str = WEB) -> dict[str, int]:
    """Return the weights that the data plane's tables are made of."""
    (found,) = (each for each in status(running)["services"] if each["name"] == service)
    return {row["server"]: row["weight"] for row in found["servers"]}


def checks(running: Daemon, service: str = WEB) -> dict[str, dict[str, Any]]:
    """Return what was seen of each server of a service, and decided."""
    found: dict[str, dict[str, Any]] = status(running)["health"]["services"][service]["servers"]
    return found


def up(running: Daemon, service: str = WEB) -> set[str]:
    """Return the servers that a check has found up; empty until all are checked."""
    rows = checks(running, service)
    if not all(row["checked"] for row in rows.values()):
        return set()
    return {name for name, row in rows.items() if row["up"]}


def down(running: Daemon, service: str = WEB) -> set[str]:
    """Return the servers that a check has found down."""
    rows = checks(running, service)
    return {name for name, row in rows.items() if row["checked"] and not row["up"]}
