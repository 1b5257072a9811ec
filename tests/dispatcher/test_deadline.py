"""Told to end, the process ends in time, whatever is stuck; be it in C, with the lock held."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_BEGINNING = """
import asyncio, concurrent.futures, re, signal, sys, time
from shunt.dispatcher.deadline import Deadline

async def main():
    deadline = Deadline(0.3)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    deadline.watch(signal.SIGTERM)
    print("ready", flush=True)
"""
_STUCK = {
    "the loop": "    while True: pass",
    "a system call": "    time.sleep(3600)",
    "a worker": """
    worker = concurrent.futures.ThreadPoolExecutor(1)
    loop.run_in_executor(worker, time.sleep, 3600)
    await stop.wait()
""",
    "a task that will not be cancelled": """
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
""",
    "a pattern": "    re.match(r'(\\w+)+ up', 'a' * 60)",
}
_END = "\nasyncio.run(main())\n"


def started(body: str) -> subprocess.Popen[str]:
    code = _BEGINNING + body
    process = subprocess.Popen(
        [sys.executable, "-c", code + _END],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("stuck", _STUCK)
def test_whatever_is_stuck(stuck: str) -> None:
    process = started(_STUCK[stuck])
    try:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode in {1, -signal.SIGALRM}
    if process.returncode == 1:
        assert "something would not end" in said
        assert "Traceback" not in said


def test_who_ends_in_order_is_left_alone() -> None:
    process = started("    await stop.wait()\n    deadline.met()\n    await asyncio.sleep(0.5)")
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
