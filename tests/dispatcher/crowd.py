"""Clients that would notice if a flow changed its server; run inside a laboratory's client.

Downloads read slowly and compare what they got; keep-alive clients and conversations ask the same
server again and again. A change of server ends a TCP connection by a reset, and a conversation by
the word of a server that does not know it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.dispatcher.endpoints import CONVERSATION

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from types import TracebackType

    from shunt.lab.host import Host
    from shunt.model.addresses import Address

_PART = 8192
_DOWNLOAD_PAUSE, _ASK_PAUSE = 0.2, 0.4  # seconds; far below any idle time
_PATIENCE = 60.0  # seconds for one answer, after which the flow counts as broken
_RESEND = 3.0  # seconds; a datagram may be lost, as QUIC knows


@dataclass
class Crowd:
    """So many clients of each kind, spread over the cluster addresses, while a block runs.

    `broken` says in words what happened to flows that did not stay whole.
    """

    client: Host
    clusters: Sequence[Address]
    path: str
    digest: str
    size: int
    each: int
    broken: list[str] = field(default_factory=list)
    begun: int = 0
    downloads: int = 0
    answers: int = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: self.client.call(self._run))
        self._ready = threading.Event()
        self._thread.start()
        assert self._ready.wait(_PATIENCE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        kinds = (self._download, self._keep_alive, self._converse)
        async with asyncio.TaskGroup() as tasks:
            for number in range(self.each):
                cluster = self.clusters[number % len(self.clusters)]
                for kind in kinds:
                    tasks.create_task(self._watched(kind.__name__, number, kind(cluster, number)))
            async with asyncio.timeout(_PATIENCE):
                while self.begun + len(self.broken) < self.each * len(kinds):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            self._ready.set()

    async def _watched(self, kind: str, number: int, body: Coroutine[None, None, None]) -> None:
        try:
            await body
        except (OSError, EOFError, TimeoutError, AssertionError) as error:
            self.broken.append(f"{kind.strip('_')} {number}: {type(error).__name__}: {error}")

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    async def _download(self, cluster: Address, _number: int) -> None:
        """Read a file slowly, over and over; what is begun when the block ends is read out."""
        started = False
        while not self._over.is_set():
            connection = socket.socket(_family(cluster))
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * _PART)
            await self._loop.sock_connect(connection, (str(cluster), 80))
            reader, writer = await asyncio.open_connection(sock=connection, limit=_PART)
            writer.write(b"GET %s HTTP/1.0\r\nHost: x\r\n\r\n" % self.path.encode())
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head, head
            if not started:
                started = True
                self.begun += 1
            found, size = hashlib.sha256(), 0
            while part := await asyncio.wait_for(reader.read(_PART), _PATIENCE):
                found.update(part)
                size += len(part)
                if not self._over.is_set():
                    await self._pause(_DOWNLOAD_PAUSE)
            assert size == self.size, f"{size} of {self.size} bytes came"
            assert found.hexdigest() == self.digest, "other bytes came"
            self.downloads += 1
            writer.close()

    async def _keep_alive(self, cluster: Address, _number: int) -> None:
        """Ask by one connection; the same server answers every time."""
        reader, writer = await asyncio.open_connection(str(cluster), 80)
        first = ""
        while not (first and self._over.is_set()):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                name = (await reader.readuntil(b"\n")).decode().strip()
            assert b" 200 " in head, head
            if not first:
                first = name
                self.begun += 1
            assert name == first, f"server {name} answered instead of {first}"
            self.answers += 1
            await self._pause(_ASK_PAUSE)
        writer.close()

    async def _converse(self, cluster: Address, number: int) -> None:
        """Hold a conversation by datagrams; the server that it began with knows it."""
        with socket.socket(_family(cluster), socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect((str(cluster), CONVERSATION))
            first, turn = b"", 0
            while not (first and self._over.is_set()):
                name = await self._turn(sender, b"%d %d" % (number, turn))
                if not first:
                    first = name
                    self.begun += 1
                assert name == first, f"{name!r} answered instead of {first!r}"
                self.answers += 1
                turn += 1
                await self._pause(_ASK_PAUSE)

    async def _turn(self, sender: socket.socket, said: bytes) -> bytes:
        """Say something until it is answered; return who answered."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                await self._loop.sock_sendall(sender, said)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RESEND):
                        while True:
                            answer = await self._loop.sock_recv(sender, 2048)
                            name, _, rest = answer.partition(b" ")
                            if rest == said:  # and not a late answer to an earlier turn
                                return name


def _family(cluster: Address) -> socket.AddressFamily:
    return socket.AF_INET if cluster.version == 4 else socket.AF_INET6
