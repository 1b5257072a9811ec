"""Which number stands for which question: echo identifiers and local ports, never used twice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shunt.model.addresses import Address, Mac
    from shunt.verify.subject import Port


class Purpose(Enum):
    """Why a packet is sent."""

    PING = auto()  # the cluster address at the server
    PORT = auto()  # its port there
    FOREIGN = auto()  # an address that the server does not hold
    OWN_PING = auto()  # the server's own address
    OWN_PORT = auto()  # the port there
    WIDE = auto()  # another address of the alias's network, if its mask is wide
    FROM_BEYOND = auto()  # the server's own address, asked from outside of any alias's network
    WARM = auto()  # the cluster address or its port again, from an address that is known by then
    COLD = auto()  # the same from an address that nobody knows
    WHOSE_MAC = auto()  # a server's own address, at a MAC that nobody knows
    STRANGER_PING = auto()  # the cluster address at such a MAC
    STRANGER_PORT = auto()  # its port there


@dataclass(frozen=True, slots=True)
class Key:
    """One question: why, to which server or MAC, about which address and port."""

    purpose: Purpose
    server: str = ""
    address: Address | None = None
    port: Port | None = None
    mac: Mac | None = None


class Ledger:
    """Hands out numbers from `first` on; 16-bit ones, as identifiers and ports are."""

    def __init__(self, first: int = 20000) -> None:
        self._next = first
        self._numbers: dict[Key, int] = {}
        self._asked: dict[tuple[Purpose, str], list[Key]] = {}

    def number(self, key: Key) -> int:
        """Return the number of the question, the same one whenever it is asked again."""
        if key not in self._numbers:
            self._numbers[key] = self._next
            self._asked.setdefault((key.purpose, key.server), []).append(key)
            self._next = self._next + 1 if self._next < 65535 else 1024
        return self._numbers[key]

    def known(self, key: Key) -> int | None:
        """Return the number if the question has been asked."""
        return self._numbers.get(key)

    def asked(self, purpose: Purpose, server: str) -> tuple[Key, ...]:
        """Return what a server has been asked for a purpose."""
        return tuple(self._asked.get((purpose, server), ()))
