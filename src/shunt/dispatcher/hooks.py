"""Scripts of an operator, run when something happens: `hooks/serverDown` and the like.

One after another, in the order of the events, so that a script never sees `serverUp` before the
`serverDown` that it follows; but what is told of strangers has a lane of its own, for anybody on
the segment can make that as long as they like. What a script prints is logged; one that hangs is
ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import structlog

from shunt import trust
from shunt.child_output import ChildOutput
from shunt.dispatcher.limited_log import LimitedLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

log = structlog.get_logger()

_LONGEST = 30.0  # seconds
_WAITING = 1000
_OUTPUT = 1 << 14  # bytes that are logged
_BURST = 10  # lines about one script that follow each other; then one a minute


class Lane(Enum):
    """Scripts of one lane run one after another; no lane waits for another."""

    SERVICES = auto()
    CLAIMS = auto()


@dataclass(frozen=True, slots=True)
class _Call:
    script: Path
    arguments: Sequence[str]
    environment: Mapping[str, str]


class Hooks:
    """The scripts of one folder.

    Attributes:
        folder: where they are; may be changed at any time.
        failed: calls that could not or must not be made, or left with another code than 0.
        left_out: calls that were not made: too many waited, or the daemon ended.
    """

    def __init__(self, folder: Path, longest: float = _LONGEST, waiting: int = _WAITING) -> None:
        """Run nothing yet.

        Args:
            folder: where they are.
            longest: seconds after which a script is ended.
            waiting: calls that may wait in a lane.
        """
        self.folder = folder
        self.failed = 0
        self.left_out = 0
        self._longest = longest
        self._waiting = waiting
        self._calls: dict[Lane, deque[_Call]] = {lane: deque() for lane in Lane}
        self._missed: dict[Lane, int] = dict.fromkeys(Lane, 0)
        self._workers: dict[Lane, asyncio.Task[None]] = {}
        self._unsafe: dict[Path, str] = {}
        self._log = LimitedLog(burst=_BURST)  # how often something happens, strangers decide

    def fire(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        lane: Lane = Lane.SERVICES,
    ) -> None:
        """Have a script run soon, if there is one of this name.

        Args:
            name: of the file in the folder.
            arguments: after the name.
            environment: variables besides PATH.
            lane: behind whose scripts it waits.
        """
        script = self.folder / name
        if not script.is_file():
            return
        if not self._is_safe(script):
            return
        calls = self._calls[lane]
        if len(calls) >= self._waiting:
            self._miss(lane, script)
            return
        self._say_missed(lane)
        words = {key: _speakable(value) for key, value in (environment or {}).items()}
        calls.append(_Call(script, tuple(_speakable(word) for word in arguments), words))
        worker = self._workers.get(lane)
        if worker is None or worker.done():
            self._workers[lane] = asyncio.create_task(self._work(calls))

    def _is_safe(self, script: Path) -> bool:
        """Tell whether a script is only root's to change; say once of each why it is not run."""
        why = trust.fault(script)
        if why is None:
            self._unsafe.pop(script, None)
            return True
        self.failed += 1
        if self._unsafe.get(script) != why:
            self._unsafe[script] = why
            log.error(
                "script refused: others than root may change it", script=str(script), reason=why
            )
        return False

    def _miss(self, lane: Lane, script: Path) -> None:
        self.left_out += 1
        self._missed[lane] += 1
        if self._missed[lane] == 1:
            self._log.warning("too many scripts wait; more are left out", script=str(script))

    def _say_missed(self, lane: Lane) -> None:
        missed, self._missed[lane] = self._missed[lane], 0
        if missed:
            self._log.warning("scripts were left out: too many waited", count=missed)

    async def finish(self, within: float) -> None:
        """Let what runs and what waits come to its end; end, and leave out, what takes longer.

        Args:
            within: seconds.
        """
        working = [worker for worker in self._workers.values() if not worker.done()]
        if working:
            await asyncio.wait(working, timeout=within)
        for worker in working:
            worker.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        waiting = sum(map(len, self._calls.values()))
        if waiting:
            self.left_out += waiting
            log.warning("scripts are left out: the daemon ends", count=waiting)
        for lane, calls in self._calls.items():
            self._say_missed(lane)
            calls.clear()

    async def _work(self, calls: deque[_Call]) -> None:
        while calls:
            await self._run(calls.popleft())

    async def _run(self, call: _Call) -> None:
        try:
            with ChildOutput(_OUTPUT) as output:
                code = await self._run_to_its_end(call, output)
        except OSError as error:
            self.failed += 1
            self._log.warning("script cannot be run", call.script.name, script=str(call.script),
                              reason=error.strerror)  # fmt: skip
            return
        self.failed += code != 0
        if code or (code == 0 and output.kept):
            self._log.info("script", call.script.name, name=call.script.name, code=code,
                           said=output.words())  # fmt: skip

    async def _run_to_its_end(self, call: _Call, output: ChildOutput) -> int | None:
        """Return its exit code, None if it had to be ended.

        Only what had to be ended is ended with its group: while its first process is there, the
        group's number is no other's. What a script left in the background on purpose lives on.
        """
        process = await asyncio.create_subprocess_exec(
            str(call.script), *call.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output.end,
            stderr=output.end,
            env={"PATH": os.environ.get("PATH", os.defpath), **call.environment},
            start_new_session=True,
        )  # fmt: skip
        why = "script ended: it took too long"
        try:
            async with asyncio.timeout(self._longest):
                return await process.wait()
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            why = "script ended: the daemon ends"
            raise
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
                output.read()
                self._log.warning(why, call.script.name, script=str(call.script),
                                  said=output.words())  # fmt: skip
        return None


def _speakable(text: str) -> str:
    """Return the text without what no argument and no variable can hold."""
    return text.replace("\0", "").encode(errors="replace").decode()
