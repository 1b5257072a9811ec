"""Warnings: what is right by the rules, and still looks like a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shunt.config.reading import Located
    from shunt.errors import Problem
    from shunt.model.addresses import Mac


def warnings(located: Located) -> tuple[Problem, ...]:
    """Return what an operator may want to look at, in the order of the file."""
    return tuple(sorted([*_unused(located), *_weightless(located), *_one_card(located)]))


def _unused(located: Located) -> list[Problem]:
    config = located.config
    used = {member.server for service in config.services for member in service.members}
    return [
        located.problem(
            ("servers", name),
            f"server `{name}` is in no service; name it under a port's `servers`, or remove it",
        )
        for name in config.servers
        if name not in used
    ]


def _one_card(located: Located) -> list[Problem]:
    owners: dict[Mac, str] = {}
    found = []
    for name, server in located.config.servers.items():
        first = owners.setdefault(server.mac, name) if server.mac else name
        if first != name:
            message = f"server `{first}` has the same MAC address; requests would go to one of them"
            found.append(located.problem(("servers", name, "mac"), message))
    return found


def _weightless(located: Located) -> list[Problem]:
    return [
        located.problem(
            ("clusters", service.cluster),
            f"every server of {service.name} has weight 0; no new connection is taken",
        )
        for service in located.config.services
        if not any(member.weight for member in service.members)
    ]
