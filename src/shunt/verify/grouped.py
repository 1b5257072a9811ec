"""Findings told once for all servers of which the same is to be said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.verify.findings import Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shunt.verify.findings import Cause, Finding

_NAMES = 6  # of equal servers that are written out
SEGMENT = "segment"  # in a server's place, where none is meant
_ITS_OWN = {Check.OWN, Check.FOREIGN}  # checks of an address that differs from server to server


@dataclass(frozen=True, slots=True)
class Group:
    """Servers with equal findings, and the findings of the first of them."""

    servers: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def name(self) -> str:
        """Return the servers' names, of many only some."""
        return names(self.servers)

    @property
    def remarkable(self) -> tuple[Finding, ...]:
        """Return the findings of which there is something to say."""
        return tuple(each for each in self.findings if each.cause is not None)

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong or untold."""
        return all(is_fine(finding) for finding in self.findings)


def is_fine(finding: Finding) -> bool:
    """Whether a finding neither is wrong nor leaves something untold."""
    return finding.verdict not in (Verdict.WRONG, Verdict.UNKNOWN)


def names(servers: Sequence[str]) -> str:
    """Return the servers' names, of many the first and how many more."""
    shown = ", ".join(name or SEGMENT for name in servers[:_NAMES])
    more = len(servers) - _NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def groups(findings: Iterable[Finding]) -> tuple[Group, ...]:
    """Return the servers in groups of equals, in the order of their first ones."""
    of: dict[str, list[Finding]] = {}
    for finding in findings:
        of.setdefault(finding.server, []).append(finding)
    alike: dict[tuple[object, ...], list[str]] = {}
    for server, mine in of.items():
        likeness = tuple(map(_likeness, mine)) if server else (SEGMENT,)
        alike.setdefault(likeness, []).append(server)
    return tuple(Group(tuple(each), tuple(of[each[0]])) for each in alike.values())


def _likeness(finding: Finding) -> tuple[object, ...]:
    address = None if finding.check in _ITS_OWN else finding.address
    return finding.check, address, finding.port, finding.verdict, finding.cause


def causes(findings: Iterable[Finding]) -> Iterator[tuple[Cause, Verdict, tuple[Finding, ...]]]:
    """Yield each cause that is not plainly right with all its findings, of all servers."""
    found: dict[tuple[Cause, Verdict], list[Finding]] = {}
    for finding in findings:
        if finding.cause is not None and finding.verdict is not Verdict.RIGHT:
            found.setdefault((finding.cause, finding.verdict), []).append(finding)
    for (cause, verdict), every in found.items():
        yield cause, verdict, tuple(every)
