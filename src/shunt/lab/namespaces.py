"""Network namespaces: make one, step into it.

A namespace is a file under /run/netns, as `ip netns` keeps them: every tool finds it by name.
`ip netns exec` is avoided: it mounts a fresh /sys, in which pins of the host are not seen.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from shunt.lab.processes import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

DIRECTORY = Path("/run/netns")

# IPv4 settings of a new namespace are copied from the host machine's; a laboratory must not depend
# on them. IPv6 begins with the kernel's defaults; duplicate address detection would cost seconds.
_DEFAULTS = {
    "ipv4.conf.{}.arp_ignore": "0",
    "ipv4.conf.{}.arp_announce": "0",
    "ipv4.conf.{}.arp_filter": "0",
    "ipv4.conf.{}.arp_accept": "0",
    "ipv4.conf.{}.rp_filter": "0",
    "ipv4.conf.{}.forwarding": "0",
    "ipv4.conf.{}.accept_redirects": "0",
    "ipv4.conf.{}.send_redirects": "0",
    "ipv6.conf.{}.accept_dad": "0",
    "ipv6.conf.{}.accept_ra": "0",
}


def make(name: str) -> Path:
    """Make the namespace, with its loopback up and the kernel's default settings; return its path.

    Raises:
        LabError: there is one of this name, or the kernel refuses.
    """
    run(["ip", "netns", "add", name])
    path = DIRECTORY / name
    run(["ip", "-n", name, "link", "set", "lo", "up"])
    settings = {
        "/proc/sys/net/" + key.format(scope).replace(".", "/"): value
        for key, value in _DEFAULTS.items()
        for scope in ("all", "default")
    }
    call_in(path, lambda: _write(settings))
    return path


def silence(path: Path) -> None:
    """Take IPv6 from a namespace that only switches, so that it says nothing of its own."""
    settings = [f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6" for scope in ("all", "default")]
    call_in(path, lambda: _write(dict.fromkeys(settings, "1")))


@contextmanager
def inside(path: Path) -> Iterator[None]:
    """Put the calling thread, and no other, into the namespace until the block ends.

    Sockets opened in the block stay in the namespace; processes and threads started there, too.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(target)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def call_in(path: Path, function: Callable[[], T]) -> T:
    """Return what `function` returns when it runs in the namespace, in a thread of its own."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            with inside(path):
                results.append(function())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, whatever it is
            errors.append(error)

    thread = threading.Thread(target=body, name=f"in {path.name}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _setns(descriptor: int) -> None:
    if sys.version_info >= (3, 12):
        os.setns(descriptor, os.CLONE_NEWNET)
    else:
        from pyroute2 import netns

        netns.setns(descriptor)


def _write(settings: dict[str, str]) -> None:
    for path, value in settings.items():
        Path(path).write_text(value)
