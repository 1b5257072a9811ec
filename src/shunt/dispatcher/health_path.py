"""Keeps the way that checks take to a cluster address at a chosen server: classifier, entries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from shunt.dataplane.probe import Probe, ProbeWay
from shunt.errors import NetworkError, ShuntError
from shunt.network.links import links
from shunt.network.placeholder import CONFIRM, Placeholder, confirm, forget, way_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shunt.dispatcher.wishes import Way
    from shunt.model.addresses import Address

log = structlog.get_logger()


class HealthPath:
    """The probe path of one dispatcher; loaded when it is first needed."""

    def __init__(self) -> None:
        self._probe: Probe | None = None
        self._numbers: dict[str, int] = {}
        self._entries: frozenset[Placeholder] = frozenset()
        self._said: set[str] = set()

    def mark(self, server: str) -> int:
        """Return the mark that leads to a server; a name keeps its mark as long as this lives."""
        probe = self._loaded()
        number = self._numbers.setdefault(server, len(self._numbers))
        return probe.mark(number % probe.servers)

    def _loaded(self) -> Probe:
        if self._probe is None:
            self._probe = Probe.load()
        return self._probe

    def lead(self, addresses: Iterable[Address], ways: Mapping[str, Way]) -> None:
        """Lead marks to the servers' MACs, for checks at these cluster addresses.

        Raises:
            DataplaneError, NetworkError: the kernel refused.
        """
        addresses = tuple(addresses)
        if not addresses:
            self.close()
            return
        probe = self._loaded()
        macs = {link.index: link.mac for link in links() if link.mac is not None}
        probe.route(
            {
                self._numbers[name]: ProbeWay(way.mac, macs[way.ifindex], way.ifindex)
                for name, way in ways.items()
                if name in self._numbers and way.mac is not None and way.ifindex in macs
            }
        )
        outs: set[int] = set()
        entries: set[Placeholder] = set()
        for address in addresses:
            try:
                index, on_link = way_out(address)
            except NetworkError as error:
                self._say_once(f"{error.message}; it cannot be checked at this address")
                continue
            outs.add(index)
            if on_link and index in macs:
                entries.add(Placeholder(address, index, macs[index]))
        probe.attach(outs)
        forget(self._entries - entries)
        self._entries = frozenset(entries)
        confirm(self._entries)

    async def keep(self) -> None:
        """Confirm the entries until cancelled."""
        while True:
            await asyncio.sleep(CONFIRM)
            try:
                confirm(self._entries)
            except NetworkError as error:
                self._say_once(f"entries for the checks could not be confirmed: {error.message}")

    def close(self) -> None:
        """Take everything away."""
        entries, self._entries = self._entries, frozenset()
        probe, self._probe = self._probe, None
        try:
            forget(entries)
            if probe is not None:
                probe.close()
        except ShuntError as error:
            log.warning("the checks' way could not be taken down", reason=error.message)

    def _say_once(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            log.warning("checks", reason=words)
