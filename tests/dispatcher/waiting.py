"""Waiting, on the event loop, for what comes in its own time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TURNS = 3000
_TURN = 0.01  # seconds


async def until(condition: Callable[[], bool], what: str = "it") -> None:
    """Wait for a condition, about half a minute at most; `what` says what did not come about."""
    for _ in range(_TURNS):
        if condition():
            return
        await asyncio.sleep(_TURN)
    raise AssertionError(f"never: {what}")
