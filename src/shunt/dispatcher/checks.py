"""What must be true of this host before a configuration is put to work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.errors import ConfigError, HostError
from shunt.network.addresses import held_by_host
from shunt.network.links import Link, find

if TYPE_CHECKING:
    from shunt.config import Located
    from shunt.errors import Problem


def check_host(located: Located) -> tuple[Link, ...]:
    """Return the dispatcher's interfaces, once everything is as it must be.

    Raises:
        ConfigError: cluster addresses that the host itself holds, or interfaces that are absent
            or that are no Ethernet; all of them, each with its line.
    """
    problems: list[Problem] = []
    links = []
    for name in located.config.dispatcher.interfaces:
        try:
            link = find(name)
        except HostError as error:
            hint = f"; {error.hint}" if error.hint else ""
            problems.append(located.problem(("dispatcher", "interface"), error.message + hint))
            continue
        links.append(link)
        if link.loopback or link.mac is None:
            problems.append(located.problem(("dispatcher", "interface"), _no_ethernet(link)))
    for address in located.config.cluster_addresses:
        held = held_by_host(address)
        if held is not None:
            message = (
                f"{address} is held by this host itself, on {held.interface}; the dispatcher's "
                f"kernel must not hold it. Remove it: {held.removal}"
            )
            problems.append(located.problem(located.addresses[address], message))
    if problems:
        raise ConfigError(located.file, tuple(problems))
    return tuple(links)


def _no_ethernet(link: Link) -> str:
    what = "is the loopback" if link.loopback else "has no MAC address"
    return (
        f"{link.name} {what}: frames are forwarded by their MAC addresses, so requests must come "
        "in by Ethernet"
    )
