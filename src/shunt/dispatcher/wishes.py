"""Which weight each server of each service shall have now, and why; pure.

The configuration says what an operator wishes at best; run-time changes, health and the neighbour
table take away from it. What is left is a `Claim` for each server of each service.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

from shunt.model.addresses import ZERO, Mac, packed16
from shunt.model.config import OnDown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.dispatcher.overrides import Override, Overrides
    from shunt.model.addresses import Address
    from shunt.model.config import Config, Member, Server, Service


class Flag(IntFlag):
    """`enum member_flags` of abi.h; compared with it when the data plane is opened."""

    READY = 1
    MOVE = 2
    RESET = 4
    AVOID = 8
    DOWN = 16


@dataclass(frozen=True, slots=True)
class Way:
    """How frames get to a server.

    No MAC has a reason in words. `lost`: the server had this MAC, and answers no more. `asked`: it
    has no MAC yet, and may still answer the first question.
    """

    mac: Mac | None
    ifindex: int
    reason: str | None = None
    lost: bool = False
    asked: bool = False

    @property
    def open(self) -> bool:
        """Return whether new connections can go this way."""
        return self.mac is not None and not self.lost


@dataclass(frozen=True, slots=True)
class Health:
    """What the advisors and the manager found about a server in a service."""

    up: bool = True
    weight: int | None = None  # the manager's; None: the configured one
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A server's claim to flows of one service.

    `weight` is what counts; `reason` says why it is not `configured`.
    """

    server: str
    identity: bytes  # 16 bytes: the server's own address
    weight: int
    configured: int
    flags: Flag
    mac: Mac
    ifindex: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Wish:
    """A service and the claims of its servers, in the order of the file."""

    service: Service
    claims: tuple[Claim, ...]


_DOWN = {OnDown.KEEP: Flag(0), OnDown.MOVE: Flag.MOVE, OnDown.RESET: Flag.RESET}

UNKNOWN = Way(None, 0, "its MAC address is not known yet", asked=True)
HEALTHY = Health()


def wishes(
    config: Config,
    overrides: Overrides,
    ways: Mapping[str, Way],
    health: Mapping[tuple[str, str], Health],
) -> tuple[Wish, ...]:
    """Return a wish for each service of the configuration.

    Args:
        config: what the file says.
        overrides: what an operator has changed at run time.
        ways: by server name; absent: not known yet.
        health: by (service name, server name); absent: taken for healthy.
    """
    return tuple(
        Wish(
            service,
            tuple(
                claim(
                    service,
                    config.servers[member.server],
                    member,
                    overrides.get(service.name, member.server),
                    ways.get(member.server, UNKNOWN),
                    health.get((service.name, member.server), HEALTHY),
                )
                for member in service.members
            ),
        )
        for service in config.services
    )


def claim(
    service: Service, server: Server, member: Member, override: Override, way: Way, health: Health
) -> Claim:
    """Return one server's claim; the first thing that takes its weight away is the reason."""
    wished = member.weight if override.weight is None else override.weight
    weight = wished if health.weight is None or override.weight is not None else health.weight
    flags = Flag.READY if way.mac is not None else Flag(0)
    reason: str | None = None
    if way.mac is None:
        weight, reason = 0, way.reason or UNKNOWN.reason
    elif way.lost or not health.up:
        weight, reason = 0, (way.reason if way.lost else health.reason) or "down"
        flags |= Flag.AVOID | Flag.DOWN | _DOWN[service.on_down]
    elif override.quiesced:
        weight, reason = 0, "quiesced: its flows finish, new ones go elsewhere"
    elif override.weight is not None:
        reason = f"weight set by the operator (the file says {member.weight})"
    elif health.reason is not None:
        reason = health.reason
    elif weight == 0:
        reason = "weight 0 in the file"
    if override.quiesced and override.now:
        flags |= Flag.AVOID
    return Claim(
        server.name, packed16(server.addresses[0]), weight, member.weight, flags,
        way.mac or ZERO, way.ifindex, reason,
    )  # fmt: skip


def watched(config: Config) -> tuple[Address, ...]:
    """Return the addresses whose MACs are needed: each server's first own address."""
    return tuple(server.addresses[0] for server in config.servers.values())
