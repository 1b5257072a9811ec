"""One change of a server at a time: a lock that lies beside its record.

Making a folder succeeds for one alone on every Unix, making a new file on Windows. The lock says
who holds it and since when, by the server's clock, and is renewed before every command, which also
proves that nobody has taken it over meanwhile. It lapses when its holder has not renewed it for
longer than a command may take, or at once when the holder was a process of this machine and is
gone: so a set-up that was killed is not in the way of the next one.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import platform
import secrets
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from shunt.errors import RemoteError, ShuntError, StillRunningError
from shunt.model.config import OperatingSystem
from shunt.servers import powershell
from shunt.servers import record as records
from shunt.servers.steps import Command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shunt.servers.runners.base import Runner
    from shunt.servers.steps import Output
    from shunt.servers.wish import Wish

_WINDOWS = (OperatingSystem.WINDOWS, OperatingSystem.WINDOWS2003)
_LEAST_PATIENCE = 60.0  # seconds; clocks jump, and machines are slow
_RELEASE = 10.0  # seconds to give it back after Ctrl-C
_STAMP = "%Y %j %H %M %S"  # what every `date` knows; the day is that of the year


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: a word of its own, a person, a process of a machine, seconds to lapse."""

    word: str
    who: str
    machine: str
    process: int
    patience: float

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine and has ended."""
        if self.machine != _this_machine():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False


def _this_machine() -> str:
    """Return what no other machine, boot, or container with processes of its own has."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _holder(patience: float) -> Holder:
    try:
        who = f"{getpass.getuser()}@{platform.node()}"
    except (KeyError, OSError):  # a user without a name
        who = f"{os.getuid()}@{platform.node()}"
    word = secrets.token_hex(8)
    return Holder(word, who, _this_machine(), os.getpid(), max(_LEAST_PATIENCE, 2 * patience))


@asynccontextmanager
async def locked(runner: Runner, wish: Wish) -> AsyncIterator[Command]:
    """Hold the server's lock; yield the command that renews it, and fails once it is lost.

    It is kept, until it lapses, where a command may still be running.

    Raises:
        RemoteError: Somebody else holds it, or it could not be made.
    """
    mine = _holder(runner.timeout)
    await _take(runner, wish, mine)
    try:
        yield _renewal(wish, mine)
    except StillRunningError:
        raise
    except BaseException:
        await _give_back(runner, wish, mine)
        raise
    await _give_back(runner, wish, mine)


async def _take(runner: Runner, wish: Wish, mine: Holder) -> None:
    for attempt in range(4):
        output = await runner.run(_taking(wish, mine))
        if output.status:
            raise RemoteError(f"the server could not be locked: {output.stderr.strip()}")
        if output.stdout.split("\n", 1)[0].strip() == "taken":
            return
        word = _lapsed(output, wish)
        if word is None and attempt == 0:
            await asyncio.sleep(1)  # somebody is about to write who it is, or was killed just then
        else:
            await runner.run(_clearing(wish, word or ""))
    raise RemoteError("the server could not be locked: others are faster", hint="try it again")


def _lapsed(output: Output, wish: Wish) -> str | None:
    """Return the word of a lock that has lapsed; None if nobody has put a name on it.

    Raises:
        RemoteError: Its holder is at work.
    """
    now, _, rest = output.stdout.partition("\n")
    since, _, text = rest.partition("\n")
    if not text.strip():
        return None
    try:
        holder = Holder(**json.loads(text))
        age = (_moment(now) - _moment(since)).total_seconds()
    except (ValueError, TypeError) as error:
        raise RemoteError(
            f"the server's lock is damaged: {error!r}",
            hint=f"look at {_place(wish)} there, and delete it if nobody is at work",
        ) from error
    if holder.is_gone or abs(age) > holder.patience:
        return holder.word
    raise RemoteError(
        f"{holder.who} (process {holder.process}) is changing this server just now",
        hint=f"wait until that is done; if it is dead, the lock lapses after {holder.patience:g}"
        " seconds without a sign of life",
    )


def _moment(stamp: str) -> datetime:
    return datetime.strptime(stamp.strip(), _STAMP)  # noqa: DTZ007 - two of one clock are compared


async def _give_back(runner: Runner, wish: Wish, mine: Holder) -> None:
    """Release the lock; one that cannot be given back lapses by itself."""
    try:
        async with asyncio.timeout(_RELEASE):
            await runner.run(_release(wish, mine))
    except (TimeoutError, ShuntError):
        pass


def _place(wish: Wish) -> str:
    return f"{records.path(wish)}.lock"


def _unix(wish: Wish, text: str, stdin: str | None = None) -> Command:
    return Command.sh(f'f="{_place(wish)}"; {text}', stdin=stdin)


def _taking(wish: Wish, mine: Holder) -> Command:
    text = json.dumps(asdict(mine))
    if wish.server.os in _WINDOWS:
        return Command.powershell(_windows_taking(wish, text))
    return _unix(
        wish,
        'mkdir -p "`dirname "$f"`" || exit 1; now=`date -u "+%Y %j %H %M %S"`; '
        'if said=`mkdir "$f" 2>&1`; then { echo "$now"; cat; } > "$f/holder" && echo taken; '
        'elif [ -d "$f" ]; then echo "$now"; cat "$f/holder" 2>/dev/null || true; '
        'else echo "$said" >&2; exit 1; fi',
        stdin=f"{text}\n",
    )


def _renewal(wish: Wish, mine: Holder) -> Command:
    if wish.server.os in _WINDOWS:
        file = powershell.quoted(_place(wish))
        text = powershell.quoted(json.dumps(asdict(mine)))
        return Command.powershell(
            f"if (-not (Select-String -Quiet -SimpleMatch '{mine.word}' {file}))"
            f" {{ throw 'the lock is lost' }}; {_NOW};"
            f' [IO.File]::WriteAllText({file}, "$Now`n" + {text} + "`n")'
        )
    return _unix(
        wish,
        f'grep {mine.word} "$f/holder" >/dev/null 2>&1 || exit 1; '
        '{ date -u "+%Y %j %H %M %S"; sed 1d "$f/holder"; } > "$f/new" && '
        'mv -f "$f/new" "$f/holder"',
    )


def _clearing(wish: Wish, word: str) -> Command:
    """Return the command that takes away a lapsed lock, and not one that follows it."""
    if wish.server.os in _WINDOWS:
        file = powershell.quoted(_place(wish))
        return Command.powershell(
            f"$Text = Get-Content -Raw -ErrorAction Ignore {file};"
            f" if (('{word}' -eq '') -eq (-not $Text) -and \"$Text\".Contains('{word}'))"
            f" {{ Remove-Item -Force -ErrorAction Ignore {file} }}"
        )
    lapsed = f'grep {word} "$f/holder" >/dev/null 2>&1' if word else '[ ! -s "$f/holder" ]'
    return _unix(wish, f'if {lapsed}; then mv "$f" "$f.$$" && rm -rf "$f.$$"; fi')


def _release(wish: Wish, mine: Holder) -> Command:
    if wish.server.os in _WINDOWS:
        return _clearing(wish, mine.word)
    swept = "" if wish.server.netns else '; rmdir "`dirname "$f"`" 2>/dev/null || true'
    return _unix(
        wish, f'if grep {mine.word} "$f/holder" >/dev/null 2>&1; then rm -rf "$f"; fi{swept}'
    )


_NOW = (
    "$Date = [DateTime]::UtcNow; $Now = '{0:yyyy} {1:000} {0:HH mm ss}' -f $Date, $Date.DayOfYear"
)


def _windows_taking(wish: Wish, text: str) -> str:
    file = powershell.quoted(_place(wish))
    return (
        f"{powershell.own_folder(_place(wish))}; {_NOW};"
        f" try {{ $File = [IO.File]::Open({file}, 'CreateNew', 'Write', 'None') }}"
        f" catch [IO.IOException] {{ $File = $null }};"
        f' if ($File) {{ $Bytes = [Text.Encoding]::UTF8.GetBytes("$Now`n" +'
        f' {powershell.quoted(text)} + "`n"); $File.Write($Bytes, 0, $Bytes.Length);'
        " $File.Close(); 'taken' }"
        f" else {{ $Now; Get-Content -Raw -ErrorAction Ignore {file} }}"
    )
