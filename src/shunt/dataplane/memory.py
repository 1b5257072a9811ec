"""This process's own memory."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Give free memory back to the kernel, where the C library can: malloc_trim(3).

    After large arrays have come and gone, the library keeps their room in case more come.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
