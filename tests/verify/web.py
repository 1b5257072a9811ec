"""One thread that answers HTTP on sockets of many namespaces."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from shunt.lab.host import Host

_ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


class Web:
    """Servers on as many hosts as wanted, stopped with the block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="web")
        self._servers: list[asyncio.Server] = []
        self._thread.start()

    def listen(self, host: Host, address: str = "::", port: int = 80) -> None:
        """Answer on a host's address, IPv4 and IPv6 alike on "::"."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        dual = address == "::"
        listening = host.call(
            lambda: socket.create_server((address, port), family=family, dualstack_ipv6=dual)
        )
        listening.setblocking(False)
        started = asyncio.run_coroutine_threadsafe(self._serve(listening), self._loop)
        self._servers.append(started.result(10))

    async def _serve(self, listening: socket.socket) -> asyncio.Server:
        return await asyncio.start_server(self._answer, sock=listening)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_ANSWER)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
