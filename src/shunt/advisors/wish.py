"""What a server's agent wishes; what it does not speak of stays as it was.

HAProxy's manual, agent-check: "parameters which are not advertised by the agent are not changed",
and only the agent reverts what it did. So a line `75%` does not end the `maint` of an earlier line.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Admission(StrEnum):
    """The administrative state: all connections, no new ones, none."""

    READY = "ready"
    DRAIN = "drain"
    MAINT = "maint"


@dataclass(frozen=True, slots=True)
class Wish:
    """What an agent said; None: it did not speak of it.

    Attributes:
        health: its word for the state of the service: up, down, stopped, fail.
        admission: the administrative state.
        part: of the server's weight.
    """

    health: str | None = None
    admission: Admission | None = None
    part: float | None = None

    def after(self, before: Wish) -> Wish:
        """Return what holds, given what held before."""
        return Wish(
            self.health or before.health,
            self.admission or before.admission,
            before.part if self.part is None else self.part,
        )

    @property
    def up(self) -> bool:
        """Return whether the server is in service."""
        return self.health in {None, "up"} and self.admission is not Admission.MAINT

    @property
    def share(self) -> float | None:
        """Return the part of its weight that it wishes; None: it wishes nothing."""
        if not self.up or self.admission is Admission.DRAIN:
            return 0.0
        return self.part

    @property
    def words(self) -> str:
        """Return it as the agent would say it in one line."""
        part = None if self.part is None else f"{100 * self.part:g}%"
        return " ".join(word for word in (self.health, self.admission, part) if word)
