"""Tells systemd that the daemon is ready and alive (sd_notify(3)); nothing happens without it."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from shunt.dispatcher.limited_log import LimitedLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shunt.dispatcher.alive import Age

_limited = LimitedLog()

_FEED = 5.0  # seconds between two signs of life, or a third of what is asked for
_PATIENCE = 1.0  # seconds: whoever does not read must not stop the daemon


def notify(state: str, patience: float = _PATIENCE) -> None:
    """Send a state such as `READY=1` to whoever started the daemon and asked for it.

    That nobody hears it is no reason to end: it is logged.

    Args:
        state: to send.
        patience: seconds to wait for one who is slow to read.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(patience)
            sender.connect(address)
            sender.sendall(state.encode())
    except OSError as error:
        _limited.warning(
            "not told to who started this", state, state=state, socket=path, reason=str(error)
        )


def fed_every() -> float | None:
    """Return the seconds between signs of life that systemd asks for; None: it asks for none."""
    wanted, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not wanted.isdecimal() or int(wanted) == 0 or process not in {None, str(os.getpid())}:
        return None
    return min(_FEED, int(wanted) / 3e6)


async def feed(ages: Callable[[], Mapping[str, Age]]) -> None:
    """Give signs of life as long as every loop is alive; without them systemd starts us anew.

    Traffic flows on meanwhile; checks that have ended would otherwise be noticed by nobody.
    """
    every = fed_every()
    while True:
        overdue = {name: age.document() for name, age in ages().items() if age.overdue}
        if overdue:
            _limited.error("not alive; systemd's watchdog would start it anew", loops=overdue)
        elif every is not None:
            notify("WATCHDOG=1", patience=0.0)
        await asyncio.sleep(every or _FEED)
