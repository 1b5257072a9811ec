"""Free memory goes back to the kernel when it is asked for."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# A large block that is freed teaches the C library to keep the next ones; a small one that stays
# above them keeps the heap from shrinking by itself.
_SCRIPT = """
import ctypes, re
from shunt.dataplane.memory import give_back

def resident():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1])

library = ctypes.CDLL(None)
library.malloc.restype = library.memset.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
library.free(library.malloc(30 << 20))
block = library.malloc(20 << 20)
library.memset(block, 1, 20 << 20)
above = library.malloc(1000)
library.free(block)
before = resident()
give_back()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps and gives back")
def test_free_blocks_are_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 19 << 10
