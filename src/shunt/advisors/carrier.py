"""Carries dialogues over sockets: one edge-triggered epoll for all, one callback for each event.

The event loop's own way costs a registration, a removal and a future for each wait; a thousand
checks a second would spend more on these than on their packets.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from shunt.advisors.dialogue import HEAR, Offload, Verdict, progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.advisors.advisor import Target
    from shunt.advisors.dialogue import Dialogue, Step
    from shunt.advisors.sockets import Wire

_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_AT_ONCE = 32  # steps of one dialogue before others get their turn,
_TURN = 0.001  # or seconds, for what a dialogue does with what it hears takes time as well
_THREADS, _NICE = 4, 5  # one hostile server keeps one of them busy
_TO_HEAR = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class TooLateError(Exception):
    """No connection, or no end of the dialogue, in its time; TimeoutError is the kernel's word."""


class Readiness:
    """Says of many sockets when they are ready: epoll(7), within the running event loop.

    What dialogues offload is computed in a few threads of its own, with less right to a processor
    than this one.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads: ThreadPoolExecutor | None = None
        self._epoll = select.epoll()
        self._told: dict[int, Callable[[int], None]] = {}
        self._loop.add_reader(self._epoll.fileno(), self.look)

    def watch(self, number: int, tell: Callable[[int], None]) -> None:
        """Tell of every new event of a descriptor; who is told closes none meanwhile."""
        self._epoll.register(number, _EDGES)
        self._told[number] = tell

    def forget(self, number: int) -> None:
        """Tell nothing more of a descriptor that is still open."""
        if self._told.pop(number, None):
            self._epoll.unregister(number)

    def close(self) -> None:
        """Tell nothing more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def offload(self, step: Offload) -> asyncio.Future[bytes]:
        """Compute what a dialogue wants to know."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, "shunt-offload", _be_nice)
        return self._loop.run_in_executor(self._threads, step.result)

    def look(self) -> None:
        """Tell of the events that have come; the loop does it whenever there are some."""
        for number, events in self._epoll.poll(0):
            tell = self._told.get(number)
            if tell is not None:
                tell(events)


def _be_nice() -> None:
    """Lower this thread's priority (setpriority(2): on Linux it is the thread's own)."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class Carrier:
    """One dialogue on its way over one socket.

    Attributes:
        connected: the connection stands.
    """

    def __init__(self, readiness: Readiness, wire: Wire, dialogue: Dialogue) -> None:
        self.connected = False
        self._readiness = readiness
        self._wire = wire
        self._dialogue = dialogue
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[Verdict] = self._loop.create_future()
        self._step: Step = HEAR  # what is left to say, or that it wants to hear or know
        self._computing: asyncio.Future[bytes] | None = None
        self._heard = False  # something may have come that has not been read

    async def carry(self, target: Target, connect: float, receive: float) -> Verdict:
        """Carry it to its end.

        Args:
            target: whom to connect to.
            connect: longest time to the connection, seconds.
            receive: longest time of the dialogue after that, seconds.

        Raises:
            TooLateError: one of the two was over.
            WrongAnswerError: from the dialogue.
            OSError: what the kernel says.
            AdvisorError: the dialogue is wrong in itself.
        """
        self._receive = receive
        self._limit = self._loop.time() + connect
        self._timer = self._loop.call_at(self._limit, self._late)
        try:
            done = self._wire.begin(target)
            self._readiness.watch(self._wire.number, self._ready)
            if done:
                self._ready(0)
            return await self._end
        finally:
            self._timer.cancel()
            if self._computing is not None:
                self._computing.cancel()
            self._readiness.forget(self._wire.number)
            self._wire.close()

    def _ready(self, events: int) -> None:
        """Go on as far as it goes."""
        if self._end.done():
            return
        self._heard = self._heard or bool(events & _TO_HEAR)
        try:
            if not self.connected:
                self._begin()
            self._go()
        except BlockingIOError:
            pass
        except Exception as error:  # noqa: BLE001 - for whoever waits
            self._end.set_exception(error)

    def _begin(self) -> None:
        self._wire.begun()
        self.connected = True
        self._limit = self._loop.time() + self._receive
        if self._limit < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._limit, self._late)
        self._take(progress(self._dialogue))

    def _take(self, step: Step | Verdict) -> None:
        if isinstance(step, Verdict):
            self._end.set_result(step)
            return
        self._step = step
        if isinstance(step, Offload):
            self._computing = self._readiness.offload(step)
            self._computing.add_done_callback(self._known)

    def _known(self, computed: asyncio.Future[bytes]) -> None:
        """Go on with what was computed; the time for it was not the server's."""
        if computed.cancelled() or self._end.done():
            return
        try:
            self._take(progress(self._dialogue, computed.result()))
        except Exception as error:  # noqa: BLE001 - for whoever waits
            self._end.set_exception(error)
            return
        self._ready(0)
        if not self._end.done() and self._loop.time() >= self._limit:
            self._late()

    def _go(self) -> None:
        until = self._loop.time() + _TURN
        for _ in range(_AT_ONCE):
            if self._end.done() or isinstance(self._step, Offload):
                return
            if self._step is not HEAR:
                sent = self._wire.say(self._step) if self._step else 0
                rest = self._step[sent:]
                self._take(rest or progress(self._dialogue))
            elif not self._heard:
                return
            else:
                self._take(progress(self._dialogue, self._hear()))
            if self._loop.time() >= until:
                break
        self._loop.call_soon(self._ready, 0)  # others wait as well

    def _hear(self) -> bytes:
        try:
            return self._wire.hear()
        except BlockingIOError:
            self._heard = False
            raise

    def _late(self) -> None:
        """Give up, unless the limit has moved; but what has come in time and not been read counts.

        This process may have been busy with something else meanwhile.
        """
        if not self._end.done() and self._loop.time() >= self._limit:
            self._readiness.look()
            if self._heard:
                self._ready(0)
        if self._end.done() or isinstance(self._step, Offload):  # which goes on when it is known
            return
        if self._loop.time() < self._limit:  # set when the connection was awaited, or just now
            self._timer = self._loop.call_at(self._limit, self._late)
        else:
            self._end.set_exception(TooLateError())
