"""How frames get to each server, by its own address: what the neighbour table says; pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shunt.dispatcher.wishes import Way
from shunt.model.addresses import packed16
from shunt.network.neighbours import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shunt.model.addresses import Address, Mac
    from shunt.model.config import Config
    from shunt.network.neighbours import Neighbour

_UNREACHABLE = (State.FAILED, State.NOARP)


class Whereabouts:
    """What is known of each watched address, also of servers that left and still have flows."""

    def __init__(self) -> None:
        self._ways: dict[Address, Way] = {}

    def remember(self, address: Address, way: Way) -> None:
        """Take what held before the neighbours were asked."""
        self._ways[address] = way

    def learn(self, neighbours: Mapping[Address, Neighbour], watched: Iterable[Address]) -> None:
        """Take what the neighbour table says of the watched addresses, and forget the others."""
        before, self._ways = self._ways, {}
        for address in watched:
            found, known = neighbours.get(address), before.get(address)
            way = way_to(found, known) if found is not None else known
            if way is not None:
                self._ways[address] = way

    def by_server(self, config: Config) -> dict[str, Way]:
        """Return the ways to the servers of a configuration, by name.

        One whose MAC is pinned has that one, as long as somebody answers for its address.
        """
        found = ((s, self._ways.get(s.addresses[0])) for s in config.servers.values())
        return {s.name: pinned(way, s.mac) for s, way in found if way is not None}

    def by_identity(self) -> dict[bytes, Way]:
        """Return every way, by what names a server in tables."""
        return {packed16(address): way for address, way in self._ways.items()}


def pinned(way: Way, mac: Mac | None) -> Way:
    """Return the way with a server's pinned MAC instead of the one that is answered with; pure."""
    return way if mac is None or way.mac is None else replace(way, mac=mac)


def way_to(found: Neighbour, before: Way | None) -> Way:
    """Return how frames get to a server, from what the neighbour table says; pure.

    A server that once answered and answers no more keeps its MAC for the flows that it has. One
    that is being asked, and has not failed to answer, is where it was.
    """
    if found.gateway is not None:
        return Way(
            None, found.index,
            f"not on this segment but behind the router {found.gateway}: a rewritten MAC cannot "
            "reach it",
        )  # fmt: skip
    if found.mac is not None:
        return Way(found.mac, found.index)
    if before is not None and before.mac is not None:
        if found.hop is not None and found.state not in _UNREACHABLE:
            return before
        return Way(before.mac, before.ifindex, found.reason, lost=True)
    first = before is None or before.asked
    asked = first and found.hop is not None and found.state not in _UNREACHABLE
    return Way(None, found.index, found.reason, asked=asked)
