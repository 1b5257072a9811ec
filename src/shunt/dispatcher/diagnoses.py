"""What is most likely wrong with servers, from what the dispatcher sees of them anyway; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.dispatcher.wishes import Way
    from shunt.model.addresses import Mac
    from shunt.model.config import Config


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is probably wrong.

    Attributes:
        kind: a word for programs.
        servers: whom it is about, by name.
        services: in which services, by name.
        text: what is wrong, and what to look at.
    """

    kind: str
    servers: tuple[str, ...]
    services: tuple[str, ...]
    text: str

    def document(self) -> dict[str, Any]:
        """Return it for `shunt status --json`."""
        return {
            "kind": self.kind,
            "servers": list(self.servers),
            "services": list(self.services),
            "text": self.text,
        }


def shared_macs(config: Config, ways: Mapping[str, Way]) -> tuple[Diagnosis, ...]:
    """Return the servers of one service that have the same MAC address.

    Two servers of different services may be one machine. Two of one service would get shares of
    their own and be one machine all the same; or a third machine answers for both (proxy ARP).
    """
    found: dict[tuple[Mac, tuple[str, ...]], list[str]] = {}
    for service in config.services:
        by_mac: dict[Mac, list[str]] = {}
        for member in service.members:
            way = ways.get(member.server)
            if way is not None and way.mac is not None and way.open:
                by_mac.setdefault(way.mac, []).append(member.server)
        for mac, servers in by_mac.items():
            if len(servers) > 1:
                found.setdefault((mac, tuple(servers)), []).append(service.name)
    return tuple(
        Diagnosis(
            "shared_mac",
            servers,
            tuple(services),
            f"servers {', '.join(servers)} have one MAC address, {mac}: the requests of all go to "
            "one machine. Are they one, or does another machine answer ARP for them?",
        )
        for (mac, servers), services in found.items()
    )
