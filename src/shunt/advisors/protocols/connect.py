"""connect: the time to open a TCP connection, and to close it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Advisor, Target
from shunt.advisors.dialogue import up

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect(Advisor):
    """Opens a connection and closes it; not a byte is sent."""

    name = "connect"

    def talk(self, _target: Target, /) -> Dialogue:
        """Return the dialogue without a word."""
        yield from ()  # a generator, though it never speaks
        return up("accepts connections")
