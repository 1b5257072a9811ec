"""What the procedure hands to whoever sends: frames, connections, and how long to listen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.model.addresses import Address, Mac
    from shunt.verify.subject import Port


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A frame, not to be sent before `at` seconds after the phase's beginning."""

    frame: bytes
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """A connection by a real TCP stack, from `local` port to the port at the server's MAC."""

    local: int
    server: str
    mac: Mac
    address: Address
    port: Port


@dataclass(frozen=True, slots=True)
class Phase:
    """What to send, and how long to listen after the last frame unless `settled` is sooner.

    It takes `least` seconds at any rate, from its beginning.
    """

    name: str
    title: str
    outgoing: tuple[Outgoing, ...] = ()
    requests: tuple[Request, ...] = ()
    patience: float = 0.0
    least: float = 0.0
    settled: Callable[[], bool] = lambda: False
