"""Tells systemd that the daemon is ready (sd_notify(3)); nothing happens without systemd."""

from __future__ import annotations

import os
import socket

import structlog

log = structlog.get_logger()

_PATIENCE = 1.0  # seconds: whoever does not read must not stop the daemon


def notify(state: str) -> None:
    """Send a state such as `READY=1` to whoever started the daemon and asked for it.

    That nobody hears it is no reason to end: it is logged.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_PATIENCE)
            sender.connect(address)
            sender.sendall(state.encode())
    except OSError as error:
        log.warning("not told to who started this", state=state, socket=path, reason=str(error))
