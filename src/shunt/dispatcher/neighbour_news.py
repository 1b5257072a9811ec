"""Tells of changes in the neighbour table: few lines, and events when a MAC changes owner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shunt.dispatcher.limited_log import LimitedLog
from shunt.dispatcher.server_macs import ServerMacs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shunt.dispatcher.events import Events
    from shunt.dispatcher.server_macs import MacNews
    from shunt.model.addresses import Address, Mac
    from shunt.model.config import Config, Server
    from shunt.network.neighbours import Change, Neighbour

_PERIOD, _BURST = 1.0, 100  # of lines: whoever is on the segment decides how many changes there are


class NeighbourNews:
    """What one daemon has heard of its servers' MAC addresses."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._macs = ServerMacs()
        self._log = LimitedLog(_PERIOD, _BURST)
        self._config: Config | None = None
        self._servers: Mapping[Address, Server] = {}

    def take(self, changes: Iterable[Change], config: Config) -> None:
        """Take changes of the neighbour table."""
        self._name(config)
        now = asyncio.get_running_loop().time()
        for change in changes:
            before, after = change.before.mac, change.after
            server = self._servers.get(after.address)
            if after.mac is not None and server is not None:
                self._answered(server, after.mac, now)
            if before != after.mac and None in (before, after.mac):
                self._log.info(
                    "neighbour",
                    address=str(after.address),
                    mac=str(after.mac) if after.mac else None,
                    before=str(before) if before else None,
                    reason=after.reason,
                )

    def follow(self, neighbours: Mapping[Address, Neighbour], config: Config) -> None:
        """Judge what is answered now by a configuration that was put in force: its pins hold."""
        self._name(config)
        now = asyncio.get_running_loop().time()
        for address, server in self._servers.items():
            neighbour = neighbours.get(address)
            if neighbour is None or neighbour.mac is None:
                self._macs.unanswered(address, server.mac)
            else:
                self._answered(server, neighbour.mac, now)

    def _name(self, config: Config) -> None:
        if config is not self._config:
            self._config = config
            self._servers = {each.addresses[0]: each for each in config.servers.values()}
            self._macs.keep_to(self._servers.keys())

    def _answered(self, server: Server, mac: Mac, now: float) -> None:
        news = self._macs.take(server.name, server.addresses[0], mac, now, server.mac)
        if news is not None:
            self._events.server_mac(news)

    def doubtful(self) -> tuple[MacNews, ...]:
        """Return what an operator must look at now."""
        return self._macs.doubtful(asyncio.get_running_loop().time())
