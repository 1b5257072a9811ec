"""The network tools of AIX, HP-UX, Solaris, illumos, the BSDs and macOS, by system.

What is modelled, and refused, is from the manuals named at each tool. A tool takes the state and
its arguments, and returns what it prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.emulated.ifconfig import ifconfig
from tests.servers.emulated.kept import chdev, dladm, ipadm, lsattr, sysrc
from tests.servers.emulated.network import arp, ndd, netstat, route, sysctl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.servers.emulated.state import State

TOOLS: dict[str, tuple[Callable[[State, Sequence[str]], str], ...]] = {
    "freebsd": (ifconfig, netstat, route, arp, sysctl, sysrc),
    "openbsd": (ifconfig, netstat, route, arp, sysctl),
    "netbsd": (ifconfig, netstat, route, arp, sysctl),
    "macos": (ifconfig, netstat, route, arp, sysctl),
    "aix": (ifconfig, netstat, route, arp, lsattr, chdev),
    "hp-ux": (ifconfig, netstat, route, arp, ndd),
    "solaris10": (ifconfig, netstat, route, arp, ndd),
    "solaris11": (ifconfig, netstat, route, arp, ipadm, dladm),
    "illumos": (ifconfig, netstat, route, arp, ipadm, dladm),
}
