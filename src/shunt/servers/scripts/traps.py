"""What a script finds out when it runs, because nobody has looked at the server before.

A driver that has looked names each wide mask and each extra route, and plans its end. A script
must find them. What it cannot set right makes its check fail, and stops `apply` before anything
is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.registry import driver_for
from shunt.servers.drivers.unix.driver import UnixDriver
from shunt.servers.scripts.traps_linux import LinuxTraps
from shunt.servers.scripts.traps_unix import UnixTraps, WparTraps
from shunt.servers.scripts.traps_windows import WindowsTraps
from shunt.servers.steps import Plan, Step

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.wish import Wish


class Traps(Protocol):
    """The steps of one system for one cluster address, each to be run unseen."""

    def first(self, address: Address) -> tuple[Step, ...]:
        """Return what must hold before anything is done."""
        ...

    def before_alias(self, address: Address) -> tuple[Step, ...]:
        """Return what takes a wide mask away for the alias to come."""
        ...

    def after_alias(self, address: Address) -> tuple[Step, ...]:
        """Return what takes a wide mask away beside the alias."""
        ...

    def last(self, address: Address) -> tuple[Step, ...]:
        """Return what deletes extra routes; most are gone with the mask."""
        ...


def with_traps(plan: Plan, wish: Wish) -> Plan:
    """Return the plan with what the script must find out, each part in its place."""
    traps = _traps(wish)
    if traps is None:
        return plan
    first = {step.id: step for address in wish.clusters for step in traps.first(address)}
    steps = list(first.values())
    for step in plan.steps:
        mine = [address for address in wish.clusters if step.id == f"alias:{address}"]
        steps += [one for address in mine for one in traps.before_alias(address)]
        steps.append(step)
        steps += [one for address in mine for one in traps.after_alias(address)]
    steps += [step for address in wish.clusters for step in traps.last(address)]
    return Plan(tuple(steps), plan.findings, plan.obsolete)


def _traps(wish: Wish) -> Traps | None:
    system, driver = wish.server.os, driver_for(wish.server.os)
    if isinstance(driver, UnixDriver):
        return UnixTraps(driver)
    if system is OperatingSystem.LINUX:
        return LinuxTraps()
    if system is OperatingSystem.WINDOWS:
        return WindowsTraps()
    if wish.server.wpar is not None:
        return WparTraps(wish.server.wpar)
    return None  # Windows 2003 cannot delete routes: they are ignored there
