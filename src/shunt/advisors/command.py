"""Runs an advisor's command: in a group of its own, with a clean environment, and ended in time.

It is judged by its own exit code, whoever it leaves in the background. Nobody waits for ever: of
one that cannot be ended (its disk has gone) the server is told down, and it is not started again
as long as it is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from shunt import trust
from shunt.advisors.dialogue import (
    HEAR,
    AdvisorError,
    Dialogue,
    Verdict,
    WrongAnswerError,
    advance,
    down,
)
from shunt.advisors.protocols.exec import failed
from shunt.child_output import ChildOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shunt.advisors.advisor import Target
    from shunt.advisors.check import Check

_OUTPUT = 1 << 16  # bytes
_LAST_WAIT = 1.0  # seconds until one that was killed must have ended


class Commands:
    """The commands of one `Checker`."""

    def __init__(self) -> None:
        self._unending: dict[tuple[str, ...], asyncio.subprocess.Process] = {}

    async def run(self, check: Check, target: Target, dialogue: Dialogue) -> Verdict:
        """Run the advisor's command and let the dialogue hear its output.

        Raises:
            AdvisorError: the dialogue is wrong in itself.
        """
        argv = tuple(check.advisor.argv(target))
        before = self._unending.get(argv)
        if before is not None and before.returncode is None:
            return down(f"the command of an earlier check, process {before.pid}, cannot be ended")
        self._unending.pop(argv, None)
        if why := trust.fault(Path(argv[0])):
            return Verdict(None, f"{argv[0]} is not run: {why}")
        try:
            with ChildOutput(_OUTPUT) as output:
                code = await self._ended(argv, output, check.receive_timeout)
        except OSError as error:
            return Verdict(None, f"{argv[0]} cannot be run: {error.strerror or error}")
        if code is None:
            return down(f"the command was not done within {check.receive_timeout:g} s")
        said = bytes(output.kept)
        try:
            return down(str(failed(code, said))) if code else _told(dialogue, said)
        except WrongAnswerError as error:
            return down(str(error))

    async def _ended(
        self, argv: tuple[str, ...], output: ChildOutput, longest: float
    ) -> int | None:
        """Return the exit code, None if it had to be ended."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output.end,
            stderr=output.end,
            env=environment(),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(longest):
                return await process.wait()
        except TimeoutError:
            return None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await self._gone(argv, process)

    async def _gone(self, argv: tuple[str, ...], process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(_LAST_WAIT):
                await process.wait()
        except TimeoutError:
            self._unending[argv] = process


def environment() -> dict[str, str]:
    """Return what a command finds: where programs are, and nothing of the daemon's own."""
    return {"PATH": os.environ.get("PATH", os.defpath)}


def _told(dialogue: Dialogue, output: bytes) -> Verdict:
    """Return what a dialogue that only hears makes of a whole output."""
    step = advance(dialogue)
    heard: Sequence[bytes] = (output, b"") if output else (b"",)
    for data in heard:
        if isinstance(step, Verdict):
            return step
        if step is not HEAR:
            raise AdvisorError("it speaks, and a command does not listen")
        step = advance(dialogue, data)
    if isinstance(step, Verdict):
        return step
    raise AdvisorError("it wants more than the command's output")
