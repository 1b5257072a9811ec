"""Servers that send requests back to the dispatcher: found by the data plane's counters, and told.

Such a server lacks the cluster address, and forwards what is not for it; or it is a dispatcher that
has this one for a server. The program drops what comes back, or it would go to and fro for ever.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from shunt.dispatcher.diagnoses import Diagnosis
from shunt.dispatcher.health_jobs import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shunt.dispatcher.balancer import Balancer

LATELY = 60.0  # seconds; who has sent nothing back for so long, and does so again, is news again


def read_loops(balancer: Balancer) -> dict[Key, int]:
    """Return how many packets each server of each service has sent back, where it has any.

    Raises:
        DataplaneError: the kernel did not tell.
    """
    _, tallies = balancer.plane.maps["tallies"].items()
    loops = tallies["loops"].sum(axis=1)
    found = {}
    for placed in balancer.placed.values():
        if placed.service is None:
            continue
        for claim in placed.claims:
            local = placed.table.locals.get(claim.identity)
            count = 0 if local is None else int(loops[placed.members.base + local])
            if count:
                found[Key(placed.service.name, claim.server)] = count
    return found


class SentBackWatch:
    """Remembers a minute of counts."""

    def __init__(self, tell: Callable[[Key, str], None], check: Callable[[Key], None]) -> None:
        """Know nothing yet; what was counted before the first call is old.

        Args:
            tell: called with the reason for each server that begins to send requests back.
            check: called for each that does, so that it is checked at once.
        """
        self._tell = tell
        self._check = check
        self._before: Mapping[Key, int] | None = None
        self._grown: deque[tuple[float, dict[Key, int]]] = deque()
        self._last: dict[Key, float] = {}

    def take(self, counts: Mapping[Key, int], now: float) -> None:
        """Take all counts; `now` in seconds of the monotonic clock."""
        before, self._before = self._before, counts
        while self._grown and self._grown[0][0] < now - LATELY:
            self._grown.popleft()
        self._last = {key: at for key, at in self._last.items() if at >= now - LATELY}
        if before is None:
            return
        grown = {key: count - before.get(key, 0) for key, count in counts.items()}
        grown = {key: count for key, count in grown.items() if count > 0}
        if not grown:
            return
        self._grown.append((now, grown))
        for key, count in grown.items():
            if key not in self._last:
                self._tell(key, _reason(key.server, count))
            self._last[key] = now
            self._check(key)

    def diagnoses(self) -> tuple[Diagnosis, ...]:
        """Return which servers have sent requests back within a minute, each with its services."""
        counts: dict[str, int] = defaultdict(int)
        services: dict[str, dict[str, None]] = defaultdict(dict)
        for _, grown in self._grown:
            for key, count in grown.items():
                counts[key.server] += count
                services[key.server][key.service] = None
        return tuple(
            Diagnosis("request_loop", (server,), tuple(services[server]), _text(server, count))
            for server, count in counts.items()
        )


def _reason(server: str, count: int) -> str:
    return (
        f"{count:,} packets came back from {server}: is the cluster address on its loopback? "
        f"shunt server check {server}"
    )


def _text(server: str, count: int) -> str:
    return (
        f"server {server} sends requests back ({count:,} packets in the last minute, dropped): is "
        f"the cluster address on its loopback? shunt server check {server}"
    )
