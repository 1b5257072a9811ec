"""illumos distributions: `ipadm` with aliases on lo0; they have no vni to create."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.unix.ipadm import IpadmDriver

if TYPE_CHECKING:
    from shunt.servers.drivers.unix.observed import Host
    from shunt.servers.steps import Driver


class Illumos(IpadmDriver):
    """illumos."""

    system = OperatingSystem.ILLUMOS


DRIVER: Driver[Host] = Illumos()
