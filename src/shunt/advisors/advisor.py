"""What an advisor is: settings, a usual port, a transport, and a dialogue."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from shunt.advisors.settings import setting, yes_no
from shunt.advisors.tls import Tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.advisors.dialogue import Dialogue
    from shunt.model.addresses import Address


class Transport(StrEnum):
    """What carries a dialogue: a stream, datagrams, ICMP echo messages, or a process's output."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a check asks: an address and port, and what is known about them."""

    address: Address
    port: int
    server: str = ""
    service: str = ""

    @property
    def place(self) -> str:
        """Return `address:port`, IPv6 in brackets."""
        host = str(self.address) if self.address.version == 4 else f"[{self.address}]"
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisor:
    """Base of every advisor; a subclass adds settings and `talk`.

    Class attributes:
        name: how configuration files call it.
        usual_port: asked where neither service nor settings name one; None: there is none.
        speaks_first: the first words of its dialogue are its own, whatever the settings.
        at_server: it asks the server's own address unless told otherwise: it is about the machine.
        percent: its load is 0 to 100 of the machine, not a time.
    """

    name: ClassVar[str]
    usual_port: ClassVar[int | None] = None
    speaks_first: ClassVar[bool] = False
    at_server: ClassVar[bool] = False
    percent: ClassVar[bool] = False

    @property
    def transport(self) -> Transport:
        """Return what carries the dialogue."""
        return Transport.TCP

    @property
    def secure(self) -> Tls | None:
        """Return how the stream is secured, None if it is not."""
        return None

    def talk(self, _target: Target, /) -> Dialogue:
        """Return the dialogue with a server, from the first byte after the connection is made."""
        raise NotImplementedError

    def contradictions(self) -> Mapping[str, str]:
        """Return what settings that are right one by one can never reach together, by key."""
        return {}

    def argv(self, target: Target, /) -> list[str]:
        """Return the command to run (transport PROCESS only)."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAdvisor(Advisor):
    """An advisor on TCP that may speak through TLS from the first byte."""

    tls: bool = field(
        default=False, metadata=setting(yes_no, "Speak through TLS from the first byte.")
    )

    @property
    def secure(self) -> Tls | None:
        """Return plain TLS without a look at the certificate, if the settings ask for TLS."""
        return Tls() if self.tls else None
