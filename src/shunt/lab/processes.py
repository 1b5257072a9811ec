"""Processes of a laboratory: run to the end, or started and stopped later."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.errors import HostError, LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_STOP_GRACE = 5.0
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
_NO_SUCH_COMMAND = 127  # status of env and nsenter that cannot find one
_NOT_FOUND = re.compile(
    r"^(?:nsenter: failed to execute (?P<nsenter>.+)|env: \W(?P<env>.+)\W): No such file",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Completed:
    """A process that has ended: its words and its status (negative: the signal that ended it)."""

    status: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    timeout: float = 30,
    stdin: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a command to its end, `timeout` seconds at most; `env` is added to our own environment.

    Raises:
        LabError: it took too long, or (with `check`) left with another status than 0.
        HostError: there is no such command.
    """
    try:
        done = subprocess.run(
            _taking_signals(argv),
            input=stdin.encode() if isinstance(stdin, str) else (stdin or b""),
            capture_output=True,
            check=False,
            timeout=timeout,
            env=_environment(env),
        )
    except FileNotFoundError as error:
        raise _absent(argv) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{shlex.join(argv)}` did not end within {timeout:g} s") from error
    completed = Completed(
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
    )
    if (name := _not_executed(completed.status, completed.stderr)) is not None:
        raise _absent([name])
    if check and completed.status:
        words = completed.stderr.strip() or completed.stdout.strip() or "it said nothing"
        raise LabError(f"`{shlex.join(argv)}` left with status {completed.status}: {words}")
    return completed


class Process:
    """A process in the background, in a session of its own: Ctrl-C reaches only its owner."""

    def __init__(
        self, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.argv = tuple(argv)
        self.log = log
        with log.open("ab") as sink:
            try:
                self._popen = subprocess.Popen(
                    _taking_signals(self.argv),
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    start_new_session=True,
                    env=_environment(env),
                )
            except FileNotFoundError as error:
                raise _absent(argv) from error

    @property
    def pid(self) -> int:
        """Return the process's number; it is also that of its group."""
        return self._popen.pid

    @property
    def status(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        """Return all that it has written so far, both streams."""
        return self.log.read_text(errors="replace")

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = 10) -> None:
        """Wait until `condition` holds; `what` says in a word or two what the process then does.

        Raises:
            LabError: it ended before, or `timeout` seconds have passed.
        """
        deadline = time.monotonic() + timeout
        while True:
            status = self.status
            if condition():
                return
            if status is not None and (name := _not_executed(status, self.output())) is not None:
                raise _absent([name])
            if status is not None or time.monotonic() > deadline:
                how = "waits" if status is None else f"ended with status {status}"
                raise LabError(
                    f"`{shlex.join(self.argv)}` {how} before it {what}",
                    hint=f"it said: {self.output().strip()[-2000:] or 'nothing'}",
                )
            time.sleep(0.005)

    def wait_until_says(self, words: str, timeout: float = 10) -> None:
        """Wait until it has written `words`, as a daemon does when it is ready.

        Raises:
            LabError: it ended before, or `timeout` seconds have passed.
        """
        self.wait_until(lambda: words in self.output(), f"said {words!r}", timeout)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself; one that has ended is left in peace."""
        self._popen.send_signal(number)

    def terminate(self, grace: float = _STOP_GRACE) -> int:
        """Ask it to end, insist after `grace` seconds; return the exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it and its group at once; return the exit status."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._popen.wait()

    def wait(self, timeout: float = 30) -> int:
        """Wait until it has ended by itself; return the exit status.

        Raises:
            LabError: it runs still after `timeout` seconds.
        """
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired as error:
            message = f"`{shlex.join(self.argv)}` still runs after {timeout:g} s"
            raise LabError(message, hint=f"its words are in {self.log}") from error


def _taking_signals(argv: Sequence[str]) -> list[str]:
    """Return the command with the default dispositions of signals that we ignore.

    A shell without job control starts `command &` with SIGINT ignored, nohup(1) with SIGHUP, and
    children inherit that: they could not be interrupted.
    """
    ignored = [number.name for number in _ENDING if signal.getsignal(number) is signal.SIG_IGN]
    return [*(["env", f"--default-signal={','.join(ignored)}"] if ignored else []), *argv]


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", **(extra or {})}


def _not_executed(status: int, words: str) -> str | None:
    """Return the command that nsenter or env did not find; None if they did."""
    found = _NOT_FOUND.search(words) if status == _NO_SUCH_COMMAND else None
    return None if found is None else found["nsenter"] or found["env"]


def _absent(argv: Sequence[str]) -> HostError:
    return HostError(
        f"a laboratory needs the command `{argv[0]}`, which is not installed",
        hint="`make setup` installs all that laboratories need",
    )
