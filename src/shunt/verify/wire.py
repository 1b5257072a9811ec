"""The procedure on a real segment: the only file of the room that sends and hears.

Every frame that leaves, of the procedure and of the pretended machine's TCP stack, goes through
one queue and one pace.
"""

from __future__ import annotations

import asyncio
import errno
import heapq
import itertools
import time
from collections import deque
from typing import TYPE_CHECKING

from shunt.errors import NetworkError
from shunt.model.config import Protocol
from shunt.network.frames import Frame, IcmpError, Ip, Segment, ethernet_frame
from shunt.network.frames.ethernet import IPV4, IPV6, BrokenError
from shunt.network.frames.icmp import quoted
from shunt.network.frames.ip import parse_ipv4, parse_ipv6
from shunt.network.frames.transport import with_checksum
from shunt.verify.application import CONNECT_TIME, LONGEST_TIME, ask
from shunt.verify.phase import Outgoing, Phase, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.model.addresses import Mac
    from shunt.network.packets import Heard, PacketSocket
    from shunt.network.pseudo_host import PseudoHost
    from shunt.verify.procedure import Procedure

_TICK = 0.02  # seconds between two looks whether a phase is settled
_BURST = 0.02  # seconds' worth of frames that may go at once
_TRIES = 50  # ticks for a queue that is full
_FULL = (errno.ENOBUFS, errno.EAGAIN)
_REPLIES, _SEGMENTS = 256, 1024  # that wait at most; a TCP stack sends again what is lost
_AT_ONCE = 64  # frames that are taken in before others have their turn
_FRAMES_A_REQUEST = 12
_GRACE = CONNECT_TIME + LONGEST_TIME + 10.0
_LOUD = "Others on the segment send too much, or this machine is too busy: examine again."


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
    """Runs a `procedure` over `socket`, `rate` frames a second, requests over `stack` if given.

    Replies to others, segments of the stack and the procedure's own frames take turns, and what
    waits is bounded: nobody else on the segment can keep the procedure from its end.
    """

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
        self._rate = rate
        self._pace = Pace(rate)
        self._progress = progress
        self._replies: deque[bytes] = deque(maxlen=_REPLIES)
        self._segments: deque[bytes] = deque(maxlen=_SEGMENTS)
        self._due: list[tuple[float, int, Outgoing | Request]] = []
        self._turn = 0
        self._wake = asyncio.Event()
        self._failed: NetworkError | None = None
        self._carried: dict[int, Mac] = {}  # local port of a connection -> the server's MAC
        self._given: set[int] = set()  # IP versions for which the stack has its address

    async def run(self) -> None:
        """Run all phases.

        Raises:
            NetworkError: the interface went away, or the segment is too loud to be examined.
        """
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket.fileno(), self._on_frames)
        if self._stack is not None:
            loop.add_reader(self._stack.fileno(), self._on_packets)
        try:
            for phase in self._procedure.phases():
                self._progress(phase)
                await self._phase(phase)
            while self._replies:
                await self._rest(self._pace.wait(time.monotonic()))
                await self._send(self._replies.popleft())
        finally:
            loop.remove_reader(self._socket.fileno())
            if self._stack is not None:
                loop.remove_reader(self._stack.fileno())

    async def _phase(self, phase: Phase) -> None:
        order = itertools.count()
        begin = time.monotonic()
        self._due = [(begin + each.at, next(order), each) for each in phase.outgoing]
        self._due += [(begin, next(order), request) for request in phase.requests]
        heapq.heapify(self._due)
        tasks: set[asyncio.Task[None]] = set()
        try:
            await self._carry_out(phase, begin, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(self, phase: Phase, begin: float, tasks: set[asyncio.Task[None]]) -> None:
        last, limit = begin, begin + self._longest(phase)
        while True:
            now = time.monotonic()
            if self._failed is not None:
                raise self._failed
            if now > limit:
                raise NetworkError(
                    f"{phase.name}: not done within {limit - begin:.0f} s", hint=_LOUD
                )
            running = any(not task.done() for task in tasks)
            idle = not (self._due or self._segments or running)
            over = now >= max(last + phase.patience, begin + phase.least)
            if idle and (phase.settled() or over):
                return
            if wait := self._pace.wait(now):
                await self._rest(wait)
                continue
            item, own = self._next(now)
            if item is None:
                await self._rest(_TICK)
                continue
            last = now if own else last
            if isinstance(item, Request):
                tasks.add(asyncio.create_task(self._request(item)))
                await asyncio.sleep(0)  # its first segment goes before the next item
            else:
                await self._send(item)

    def _longest(self, phase: Phase) -> float:
        """Return the seconds that a phase may take, with others' frames in between."""
        frames = len(phase.outgoing) + _FRAMES_A_REQUEST * len(phase.requests)
        last = max((each.at for each in phase.outgoing), default=0.0)
        return max(last + phase.patience, phase.least) + 4 * frames / self._rate + _GRACE

    def _next(self, now: float) -> tuple[bytes | Request | None, bool]:
        """Return what goes next, and whether it is the procedure's; each kind has its turn."""
        for _ in range(3):
            self._turn = (self._turn + 1) % 3
            if self._turn == 0 and self._replies:
                return self._replies.popleft(), False
            if self._turn == 1 and self._segments:
                return self._segments.popleft(), False
            if self._turn == 2 and self._due and self._due[0][0] <= now:
                item = heapq.heappop(self._due)[2]
                return (item.frame if isinstance(item, Outgoing) else item), True
        return None, False

    async def _rest(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _send(self, frame: bytes) -> None:
        self._pace.spend(time.monotonic())
        for left in reversed(range(_TRIES)):
            now = time.time()
            try:
                self._socket.send(frame)
                break
            except NetworkError as error:
                if error.errno not in _FULL or not left:
                    raise
            await asyncio.sleep(_TICK)
        self._procedure.reading.transcript.sent(now, frame)

    def _on_frames(self) -> None:
        """Take in what has come, a part of it at a time: others have their turn in between."""
        try:
            for _ in range(_AT_ONCE):
                if (heard := self._socket.receive_now()) is None:
                    break
                self._take(heard)
        except NetworkError as error:
            self._fail(error)
        self._wake.set()

    def _fail(self, error: NetworkError) -> None:
        """End the examination: with its first error."""
        self._failed = self._failed or error
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket.fileno())  # it would be told again and again
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
        self._replies.extend(replies)

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
                self._segments.append(
                    ethernet_frame(mac, self._procedure.identity.mac, kind, packet)
                )
        self._wake.set()

    async def _request(self, request: Request) -> None:
        assert self._stack is not None
        version = request.address.version
        source = self._procedure.identity.borrowed[version]
        try:
            if version not in self._given:
                self._given.add(version)
                self._stack.add(source)
            self._carried[request.local] = request.mac
            sock = self._stack.socket(source, request.local)
        except (OSError, NetworkError) as error:
            self._fail(NetworkError(f"a connection cannot be made here: {error}"))
            return
        outcome = await ask(sock, request)
        self._procedure.reading.transcript.outcomes[request.local] = outcome
        self._wake.set()


def _source_port(packet: bytes) -> int | None:
    """Return the source port of a TCP packet that the stack made."""
    try:
        parsed = parse_ipv6(packet) if packet[0] >> 4 == 6 else parse_ipv4(packet)
    except BrokenError:
        return None
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
