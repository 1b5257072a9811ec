"""What runs on a server besides nginx: `endpoints.py NAME ADDRESS...`; for tests.

TCP port 9 reads until the client has said all, and answers with the digest of it. UDP port 7 keeps
a conversation, as QUIC does: a datagram carries a connection's id and a number. Number 0 begins
the conversation; a server that does not know the conversation answers `reset`, any other answer
names the server and repeats id and number.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys

DIGEST, CONVERSATION = 9, 7


async def digest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the SHA-256 of everything that came."""
    found = hashlib.sha256()
    while part := await reader.read(1 << 20):
        found.update(part)
    writer.write(found.hexdigest().encode())
    writer.close()


class Conversations(asyncio.DatagramProtocol):
    """Knows the conversations that began here, and no others."""

    def __init__(self, name: str, known: set[bytes]) -> None:
        self._name = name.encode()
        self._known = known

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        self._transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]  # it is

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        """Answer one datagram."""
        ident, number = data.split()[:2]
        if number == b"0":
            self._known.add(ident)
        answer = b" ".join((self._name, data)) if ident in self._known else b"reset " + data
        self._transport.sendto(answer, addr)


async def main(name: str, addresses: list[str]) -> None:
    """Serve until ended."""
    loop = asyncio.get_running_loop()
    known: set[bytes] = set()
    for address in addresses:
        await asyncio.start_server(digest, address, DIGEST, backlog=1024)
        await loop.create_datagram_endpoint(
            lambda: Conversations(name, known), local_addr=(address, CONVERSATION)
        )
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
