"""What an operator has changed at run time: weights and quiesced servers; survives restarts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from shunt.dispatcher import files
from shunt.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shunt.model.config import Config

_MOST_WEIGHT = 0xFFFF


@dataclass(frozen=True, slots=True)
class Override:
    """A change to one server in one service; None leaves what the file says.

    `now` goes with `quiesced`: not even clients with affinity get new connections.
    """

    weight: int | None = None
    quiesced: bool = False
    now: bool = False

    @property
    def is_empty(self) -> bool:
        """Say whether nothing is changed."""
        return self.weight is None and not self.quiesced


Key = tuple[str, str]
"""(service name, server name)."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """All changes; immutable, so that a failed write leaves the old ones in force."""

    entries: Mapping[Key, Override]

    def get(self, service: str, server: str) -> Override:
        """Return what is changed for a server in a service."""
        return self.entries.get((service, server), Override())

    def with_change(self, keys: list[Key], **change: Any) -> Overrides:
        """Return the overrides after a change of these fields at these keys."""
        entries = dict(self.entries)
        for key in keys:
            changed = replace(entries.get(key, Override()), **change)
            if changed.is_empty:
                entries.pop(key, None)
            else:
                entries[key] = changed
        return Overrides(entries)

    def for_config(self, config: Config) -> Overrides:
        """Return those that a configuration still has a place for."""
        places = {(s.name, member.server) for s in config.services for member in s.members}
        return Overrides({key: value for key, value in self.entries.items() if key in places})


NOTHING = Overrides({})


def read(path: Path) -> Overrides:
    """Read the file; no file means no overrides.

    Raises:
        ParseError: the file is not what `write` wrote.
        HostError: it cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        raise files.failed(path, error) from error
    try:
        return Overrides(dict(map(_entry, json.loads(data)["overrides"])))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ParseError(
            f"{path}: not the run-time changes that Shunt wrote: {error}",
            hint="Move the file away to start without run-time changes.",
        ) from error


def _entry(entry: dict[str, Any]) -> tuple[Key, Override]:
    weight = entry.get("weight")
    if weight is not None and not (type(weight) is int and 0 <= weight <= _MOST_WEIGHT):
        raise ValueError(f"{weight!r} is no weight")
    change = Override(weight, bool(entry.get("quiesced")), bool(entry.get("now")))
    return (entry["service"], entry["server"]), change


def write(path: Path, overrides: Overrides) -> None:
    """Write the file whole or not at all.

    Raises:
        HostError: it cannot be written; the old one is as it was.
    """
    entries = [
        {"service": service, "server": server} | asdict(override)
        for (service, server), override in sorted(overrides.entries.items())
    ]
    try:
        files.make_folder(path.parent)
        files.write_whole(path, json.dumps({"overrides": entries}, indent=2), durable=True)
    except OSError as error:
        raise files.failed(path, error) from error
