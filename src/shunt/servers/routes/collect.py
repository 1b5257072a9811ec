"""Rows as they are read: one family's oddity must not cost the other family's answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.servers.routes.rows import Listing, Unread
from shunt.servers.routes.text import HINT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shunt.model.config import OperatingSystem
    from shunt.servers.routes.rows import Route
    from shunt.servers.routes.text import Line


@dataclass
class Collected:
    """Rows read so far, and those that could not be, of a listing with a section a family."""

    routes: list[Route] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    _first: ParseError | None = None

    def add(self, line: Line, version: int, read: Callable[[], Iterable[Route]]) -> None:
        """Read a row, which may be none or several routes, of IPv4 (4), IPv6 (6) or unknown (0).

        Raises:
            ParseError: the row cannot be read, and it might belong to either family.
        """
        try:
            self.routes.extend(read())
        except ParseError as error:
            if not version:
                raise
            self._first = self._first or error
            why = str(error).removeprefix(f"line {line.number}: ")
            self.unread.append(Unread(line.number, version, why))

    def listing(self, system: OperatingSystem, layout: str) -> Listing:
        """Return the listing.

        Raises:
            ParseError: there is no row, or no family that could be read whole.
        """
        spoilt = {row.version for row in self.unread}
        whole = {route.address.version for route in self.routes} - spoilt
        if self._first is not None and not whole:
            raise self._first
        if not self.routes:
            raise ParseError(f"{layout}: the listing has no rows", hint=HINT)
        return Listing(system, layout, tuple(self.routes), tuple(self.unread))
