"""Keeps the dispatcher's interfaces in the groups by which neighbours look for cluster addresses.

Like the program and its maps the memberships outlive the daemon, so a file says which are ours: a
later daemon and `shunt down` take away those, and no others. It is written before the kernel is
told.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import structlog

from shunt.dispatcher import files
from shunt.errors import NetworkError
from shunt.network.groups import Membership, join, leave, memberships

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = structlog.get_logger()

Memberships = frozenset[Membership]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to join and leave, and what is ours from then on."""

    joins: Memberships
    leaves: Memberships
    ours: Memberships


def plan(held: Memberships, ours: Memberships, wanted: Memberships) -> Plan:
    """Return what leads from the memberships held to those wanted; pure.

    What somebody else has joined is neither left nor taken for ours.
    """
    joins = wanted - held
    return Plan(joins, (ours & held) - wanted, (ours & wanted) | joins)


class Groups:
    """The memberships of one dispatcher.

    Attributes:
        refused: why the kernel refused some of those that are wanted.
    """

    def __init__(self, path: Path) -> None:
        self.refused: Mapping[Membership, NetworkError] = {}
        self._path = path
        self._ours = _read(path)

    def follow(self, wanted: Memberships) -> None:
        """Be in these groups and in no others; what the kernel refuses is told once.

        Raises:
            HostError: the file cannot be written.
            NetworkError: the kernel did not tell, or would not let go of a group.
        """
        made = plan(memberships(), self._ours, wanted)
        self._keep(self._ours | made.ours)
        refused = {}
        for each in sorted(made.joins):
            try:
                join(each)
            except NetworkError as error:
                refused[each] = error
        for each in made.leaves:
            leave(each)
        self._keep(made.ours)
        self._tell(refused)

    def give_up(self) -> None:
        """Leave all, and remove the file.

        Raises:
            NetworkError: the kernel would not let go of a group.
        """
        for each in self._ours:
            leave(each)
        self._ours = frozenset()
        self._path.unlink(missing_ok=True)

    def _tell(self, refused: Mapping[Membership, NetworkError]) -> None:
        for each in sorted(refused.keys() - self.refused.keys()):
            log.warning(
                "switches that snoop MLD may withhold neighbour solicitations",
                interface=each.index,
                group=str(each.group),
                reason=refused[each].message,
                hint=refused[each].hint,
            )
        self.refused = refused

    def _keep(self, ours: Memberships) -> None:
        if ours == self._ours:
            return
        rows = [[each.index, str(each.group)] for each in sorted(ours)]
        try:
            files.write_whole(self._path, json.dumps(rows))
        except OSError as error:
            raise files.failed(self._path, error) from error
        self._ours = ours


def _read(path: Path) -> Memberships:
    try:
        rows = json.loads(path.read_text())
        return frozenset(Membership(int(index), IPv6Address(group)) for index, group in rows)
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, TypeError) as error:
        log.warning("which groups were joined is not known", file=str(path), reason=repr(error))
        return frozenset()
