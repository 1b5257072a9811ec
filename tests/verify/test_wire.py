"""The only file that sends: full queues are waited for, and failures end in one plain error."""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from shunt.errors import NetworkError
from shunt.model.addresses import Mac
from shunt.network.frames import arp_request
from shunt.network.packets import Heard, PacketSocket
from shunt.verify import transcript as transcript_module
from shunt.verify.phase import Outgoing, Phase
from shunt.verify.transcript import Transcript
from shunt.verify.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.verify.procedure import Procedure

ME = Mac.parse("02:00:00:00:00:99")


class Segment:
    """Stands for a packet socket: refuses to send as told, hears as told."""

    def __init__(self, *refusals: int, heard: int = 0) -> None:
        self._far, self._near = socket.socketpair()
        self._refusals = list(refusals)
        self._heard = heard
        self.sent: list[bytes] = []
        if heard:
            self._far.send(b"x")  # never taken out: there is always something to hear

    def fileno(self) -> int:
        return self._near.fileno()

    def send(self, frame: bytes) -> None:
        if self._refusals and (code := self._refusals.pop(0)):
            raise NetworkError("sending on eth0: refused", errno=code)
        self.sent.append(frame)

    def receive_now(self) -> Heard | None:
        if not self._heard:
            return None
        self._heard -= 1
        return Heard(b"", 1.0)

    def close(self) -> None:
        self._far.close()
        self._near.close()


def _wire(segment: Segment, *frames: bytes) -> Wire:
    transcript = Transcript()

    def phases() -> Iterator[Phase]:
        yield Phase("control", "", tuple(map(Outgoing, frames)))

    def hear(at: float, frame: bytes, *, checksum_ready: bool) -> tuple[bytes, ...]:
        transcript.heard(at, frame, checksum_ready=checksum_ready)
        return ()

    procedure = SimpleNamespace(
        phases=phases, hear=hear, reading=SimpleNamespace(transcript=transcript)
    )
    return Wire(cast("Procedure", procedure), cast("PacketSocket", segment), rate=1000)


QUESTIONS = [arp_request(ME, IPv4Address(f"192.0.2.{number}")) for number in range(1, 4)]


@pytest.fixture
def segments() -> Iterator[list[Segment]]:
    made: list[Segment] = []
    yield made
    for each in made:
        each.close()


async def test_a_full_queue_is_waited_for(segments: list[Segment]) -> None:
    segment = Segment(0, errno.ENOBUFS, errno.EAGAIN, 0)
    segments.append(segment)
    await _wire(segment, *QUESTIONS).run()
    assert segment.sent == QUESTIONS


@pytest.mark.parametrize("code", [errno.ENETDOWN, errno.ENXIO])
async def test_an_interface_that_is_down_is_one_plain_error(
    segments: list[Segment], code: int
) -> None:
    segment = Segment(0, code)
    segments.append(segment)
    with pytest.raises(NetworkError, match="refused"):
        await _wire(segment, *QUESTIONS).run()
    assert segment.sent == QUESTIONS[:1]


async def test_a_loud_segment_keeps_nobody_from_the_end_and_no_memory(
    segments: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript_module, "_EVENTS", 500)
    segment = Segment(heard=10**9)
    segments.append(segment)
    wire = _wire(segment, *QUESTIONS * 100)
    await wire.run()
    assert segment.sent == list(QUESTIONS) * 100
    transcript = wire._procedure.reading.transcript
    assert transcript.heard_count > 500
    assert sum(not event.sent for event in transcript.events) == 500
    assert transcript.unkept == transcript.heard_count - 500
