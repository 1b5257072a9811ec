"""Takes connections of a control socket: a few at a time, so that others have their turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from shunt.dispatcher.limited_log import LimitedLog

_AT_ONCE = 16  # connections that are taken in one turn of the event loop
_PAUSE = 0.01  # seconds after one that was refused: 1,600 a second cost little
_RETRY_AFTER = 0.5  # seconds after this host had no descriptor for a connection


class ControlListener:
    """Owns one listening socket; whoever floods it delays only those who come by the same one."""

    def __init__(
        self, listening: socket.socket, take: Callable[[socket.socket], bool], limited: LimitedLog
    ) -> None:
        """Take connections from now on.

        Args:
            listening: a socket that listens and does not block.
            take: is given each connection; returns whether there was room for it.
            limited: where it is said that none can be taken.
        """
        self._socket = listening
        self._take = take
        self._log = limited
        self._loop = asyncio.get_running_loop()
        self._resuming: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Take no more."""
        self._pause(None)
        self._socket.close()

    def _listen(self) -> None:
        self._resuming = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _pause(self, seconds: float | None) -> None:
        """Take no connection for some time; None: never again."""
        if self._resuming is not None:
            self._resuming.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._resuming = None if seconds is None else self._loop.call_later(seconds, self._listen)

    def _accept(self) -> None:
        is_full = False
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                break
            except OSError as error:  # no descriptors, no memory: those who wait go on waiting
                self._log.error("control connections are not taken for now", reason=error.strerror)
                self._pause(_RETRY_AFTER)
                return
            connection.settimeout(0)
            is_full |= not self._take(connection)
        if is_full:
            self._pause(_PAUSE)
