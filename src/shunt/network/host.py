"""The kernel's settings that bear on forwarding, as this network namespace has them.

Linux combines `conf.all` with the receiving interface's own value, and not always alike; what
counts is the effective value (Documentation/networking/ip-sysctl.rst).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shunt.errors import HostError

Reader = Callable[[str], str]
"""Returns the text of a setting by its key under /proc/sys, written with slashes."""


@dataclass(frozen=True, slots=True)
class InterfaceFacts:
    """The effective settings of an interface: `max(all, interface)` but for `forwarding`."""

    interface: str
    forwarding4: bool
    forwarding6: bool | None  # None: IPv6 is off
    rp_filter: int  # 0 none, 1 strict (RFC 3704), 2 loose
    arp_ignore: int
    arp_announce: int


def sysctl(key: str, root: Path = Path("/proc/sys")) -> str:
    """Return a kernel setting; `key` is written with slashes: `net/ipv4/ip_forward`.

    Raises:
        HostError: this kernel has no such setting, or does not show it.
    """
    try:
        return (root / key).read_text().strip()
    except OSError as error:
        raise HostError(
            f"this kernel does not show {key.replace('/', '.')}: {error.strerror}",
            hint="is the interface there, and /proc mounted?",
        ) from error


def interface_facts(interface: str, read: Reader = sysctl) -> InterfaceFacts:
    """Return the effective settings of an interface.

    Raises:
        HostError: one of them cannot be read.
    """

    def own(key: str, family: str = "ipv4") -> int:
        return int(read(f"net/{family}/conf/{interface}/{key}"))

    def strictest(key: str) -> int:
        return max(own(key), int(read(f"net/ipv4/conf/all/{key}")))

    return InterfaceFacts(
        interface=interface,
        forwarding4=bool(own("forwarding")),
        forwarding6=_forwarding6(own),
        rp_filter=strictest("rp_filter"),
        arp_ignore=strictest("arp_ignore"),
        arp_announce=strictest("arp_announce"),
    )


def _forwarding6(own: Callable[[str, str], int]) -> bool | None:
    try:
        return bool(own("forwarding", "ipv6")) if not own("disable_ipv6", "ipv6") else None
    except HostError:
        return None
