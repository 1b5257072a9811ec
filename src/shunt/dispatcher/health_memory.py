"""What the checks found, kept in a file: a restart tries no failing server on users first.

Times in the file are those of the monotonic clock, which all processes since the machine's start
share and nobody sets; the file names the start. Of another start's times nothing is known.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import structlog

from shunt.balance.manager_streak import MEMORY, Streak
from shunt.dispatcher import files
from shunt.dispatcher.health_jobs import Key
from shunt.dispatcher.limited_log import LimitedLog

if TYPE_CHECKING:
    from collections.abc import Mapping

log = structlog.get_logger()
_limited = LimitedLog()

_LONG_AGO = 1e-6  # of the monotonic clock: before this machine started


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept.

    Attributes:
        streaks: of servers that are down, or came back not long ago.
        alerts: the services of which an alert was told, and no clear.
    """

    streaks: Mapping[Key, Streak] = field(default_factory=lambda: MappingProxyType({}))
    alerts: frozenset[str] = frozenset()


def worth_keeping(
    streaks: Mapping[Key, Streak], now: float, slow_start: float
) -> dict[Key, Streak]:
    """Return the streaks that a restart must know of: others begin as they were.

    Args:
        streaks: all of them.
        now: seconds of the monotonic clock.
        slow_start: seconds until a server that came back has its whole weight.
    """
    lately = now - max(MEMORY, slow_start)
    return {key: s for key, s in streaks.items() if not s.up or s.since > max(0.0, lately)}


def recall(path: Path, now: float, boot: str) -> Memory:
    """Return what was kept, nothing if there is none or it cannot be read.

    After another start of the machine, servers that were down are so since now, and none has come
    back lately.

    Args:
        path: the file.
        now: seconds of the monotonic clock.
        boot: names the machine's start.
    """
    try:
        kept = json.loads(path.read_text())
        same = kept["boot"] == boot
        streaks = {
            Key(str(row["service"]), str(row["server"])): _streak(row, now, same=same)
            for row in kept["servers"]
            if same or not row["up"]
        }
        return Memory(streaks, frozenset(map(str, kept["alerts"])))
    except FileNotFoundError:
        return Memory()
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("which servers were down is not known", file=str(path), reason=repr(error))
        return Memory()


def _streak(row: Mapping[str, Any], now: float, *, same: bool) -> Streak:
    since = float(row["since"])
    if not math.isfinite(since):
        raise ValueError(row["since"])
    return Streak(
        up=bool(row["up"]), since=max(_LONG_AGO, min(since, now) if same else now),
        falls=int(row["falls"]), words=str(row["words"]),
    )  # fmt: skip


def keep(path: Path, memory: Memory, boot: str) -> None:
    """Write it; the arguments are those of `recall`."""
    rows = [
        {"service": key.service, "server": key.server, "up": streak.up, "since": streak.since,
         "falls": streak.falls, "words": streak.words}
        for key, streak in memory.streaks.items()
    ]  # fmt: skip
    text = json.dumps({"boot": boot, "servers": rows, "alerts": sorted(memory.alerts)})
    try:
        files.write_whole(path, text)
    except OSError as error:
        _limited.warning(
            "which servers are down cannot be kept", file=str(path), reason=error.strerror
        )


def boot_id() -> str:
    """Return what names this start of the machine; nothing where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
