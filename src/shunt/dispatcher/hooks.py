"""Scripts of an operator, run when something happens: `hooks/serverDown` and the like.

One after another, in the order of the events, so that a script never sees `serverUp` before the
`serverDown` that it follows. What a script prints is logged; one that hangs is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

log = structlog.get_logger()

_LONGEST = 30.0  # seconds
_WAITING = 1000
_OUTPUT = 1 << 14


@dataclass(frozen=True, slots=True)
class _Call:
    script: Path
    arguments: Sequence[str]
    environment: Mapping[str, str]


class Hooks:
    """The scripts of one folder.

    Attributes:
        folder: where they are; may be changed at any time.
        failed: calls that could not be made or left with another code than 0.
    """

    def __init__(self, folder: Path, longest: float = _LONGEST) -> None:
        self.folder = folder
        self.failed = 0
        self._longest = longest
        self._calls: asyncio.Queue[_Call] = asyncio.Queue(_WAITING)

    def fire(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Have a script run soon, if there is one of this name.

        Args:
            name: of the file in the folder.
            arguments: after the name.
            environment: variables besides PATH.
        """
        script = self.folder / name
        if not script.is_file():
            return
        try:
            self._calls.put_nowait(_Call(script, tuple(arguments), dict(environment or {})))
        except asyncio.QueueFull:
            self.failed += 1
            log.warning("too many scripts wait; this one is left out", script=str(script))

    async def run(self) -> None:
        """Run what was fired, until cancelled."""
        while True:
            await self._run(await self._calls.get())

    async def finish(self, within: float) -> None:
        """Run what waits still, after `run` has ended; leave out what would take longer.

        Args:
            within: seconds.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self._calls.empty():
                    await self._run(self._calls.get_nowait())

    async def _run(self, call: _Call) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                str(call.script), *call.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={"PATH": os.environ.get("PATH", os.defpath), **call.environment},
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self.failed += 1
            log.warning("script cannot be run", script=str(call.script), reason=error.strerror)
            return
        assert process.stdout is not None
        said, code = b"", None
        try:
            async with asyncio.timeout(self._longest):
                said = await process.stdout.read(_OUTPUT)
                while await process.stdout.read(_OUTPUT):
                    pass
                code = await process.wait()
        except TimeoutError:
            log.warning("script ended: it took too long", script=str(call.script))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        self.failed += code != 0
        if said or code:
            log.info(
                "script",
                name=call.script.name,
                code=code,
                said=said.decode(errors="replace").strip(),
            )
