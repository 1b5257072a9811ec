"""Which module drives which system."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shunt.model.config import OperatingSystem

if TYPE_CHECKING:
    from shunt.servers.steps import Driver

_MODULES = {
    OperatingSystem.LINUX: "linux.driver",
    OperatingSystem.AIX: "aix",
    OperatingSystem.AIX_WPAR: "aix_wpar",
    OperatingSystem.HP_UX: "hpux",
    OperatingSystem.SOLARIS10: "solaris10",
    OperatingSystem.SOLARIS11: "solaris11",
    OperatingSystem.ILLUMOS: "illumos",
    OperatingSystem.FREEBSD: "freebsd",
    OperatingSystem.OPENBSD: "openbsd",
    OperatingSystem.NETBSD: "netbsd",
    OperatingSystem.MACOS: "macos",
    OperatingSystem.WINDOWS2003: "windows2003",
    OperatingSystem.WINDOWS: "windows",
}


def driver_for(system: OperatingSystem) -> Driver[Any]:
    """Return the driver of `system`; its module is imported only now."""
    driver: Driver[Any] = import_module(f"shunt.servers.drivers.{_MODULES[system]}").DRIVER
    return driver
