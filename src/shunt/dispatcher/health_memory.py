"""What the checks found, kept in a file: a restart tries no failing server on users first.

Times in the file are seconds of the wall clock; in the daemon, of the monotonic one.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import structlog

from shunt.balance.manager_streak import MEMORY, Streak
from shunt.dispatcher import files
from shunt.dispatcher.health_jobs import Key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = structlog.get_logger()

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


def recall(path: Path, now: float, wall: float) -> Memory:
    """Return what was kept, nothing if there is none or it cannot be read.

    Args:
        path: the file.
        now: seconds of the monotonic clock.
        wall: seconds of the wall clock.
    """
    try:
        kept = json.loads(path.read_text())
        streaks = {
            Key(str(row["service"]), str(row["server"])): _streak(row, now - wall)
            for row in kept["servers"]
        }
        return Memory(streaks, frozenset(map(str, kept["alerts"])))
    except FileNotFoundError:
        return Memory()
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("which servers were down is not known", file=str(path), reason=repr(error))
        return Memory()


def _streak(row: Mapping[str, Any], offset: float) -> Streak:
    since = float(row["since"]) + offset
    if not math.isfinite(since):
        raise ValueError(row["since"])
    return Streak(
        up=bool(row["up"]), since=max(_LONG_AGO, since), falls=int(row["falls"]),
        words=str(row["words"]),
    )  # fmt: skip


def keep(path: Path, memory: Memory, now: float, wall: float) -> None:
    """Write it; the arguments are those of `recall`."""
    rows = [
        {"service": key.service, "server": key.server, "up": streak.up,
         "since": streak.since + wall - now, "falls": streak.falls, "words": streak.words}
        for key, streak in memory.streaks.items()
    ]  # fmt: skip
    text = json.dumps({"servers": rows, "alerts": sorted(memory.alerts)})
    try:
        files.write_whole(path, text)
    except OSError as error:
        log.warning("which servers are down cannot be kept", file=str(path), reason=error.strerror)
