"""Do the servers that services name exist, and is each named once?

Works on the plain data, so that a mistake elsewhere in a service hides none of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.config.places import Path
    from shunt.config.plain import Plain
    from shunt.config.report import Report


def check(data: Plain, report: Report) -> None:
    """Report names of servers that are not defined, and those that stand twice in one service."""
    if not isinstance(data, dict):
        return
    defined = data.get("servers")
    known = defined if isinstance(defined, dict) else {}
    for names in _services(data):
        first: dict[str, Path] = {}
        for name, place in names:
            if name not in known:
                right = report.nearest.hint(name, known, none="define it under `servers`")
                report.key(place, f"no server is called `{name}`; {right}")
            elif name in first:
                line = report.places.value(first[name]).line
                report.key(place, f"server `{name}` stands at line {line} already; keep one")
            first.setdefault(name, place)


def _services(data: dict[str, Plain]) -> Iterator[list[tuple[str, Path]]]:
    """Yield each service's names of servers, with the place of each."""
    clusters = data.get("clusters")
    for cluster, body in clusters.items() if isinstance(clusters, dict) else ():
        ports = body.get("ports") if isinstance(body, dict) else None
        for index, port in enumerate(ports if isinstance(ports, list) else []):
            if isinstance(port, dict):
                path = ("clusters", cluster, "ports", index, "servers")
                yield _names(port.get("servers"), path)


def _names(servers: Plain, path: Path) -> list[tuple[str, Path]]:
    if isinstance(servers, dict):
        return [(name, (*path, name)) for name in servers]
    items = servers if isinstance(servers, list) else []
    return [(item, (*path, index)) for index, item in enumerate(items) if isinstance(item, str)]
