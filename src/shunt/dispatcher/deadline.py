"""The last resort of a daemon that was told to end: whatever still runs, the process ends in time.

What is in the kernel goes on without the process, and the next one takes it over, as after a kill.
So a worker that is stuck, a check that never returns or a script that nobody can end must not keep
a host from shutting down, or a new release from starting.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from types import FrameType

log = structlog.get_logger()

WITHIN = 8.0  # seconds: `shunt down` and systemd wait a little longer
_GRACE = 1.0  # seconds until the kernel does it, should even the thread not get its turn
_LINES = 12  # of each thread's stack


class Deadline:
    """Begins when it is told, or by a signal; the first beginning counts."""

    def __init__(self, within: float = WITHIN) -> None:
        """Do nothing yet.

        Args:
            within: seconds from the beginning to the end of the process.
        """
        self._within = within
        self._timer: threading.Timer | None = None

    def watch(self, *numbers: signal.Signals) -> None:
        """Begin when one of these signals comes, also while the event loop is stuck.

        The loop's own handlers run as well: set those first. The kernel's alarm ends a process
        whose threads cannot run at all, for a function in C may hold the interpreter's lock.
        """
        for number in numbers:
            signal.signal(number, self._on_signal)
            signal.siginterrupt(number, False)  # noqa: FBT003 - the library's own signature

    def begin(self) -> None:
        """End the process in time, however it goes on."""
        if self._timer is None:
            signal.setitimer(signal.ITIMER_REAL, self._within + _GRACE)
            self._timer = threading.Timer(self._within, self._end)
            self._timer.daemon = True
            self._timer.start()

    def met(self) -> None:
        """All has ended in order."""
        if self._timer is not None:
            self._timer.cancel()
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.begin()

    def _end(self) -> None:
        log.error(
            "something would not end, so the process does; traffic flows on",
            within=self._within,
            stacks=_stacks(),
        )
        os._exit(1)


def _stacks() -> dict[str, list[str]]:
    """Return where each other thread is, so that whoever reads the log knows what hung."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = threading.get_ident()
    return {
        names.get(number) or str(number): [
            f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_stack(stack)[-_LINES:]
        ]
        for number, stack in sys._current_frames().items()  # noqa: SLF001 - documented, for this
        if number != own
    }
