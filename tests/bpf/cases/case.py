"""One row of the tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shunt.dataplane.kernel import Verdict
from tests.bpf.segment import FAMILIES, FAR_OWN
from tests.bpf.world import OWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bpf.segment import Family
    from tests.bpf.world import Server

_VERDICTS = {
    "forwarded": Verdict.TX,
    "answered": Verdict.TX,
    "passed": Verdict.PASS,
    "dropped": Verdict.DROP,
}


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A frame and what must become of it.

    Attributes:
        name: what is special about the frame.
        made: the frame, scapy's or bytes.
        cause: the one counter that grows; its first word is the verdict.
        server: forwarded to this one, which means: the MAC addresses change, and nothing else.
        answer: the frame that comes back, scapy's.
        loops: the server that is counted as sending requests back.
        opened, closed: what the server's tally grows by.
        before: frames sent first.
        behind: the server is behind the other interface.
    """

    name: str
    made: Any
    cause: str
    server: Server | None = None
    answer: Any = None
    loops: Server | None = None
    opened: int = 0
    closed: int = 0
    before: tuple[Any, ...] = ()
    behind: bool = False

    @property
    def frame(self) -> bytes:
        return bytes(self.made)

    @property
    def verdict(self) -> Verdict:
        return Verdict.REDIRECT if self.behind else _VERDICTS[self.cause.split("_")[0]]

    @property
    def out(self) -> bytes:
        """The frame as it must leave the program."""
        if self.answer is not None:
            return bytes(self.answer)
        if self.server is None:
            return self.frame
        assert self.server.mac is not None
        own = FAR_OWN if self.behind else OWN
        return self.server.mac.octets + own.octets + self.frame[12:]


def in_both(*tables: Callable[[Family], Iterator[Case]]) -> tuple[Case, ...]:
    """Return the rows of these tables for both IP families."""
    return tuple(
        replace(case, name=f"{family}, {case.name}")
        for table in tables
        for family in FAMILIES
        for case in table(family)
    )
