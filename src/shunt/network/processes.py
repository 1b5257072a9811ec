"""Which network namespace the process at the other end of a local socket is in."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_CREDENTIALS = struct.Struct("=iII")  # struct ucred: process, user, group
_TIMEOUT = 1.0


def listens_here(path: Path) -> bool:
    """Say whether a process listens on the local socket `path` in this network namespace.

    A file whose process has gone, and a process in another namespace, are none. One that this
    process may not ask counts: who may not see it does not know that it is elsewhere.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(_TIMEOUT)
            asking.connect(str(path))
            told = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, _, _ = _CREDENTIALS.unpack(told)
        theirs, ours = (Path(f"/proc/{each}/ns/net") for each in (process, "self"))
        return theirs.samefile(ours)
    except (PermissionError, TimeoutError):
        return True
    except OSError:
        return False
