"""Waiting for packets that are under way in the program."""

from __future__ import annotations

import ctypes
import platform
import time

_MEMBARRIER = {"x86_64": 324, "ppc64le": 365}  # the number of the system call, by machine
_OTHERS = 283  # include/uapi/asm-generic/unistd.h
_CMD_GLOBAL = 1
_LONG = 0.05  # seconds; a packet is in the program for microseconds


def wait_for_packets() -> None:
    """Return when every packet that is in the program now has left it.

    The program runs inside a read-side section of RCU, and membarrier(2) waits until all of them
    have ended. Where it may not (the kernel runs without ticks), it is a matter of time.
    """
    number = _MEMBARRIER.get(platform.machine(), _OTHERS)
    if ctypes.CDLL(None, use_errno=True).syscall(number, _CMD_GLOBAL, 0, 0):
        time.sleep(_LONG)
