"""Keeps the way that checks take to a cluster address at a chosen server: classifier, entries.

What cannot be laid now is said once, tried again every few seconds, and never stops the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from shunt.dataplane.probe import Probe, ProbeWay, marks
from shunt.dispatcher.limited_log import LimitedLog
from shunt.dispatcher.numbers import Numbers
from shunt.errors import NetworkError, ShuntError
from shunt.network.addresses import told
from shunt.network.links import links
from shunt.network.placeholder import (
    CONFIRM,
    Placeholder,
    announcements,
    confirm,
    forget,
    lost,
    way_out,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from shunt.dispatcher.wishes import Way
    from shunt.model.addresses import Address
    from shunt.network.netlink import Listener

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Leg:
    """One check that is made by hand: where, at which server."""

    address: Address
    server: str
    way: Way


def _nobody() -> None:
    """Tell nobody."""


class HealthPath:
    """The probe path of one dispatcher; in the kernel as long as there is an address to check.

    Attributes:
        missing: the addresses at which no check can be made now, and why.
    """

    def __init__(self) -> None:
        self.missing: Mapping[Address, str] = {}
        self._numbers = Numbers(len(marks()))
        self._probe: Probe | None = None
        self._entries: frozenset[Placeholder] = frozenset()
        self._stray: frozenset[Placeholder] = frozenset()  # to be removed; the kernel refused
        self._addresses: tuple[Address, ...] = ()
        self._ways: Mapping[str, Way] = {}
        self._borrowed: list[_Leg] = []
        self._again: Callable[[], None] = _nobody
        self._told: frozenset[Address] = frozenset()  # the missing that `lead` returned
        self._listener: Listener | None = None
        self._limited = LimitedLog()

    def mark(self, server: str) -> int:
        """Return the mark of a server's name; it keeps it until `lead` is without the server.

        Raises:
            UsageError: too many servers at once.
        """
        return marks()[self._numbers.of(server)]

    def lead(
        self,
        addresses: Iterable[Address],
        ways: Mapping[str, Way],
        again: Callable[[], None] = _nobody,
    ) -> Mapping[Address, str]:
        """Lead marks to the servers' MACs, for checks at these cluster addresses and no others.

        Args:
            addresses: to be checked.
            ways: to the servers; those with a mark are led to, the others lose theirs.
            again: called, from `keep`, when other addresses are missing than before.

        Returns:
            `missing`: no check may be made there, for its answer would be about this host.
        """
        self._addresses, self._ways, self._again = tuple(addresses), {**ways}, again
        self._lay()
        self._told = self._missing_of_all()
        return self.missing

    @contextlib.contextmanager
    def borrowed(self, address: Address, server: str, way: Way) -> Iterator[int]:
        """Lead a mark to a server for one check more; afterwards all is as it was.

        Raises:
            NetworkError: no check can be made at this address.
        """
        leg = _Leg(address, server, way)
        self._borrowed.append(leg)
        try:
            mark = self.mark(server)
            self._lay()
            if address in self.missing:
                raise NetworkError(f"no check can be made at {address}: {self.missing[address]}")
            yield mark
        finally:
            if leg in self._borrowed:  # else all has been taken away meanwhile
                self._borrowed.remove(leg)
                self._lay()

    async def keep(self) -> None:
        """Confirm the entries until cancelled, and put them back when somebody takes them away."""
        try:
            while True:
                self._listen()
                await asyncio.sleep(CONFIRM)
                # Without announcements, all there may be to know is looked up.
                if self.missing or self._stray or self._listener is None:
                    self._lay()
                else:
                    self._say(self._refused())
                self._tell()
        finally:
            self._listen_no_more()

    def close(self) -> None:
        """Take everything away."""
        self._addresses, self._ways, self._again = (), {}, _nobody
        self._borrowed.clear()
        self._lay()

    # Laying.

    def _lay(self) -> None:
        """Have in the kernel what is wished, and nothing else of ours."""
        ways = {leg.server: leg.way for leg in self._borrowed} | {**self._ways}
        wished = tuple(dict.fromkeys((*self._addresses, *(leg.address for leg in self._borrowed))))
        missing: dict[Address, str] = {}
        entries: frozenset[Placeholder] = frozenset()
        self._numbers.keep(ways)
        try:
            if wished:
                entries, missing = self._attach(wished, ways)
            else:
                self._unload()
        except ShuntError as error:
            missing = dict.fromkeys(wished, error.message)
        self._forget((self._entries | self._stray) - entries)
        self._entries = entries
        self._say(missing | self._refused())

    def _attach(
        self, wished: tuple[Address, ...], ways: Mapping[str, Way]
    ) -> tuple[frozenset[Placeholder], dict[Address, str]]:
        """Load, lead and attach the classifier; return the entries it needs, and what is missing.

        Raises:
            ShuntError: nothing can be checked.
        """
        if self._probe is None:
            self._probe = Probe.load()
        macs = {link.index: link.mac for link in links() if link.mac is not None}
        self._probe.route(
            {
                self._numbers.of(name): ProbeWay(way.mac, macs[way.ifindex], way.ifindex)
                for name, way in ways.items()
                if name in self._numbers and way.mac is not None and way.ifindex in macs
            }
        )
        missing: dict[Address, str] = {}
        outs: dict[Address, tuple[int, bool]] = {}
        for address in wished:
            try:
                outs[address] = way_out(address)
            except NetworkError as error:
                missing[address] = error.message
        refused = self._probe.attach({index for index, _ in outs.values()})
        missing |= {
            address: refused[index].message
            for address, (index, _) in outs.items()
            if index in refused
        }
        entries = frozenset(
            Placeholder(address, index, macs[index])
            for address, (index, on_link) in outs.items()
            if on_link and index in macs and address not in missing
        )
        return entries, missing

    def _unload(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            try:
                probe.close()
            except ShuntError as error:
                log.warning("the checks' way could not be taken down", reason=error.message)

    # Entries.

    def _refused(self) -> dict[Address, str]:
        """Make or confirm the entries; return where the kernel refuses."""
        try:
            refused = confirm(self._entries)
        except NetworkError as error:
            return {each.address: error.message for each in self._entries}
        return {each.address: error.message for each, error in refused.items()}

    def _forget(self, entries: frozenset[Placeholder]) -> None:
        try:
            self._stray = frozenset(forget(entries))
        except NetworkError as error:
            self._stray = entries
            log.warning("entries for checks could not be removed", reason=error.message)

    def _listen(self) -> None:
        """Hear from now on what becomes of the entries, if that is to be had."""
        if self._listener is not None:
            return
        try:
            listener = self._listener = announcements()
        except NetworkError as error:
            self._limited.warning("entries for checks are not watched", reason=error.message)
            return  # they are still confirmed in time
        asyncio.get_running_loop().add_reader(listener.fileno(), self.hear)

    def _listen_no_more(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()

    def hear(self) -> None:
        """Take what the kernel has announced up to now.

        Who got an answer calls this before believing it: the host may have taken the address, and
        answered itself. The kernel announces an address before it answers for it.
        """
        if self._listener is None:
            return
        try:
            news, incomplete = self._listener.read()
            if incomplete or lost(news, self._entries) or told(news) & self._wished():
                self._lay()
                self._tell()
        except NetworkError as error:
            self._limited.warning("entries for checks cannot be heard of", reason=error.message)
            self._listen_no_more()  # until `keep` begins anew

    def _wished(self) -> frozenset[Address]:
        return frozenset((*self._addresses, *(leg.address for leg in self._borrowed)))

    # Telling.

    def _missing_of_all(self) -> frozenset[Address]:
        return frozenset(self.missing.keys() & set(self._addresses))

    def _tell(self) -> None:
        """Have the checks taken anew if they can be made at other addresses than was told."""
        if self._missing_of_all() != self._told:
            self._again()

    def _say(self, missing: Mapping[Address, str]) -> None:
        """Say what is missing now and was not, and what is there again."""
        for address, reason in missing.items():
            if self.missing.get(address) != reason:
                log.warning("no checks at this address", address=str(address), reason=reason)
        for address in self.missing.keys() - missing.keys():
            log.info("checks can be made again", address=str(address))
        self.missing = missing
