"""Compiled programs, a bpf filesystem and a network namespace, each made for the test alone."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hatch_build import FLAGS, system_headers

from shunt.dataplane.object import Object
from shunt.dataplane.pins import mount_bpffs, unmount_bpffs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

PROGRAMS = Path(__file__).parent / "programs"
CLONE_NEWNET = 0x40000000


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this room's test programs, compiled with the data plane's own flags."""
    folder = tmp_path_factory.mktemp("programs")
    for source in PROGRAMS.glob("*.bpf.c"):
        target = folder / source.name.replace(".bpf.c", ".bpf.o")
        command = ["clang", *FLAGS, *system_headers(), "-c", str(source), "-o", str(target)]
        subprocess.run(command, check=True)
    return folder


@pytest.fixture
def shapes(compiled: Path) -> Iterator[Object]:
    """The object `shapes`, loaded."""
    with Object.open(compiled / "shapes.bpf.o") as opened:
        yield opened.load()


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    """A bpf filesystem of the test's own."""
    target = tmp_path / "bpf"
    target.mkdir()
    mount_bpffs(target)
    yield target
    unmount_bpffs(target)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that the kernel does in its own time; AssertionError after 20 s."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the kernel did not do it"
        time.sleep(0.01)


class Namespace:
    """A network namespace that lives in one thread, and goes with it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, initializer=_leave)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function inside."""
        return self._thread.submit(function, *args, **kwargs).result(timeout=60)

    def ip(self, *words: str) -> None:
        """Run `ip` inside."""
        self.call(subprocess.run, ["ip", *words], check=True)

    def ifindex(self, name: str) -> int:
        """Number an interface of the namespace."""
        return self.call(socket.if_nametoindex, name)

    def close(self) -> None:
        """End the thread, and with it the namespace."""
        self._thread.shutdown()


def _leave() -> None:
    """Move the calling thread into a new network namespace."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace with the veth pair `left` and `right`, up, in it."""
    made = Namespace()
    try:
        made.ip("link", "add", "left", "type", "veth", "peer", "name", "right")
        made.ip("link", "set", "left", "up")
        made.ip("link", "set", "right", "up")
        yield made
    finally:
        made.close()
