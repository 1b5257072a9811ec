"""The procedure on a real segment: the only file of the room that sends and hears.

Every frame that leaves, of the procedure and of the pretended machine's TCP stack, goes through
one queue and one pace.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from typing import TYPE_CHECKING

from shunt.model.config import Protocol
from shunt.network.frames import Frame, IcmpError, Ip, Segment, ethernet_frame
from shunt.network.frames.ethernet import IPV4, IPV6
from shunt.network.frames.icmp import quoted
from shunt.network.frames.ip import parse_ipv4, parse_ipv6
from shunt.network.frames.transport import with_checksum
from shunt.verify.application import ask
from shunt.verify.procedure import Outgoing, Phase, Procedure, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.model.addresses import Mac
    from shunt.network.packets import Heard, PacketSocket
    from shunt.network.pseudo_host import PseudoHost

_TICK = 0.02  # seconds between two looks whether a phase is settled
_BURST = 0.02  # seconds' worth of frames that may go at once


class Pace:
    """At most `rate` frames in any second; short bursts make up for a late wake-up."""

    def __init__(self, rate: float) -> None:
        self._gap = (1 + _BURST) / rate
        self._slack = max(_BURST, self._gap)
        self._next = 0.0

    def wait(self, now: float) -> float:
        """Return for how many seconds the next frame has to wait."""
        return max(0.0, self._next - now)

    def spend(self, now: float) -> None:
        """Take note of a frame that goes now."""
        self._next = max(self._next, now - self._slack + self._gap) + self._gap


class Wire:
    """Runs a `procedure` over `socket`, `rate` frames a second, requests over `stack` if given."""

    def __init__(
        self,
        procedure: Procedure,
        socket: PacketSocket,
        *,
        stack: PseudoHost | None = None,
        rate: float = 200,
        progress: Callable[[Phase], None] = lambda _: None,
    ) -> None:
        self._procedure = procedure
        self._socket = socket
        self._stack = stack
        self._pace = Pace(rate)
        self._progress = progress
        self._urgent: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._carried: dict[int, Mac] = {}  # local port of a connection -> the server's MAC
        self._given: set[int] = set()  # IP versions for which the stack has its address

    async def run(self) -> None:
        """Run all phases.

        Raises:
            NetworkError: the interface went away.
        """
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket.fileno(), self._on_frames)
        if self._stack is not None:
            loop.add_reader(self._stack.fileno(), self._on_packets)
        try:
            for phase in self._procedure.phases():
                self._progress(phase)
                await self._phase(phase)
        finally:
            loop.remove_reader(self._socket.fileno())
            if self._stack is not None:
                loop.remove_reader(self._stack.fileno())

    async def _phase(self, phase: Phase) -> None:
        order = itertools.count()
        begin = last = time.monotonic()
        due: list[tuple[float, int, Outgoing | Request]] = []
        for outgoing in phase.outgoing:
            heapq.heappush(due, (begin + outgoing.at, next(order), outgoing))
        for request in phase.requests:
            heapq.heappush(due, (begin, next(order), request))
        async with asyncio.TaskGroup() as tasks:
            running: set[asyncio.Task[None]] = set()
            while True:
                now = time.monotonic()
                running = {task for task in running if not task.done()}
                ready = bool(self._urgent) or bool(due and due[0][0] <= now)
                idle = not (due or ready or running)
                if idle and (phase.settled() or now >= last + phase.patience):
                    return
                if not ready or self._pace.wait(now):
                    await self._rest(self._pace.wait(now) if ready else _TICK)
                    continue
                if self._urgent:
                    self._send(self._urgent.popleft())
                    continue
                last = now
                item = heapq.heappop(due)[2]
                if isinstance(item, Outgoing):
                    self._send(item.frame)
                else:
                    running.add(tasks.create_task(self._request(item)))
                    await asyncio.sleep(0)  # its first segment goes before the next item

    async def _rest(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def _send(self, frame: bytes) -> None:
        now = time.time()
        self._pace.spend(time.monotonic())
        self._socket.send(frame)
        self._procedure.reading.transcript.sent(now, frame)

    def _on_frames(self) -> None:
        while (heard := self._socket.receive_now()) is not None:
            self._take(heard)
        self._wake.set()

    def _take(self, heard: Heard) -> None:
        parsed = heard.parsed()
        transcript = self._procedure.reading.transcript
        if isinstance(parsed, Frame) and self._belongs_to_stack(parsed):
            transcript.heard(heard.when, heard.data, checksum_ready=heard.checksum_ready)
            assert self._stack is not None
            self._stack.write(_packet_of(heard, parsed))
            return
        replies = self._procedure.hear(heard.when, heard.data, checksum_ready=heard.checksum_ready)
        self._urgent.extend(replies)

    def _belongs_to_stack(self, frame: Frame) -> bool:
        message = frame.message
        if frame.link.destination != self._procedure.identity.mac:
            return False
        if isinstance(message, Segment):
            return message.destination in self._carried
        return isinstance(message, IcmpError) and quoted(message) in self._carried

    def _on_packets(self) -> None:
        assert self._stack is not None
        while (packet := self._stack.read()) is not None:
            port = _source_port(packet)
            mac = self._carried.get(port) if port is not None else None
            if mac is not None:
                kind = IPV6 if packet[0] >> 4 == 6 else IPV4
                self._urgent.append(ethernet_frame(mac, self._procedure.identity.mac, kind, packet))
        self._wake.set()

    async def _request(self, request: Request) -> None:
        assert self._stack is not None
        version = request.address.version
        source = self._procedure.identity.borrowed[version]
        if version not in self._given:
            self._given.add(version)
            self._stack.add(source)
        self._carried[request.local] = request.mac
        outcome = await ask(self._stack.socket(source, request.local), request)
        self._procedure.reading.transcript.outcomes[request.local] = outcome
        self._wake.set()


def _source_port(packet: bytes) -> int | None:
    """Return the source port of a TCP packet that the stack made."""
    parsed = parse_ipv6(packet) if packet[0] >> 4 == 6 else parse_ipv4(packet)
    tcp = parsed.protocol == Protocol.TCP.number and not parsed.fragment
    return int.from_bytes(parsed.payload[:2]) if tcp else None


def _packet_of(heard: Heard, frame: Frame) -> bytes:
    """Return the IP packet of a frame, with its TCP checksum made good if the sender had not."""
    assert isinstance(frame.network, Ip)
    packet = heard.data[14 + 4 * len(frame.link.vlans) :]
    if heard.checksum_ready or not isinstance(frame.message, Segment):
        return packet
    payload = frame.network.payload
    start = packet.index(payload)
    return packet[:start] + with_checksum(frame.network)
