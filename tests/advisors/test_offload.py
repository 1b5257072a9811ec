"""What a dialogue offloads is computed apart: others go on, and its time is not the server's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from shunt.advisors.advisor import Advisor, Target, Transport
from shunt.advisors.dialogue import HEAR, TURN, Offload, Verdict, noted, progress, up
from shunt.advisors.run import Checker, run
from tests.advisors.driving import TARGET, finish
from tests.advisors.serving import LOOPBACK, a_check, http, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.advisors.dialogue import Dialogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Thoughtful(Advisor):
    """Hears something, and thinks about it."""

    name = "thoughtful"
    compute: Callable[[], bool]
    times: int = 1

    def talk(self, _target: Target, /) -> Dialogue:
        yield b"GET / HTTP/1.1\r\n\r\n"
        yield HEAR
        found = b""
        for _ in range(self.times):
            found = yield Offload(self.compute)
        return up(f"thinks {bool(found)}")


async def test_others_are_checked_while_a_pattern_is_looked_for() -> None:
    others = threading.Event()
    async with serving(http) as target:
        checker = Checker()
        thinking = asyncio.create_task(
            checker.check(replace(a_check(), advisor=Thoughtful(compute=others.wait)), target)
        )
        assert (await checker.check(a_check(), target)).up
        assert not thinking.done()
        others.set()
        assert (await thinking).words == "thinks True"
        checker.close()


async def test_the_time_that_it_takes_is_not_the_servers() -> None:
    begin = time.monotonic()

    def long() -> bool:
        while time.monotonic() < begin + 0.3:
            time.sleep(0.01)
        return False

    async with serving(http) as target:
        check = replace(a_check(), advisor=Thoughtful(compute=long, times=3), receive_timeout=0.1)
        assert (await run(check, target)).words == "thinks False"


async def test_a_check_that_is_given_up_does_not_wait_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    thinks, enough = threading.Event(), threading.Event()

    def long() -> bool:
        thinks.set()
        return enough.wait()

    async with serving(http) as target:
        asked = asyncio.create_task(
            run(replace(a_check(), advisor=Thoughtful(compute=long)), target)
        )
        await asyncio.to_thread(thinks.wait)
        asked.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asked
        assert asked.cancelled()
        enough.set()
    assert not caplog.records


async def test_what_fails_apart_is_the_advisors_fault() -> None:
    def wrong() -> bool:
        raise ValueError("no")

    async with serving(http) as target:
        verdict = await run(replace(a_check(), advisor=Thoughtful(compute=wrong)), target)
    assert verdict.up is None
    assert "the advisor thoughtful failed: ValueError('no')" in verdict.words


def test_who_drives_a_dialogue_without_threads_computes_it_at_once() -> None:
    said: list[tuple[str, bytes]] = []
    dialogue = Thoughtful(compute=lambda: True).talk(TARGET)
    verdict, sent = finish(noted(dialogue, lambda *each: said.append(each)), [b"x"])
    assert verdict.words == "thinks True"
    assert said == [(">", sent), ("<", b"x")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Polite(Advisor):
    """Says one datagram, and lets others have many turns."""

    name = "polite"
    heard: list[str] = field(default_factory=list)

    @property
    def transport(self) -> Transport:
        return Transport.UDP

    def talk(self, _target: Target, /) -> Dialogue:
        for _ in range(100):
            yield TURN
        yield b"x"
        yield HEAR
        return up("fine")


async def test_a_turn_for_others_sends_nothing() -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((str(LOOPBACK), 0))
        server.setblocking(False)
        check = replace(a_check(), advisor=Polite())
        asked = asyncio.create_task(run(check, Target(LOOPBACK, server.getsockname()[1])))
        said, client = await loop.sock_recvfrom(server, 10)
        assert said == b"x"
        server.sendto(b"y", client)
        assert (await asked).up
        with pytest.raises(BlockingIOError):
            server.recv(10)


def test_a_reader_of_many_pieces_that_came_at_once_offers_turns() -> None:
    steps: list[object] = []
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 2000
    dialogue = a_check(request="/", body="never").advisor.talk(TARGET)
    feed = iter((answer, b"0\r\n\r\n"))

    def counted() -> Dialogue:
        heard: bytes | None = None
        while not isinstance(step := progress(dialogue, heard), Verdict):
            steps.append(step)
            heard = next(feed) if step is HEAR else None
        yield from ()
        return step

    assert "the body has no 'never'" in finish(counted(), ())[0].words
    assert steps.count(TURN) > 3 * 2000 / 100 - 5
