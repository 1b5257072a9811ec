"""Which kind of script a server needs, and the plan that it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.errors import UsageError
from shunt.model.config import OperatingSystem
from shunt.servers.drivers.registry import driver_for
from shunt.servers.scripts import batch, powershell, sh
from shunt.servers.scripts.traps import with_traps

if TYPE_CHECKING:
    from shunt.servers.wish import Wish


def write_script(wish: Wish) -> str:
    """Return the script that sets the server up, proves it, and takes it back.

    Nobody has looked at the server, so the script is that of a host as delivered, with a look for
    traps added; what it changes it saves first, on the server, and gives back.

    Raises:
        UsageError: No service uses the server, so there is nothing to write.
    """
    driver = driver_for(wish.server.os)
    plan = driver.plan(driver.unseen(wish), wish)
    if not plan.steps:
        said = "; ".join(f"{finding.what}: {finding.fix}" for finding in plan.findings)
        bare = "a server of nat services only must not hold the addresses" if wish.bare else None
        raise UsageError(f"there is nothing to do on {wish.server.name}", hint=said or bare)
    plan = with_traps(plan, wish)
    if wish.server.os is OperatingSystem.WINDOWS:
        return powershell.script(wish, plan)
    if wish.server.os is OperatingSystem.WINDOWS2003:
        return batch.script(wish, plan)
    return sh.script(wish, plan)
