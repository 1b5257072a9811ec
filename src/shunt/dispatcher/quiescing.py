"""Says when a quiesced server has no flows left, so that an operator may work on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.dispatcher.events import Kind
from shunt.dispatcher.ledger import place_of
from shunt.model.addresses import packed16

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.dispatcher.events import Events
    from shunt.dispatcher.overrides import Overrides
    from shunt.dispatcher.sweep import Report
    from shunt.model.config import Config, Service


class Quiescing:
    """Looks at each sweep's report; tells of a server in a service once, until it is busy again.

    A daemon that was restarted tells anew: whether the last one told is not known.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._told: set[tuple[str, str]] = set()

    def take(self, report: Report, config: Config, overrides: Overrides) -> None:
        """Take a report.

        It may be of the time before a server was quiesced. Then slots name the server still, and
        it is not taken for quiet.
        """
        quiet = {
            (service.name, server): service for service, server in _quiet(report, config, overrides)
        }
        for (name, server), service in quiet.items():
            if (name, server) not in self._told:
                own = str(config.servers[server].addresses[0])
                self._events.happened(Kind.QUIESCED, service, server, own)
        self._told = set(quiet)


def _quiet(report: Report, config: Config, overrides: Overrides) -> Iterator[tuple[Service, str]]:
    for service in config.services:
        for member in service.members:
            identity = packed16(config.servers[member.server].addresses[0])
            is_quiesced = overrides.get(service.name, member.server).quiesced
            if is_quiesced and report.is_quiet(place_of(service), identity):
                yield service, member.server
