"""What must be true of this host before a configuration is put to work."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from shunt.errors import ConfigError, HostError, UnreadyError
from shunt.network.addresses import held_by_host
from shunt.network.links import Link, find

if TYPE_CHECKING:
    from shunt.config import Located
    from shunt.errors import Problem


class Demands(Enum):
    """What must be true of this host, beside the file.

    An interface may come late, and what is in the kernel already forwards whatever this process
    does. So a start asks for one interface, and a take-over for none: what is missing is followed,
    and shown.
    """

    RELOAD = auto()
    START = auto()
    TAKE_OVER = auto()


def check_host(located: Located, demands: Demands = Demands.RELOAD) -> tuple[Link, ...]:
    """Return the dispatcher's interfaces that are there, once everything is as it must be.

    Raises:
        UnreadyError: at a start, cluster addresses that the host itself holds, or interfaces that
            are absent; all of them, each with its line. Later it may be otherwise.
        ConfigError: the same at a reload, or interfaces without Ethernet.
    """
    problems: list[Problem] = []
    unready: list[Problem] = []
    links = []
    for name in located.config.dispatcher.interfaces:
        try:
            link = find(name)
        except HostError as error:
            hint = f"; {error.hint}" if error.hint else ""
            unready.append(located.problem(("dispatcher", "interface"), error.message + hint))
            continue
        links.append(link)
        if link.loopback or link.mac is None:
            problems.append(located.problem(("dispatcher", "interface"), _no_ethernet(link)))
    if demands is not Demands.RELOAD and links and not problems:
        unready.clear()
    for address in located.config.cluster_addresses:
        held = held_by_host(address)
        if held is not None:
            message = (
                f"{address} is held by this host itself, on {held.interface}; the dispatcher's "
                f"kernel must not hold it. Remove it: {held.removal}"
            )
            unready.append(located.problem(located.addresses[address], message))
    if problems or (unready and demands is Demands.RELOAD):
        raise ConfigError(located.file, (*problems, *unready))
    if unready and demands is not Demands.TAKE_OVER:
        raise UnreadyError(located.file, tuple(unready))
    return tuple(links)


def _no_ethernet(link: Link) -> str:
    what = "is the loopback" if link.loopback else "has no MAC address"
    return (
        f"{link.name} {what}: frames are forwarded by their MAC addresses, so requests must come "
        "in by Ethernet"
    )
