"""The list of problems that one reading of a file finds."""

from __future__ import annotations

from shunt.config.nearest import Nearest
from shunt.config.places import Path, Places, Position, render
from shunt.errors import ConfigError, Problem


class Report:
    """Collects problems of one file. `nearest` is shared, so that its budget holds for the file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places = Places()
        self.nearest = Nearest()
        self._found: dict[tuple[Position, str], Problem] = {}

    def at(self, position: Position, message: str, path: Path = ()) -> None:
        """Note a problem at a position. The same one seen again through an alias is kept once."""
        problem = Problem(position.line, position.column, render(path), message)
        self._found.setdefault((position, message), problem)

    def value(self, path: Path, message: str) -> None:
        """Note a problem with the value at `path`."""
        self.at(self.places.value(path), message, self.places.known(path))

    def key(self, path: Path, message: str) -> None:
        """Note a problem with the key, or the whole, of `path`."""
        self.at(self.places.key(path), message, self.places.known(path))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return what was found, in the order of the file."""
        return tuple(sorted(self._found.values()))

    def raise_if_any(self) -> None:
        """End the reading if anything was found.

        Raises:
            ConfigError: there are problems.
        """
        if self._found:
            raise ConfigError(self.file, self.problems)
