"""One check by hand, with its dialogue: by the daemon's own path, or by one made for it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shunt.advisors.run import run
from shunt.dispatcher.engine import way_to
from shunt.dispatcher.health_path import HealthPath
from shunt.errors import NetworkError
from shunt.network.watch import NeighbourWatch

if TYPE_CHECKING:
    from shunt.advisors.advisor import Target
    from shunt.advisors.check import Check
    from shunt.advisors.dialogue import Verdict
    from shunt.model.config import Server

_PATIENCE = 4.0  # seconds; a dead address takes the kernel about three


@dataclass(frozen=True, slots=True)
class Once:
    """A verdict, and what was said (`>`) and heard (`<`) on the way to it."""

    verdict: Verdict
    said: tuple[tuple[str, bytes], ...]

    def document(self) -> dict[str, Any]:
        """Return it as data; bytes as text of one character a byte."""
        verdict = self.verdict
        return {
            "up": verdict.up,
            "words": verdict.words,
            "load": verdict.load,
            "share": verdict.share,
            "warning": verdict.warning,
            "dialogue": [[direction, data.decode("latin-1")] for direction, data in self.said],
        }


async def once(check: Check, target: Target, mark: int = 0) -> Once:
    """Make a check."""
    said: list[tuple[str, bytes]] = []
    verdict = await run(
        check, target, mark=mark, listener=lambda direction, data: said.append((direction, data))
    )
    return Once(verdict, tuple(said))


async def alone(check: Check, target: Target, server: Server) -> Once:
    """Make a check at a server where no daemon runs: lay the path, and take it up again.

    Raises:
        NetworkError: the server's MAC is not to be had.
        DataplaneError, HostError: the kernel refused, or we may not.
    """
    own = server.addresses[0]
    async with NeighbourWatch((own,)) as watch:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(watch.settled(), _PATIENCE)
        way = way_to(watch.neighbours[own], None)
    if way.mac is None:
        raise NetworkError(
            f"server {server.name} ({own}) cannot be reached: {way.reason}",
            hint="the check goes to its MAC address; is it on this segment, and alive?",
        )
    path = HealthPath()
    try:
        mark = path.mark(server.name)
        path.lead((target.address,), {server.name: way})
        return await once(check, target, mark)
    finally:
        path.close()
