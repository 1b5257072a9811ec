"""Every row of every table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bpf.cases import fragments, headers, icmp, loops, neighbours, requests, resets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bpf.cases.case import Case


def _named() -> Iterator[tuple[str, Case]]:
    for table in (requests, headers, neighbours, icmp, fragments, resets, loops):
        word = table.__name__.rpartition(".")[2]
        yield from ((f"{word}: {case.name}", case) for case in table.CASES)


CASES = dict(_named())
assert len(CASES) == sum(1 for _ in _named()), "two rows have one name"
