"""New connections at a fixed rate, each with one request: what users do, whatever the answer.

`wrk` asks the faster the sooner it is refused, so it cannot tell how many users a failure hurts.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threading import Event

    from shunt.lab.host import Host
    from shunt.model.addresses import Address

_LONGEST = 5.0  # seconds that a request may take
_REQUEST = b"GET / HTTP/1.0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Visit:
    """One connection: begin and end by the monotonic clock; who answered, None if nobody did."""

    begin: float
    end: float
    server: str | None


def visits(client: Host, address: Address, *, rate: float, over: Event) -> tuple[Visit, ...]:
    """Begin `rate` connections a second to port 80, answered or not, until it is over.

    Returns:
        All of them, in the order of their begin.
    """
    return client.call(lambda: asyncio.run(_visits(str(address), rate, over)))


async def _visits(address: str, rate: float, over: Event) -> tuple[Visit, ...]:
    begin = time.monotonic()
    made: list[asyncio.Task[Visit]] = []
    async with asyncio.TaskGroup() as tasks:
        while not over.is_set():
            made.append(tasks.create_task(_visit(address)))
            await asyncio.sleep(max(0.0, begin + len(made) / rate - time.monotonic()))
    return tuple(task.result() for task in made)


async def _visit(address: str) -> Visit:
    begin = time.monotonic()
    server: str | None = None
    try:
        async with asyncio.timeout(_LONGEST):
            reader, writer = await asyncio.open_connection(address, 80)
            try:
                writer.write(_REQUEST)
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
        if head.split(b" ")[1:2] == [b"200"]:
            server = body.decode().strip()
    except (OSError, TimeoutError):
        pass
    return Visit(begin, time.monotonic(), server)
