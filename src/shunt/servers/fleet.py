"""Many servers at once: a bounded number at a time, and one bad host does not stop the rest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from shunt.errors import RemoteError, ShuntError
from shunt.servers.runners.opening import runner_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from shunt.servers.runners.base import Access, Runner
    from shunt.servers.wish import Wish

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of one server: exactly one of `value` and `error` is there."""

    server: str
    value: T | None = None
    error: ShuntError | None = None


async def each(
    wishes: Sequence[Wish],
    job: Callable[[Runner, Wish], Awaitable[T]],
    access: Access,
    *,
    at_once: int,
    finished: Callable[[Outcome[T]], None],
) -> tuple[Outcome[T], ...]:
    """Return the outcome of `job` for every server, in the order given.

    `finished` is told each outcome as it comes. Errors of other kinds than ShuntError are ours;
    they too are the outcome of that one server, for the others may be half-way.
    """
    places = asyncio.Semaphore(at_once)

    async def one(wish: Wish) -> Outcome[T]:
        async with places:
            try:
                async with runner_for(wish.server, access) as runner:
                    outcome = Outcome(wish.server.name, value=await job(runner, wish))
            except ShuntError as error:
                outcome = Outcome(wish.server.name, error=error)
            except Exception as error:  # noqa: BLE001 - one server's error stops no other one
                outcome = Outcome(wish.server.name, error=_ours(error))
        finished(outcome)
        return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(wish)) for wish in wishes]
    return tuple(task.result() for task in tasks)


def _ours(error: Exception) -> ShuntError:
    ours = RemoteError(
        f"internal error: {type(error).__name__}: {error}",
        hint="this is a bug in Shunt; --debug adds the traceback for a report",
    )
    ours.__cause__ = error
    return ours
