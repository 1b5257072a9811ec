"""The traps of Windows, in PowerShell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.scripts.traps_unix import NARROW, ROUTES
from shunt.servers.steps import Command, Step

if TYPE_CHECKING:
    from shunt.model.addresses import Address

# What every interface has: multicast, broadcast, link-local and self-assigned networks.
_NORMAL = "'^(224[.]|255[.]|127[.]|169[.]254[.]|ff|fe80:)|/(32|128)$'"


class WindowsTraps:
    """The traps of Windows with the network modules of PowerShell."""

    def first(self, address: Address) -> tuple[Step, ...]:
        """Return nothing: what is on a card cannot be told from its name alone."""
        del address
        return ()

    def before_alias(self, address: Address) -> tuple[Step, ...]:
        """Return the end of a wide mask: Windows holds an address once."""
        length = address.max_prefixlen
        wide = (
            f"Get-NetIPAddress -IPAddress {address} -ErrorAction Ignore"
            f" | Where-Object PrefixLength -ne {length}"
        )
        step = Step(
            id=f"narrow:{address}",
            what=f"take {address} away if its mask is too wide",
            why=NARROW,
            do=(Command.powershell(f"{wide} | Remove-NetIPAddress -Confirm:$false"),),
            check=(Command.powershell(f"-not ({wide})"),),
            undo=(),
            note="the wide mask is not given back",
        )
        return (step,)

    def after_alias(self, address: Address) -> tuple[Step, ...]:
        """Return nothing."""
        del address
        return ()

    def last(self, address: Address) -> tuple[Step, ...]:
        """Return the deletion of networks on the interface that holds the address."""
        family = f"-AddressFamily IPv{address.version} -ErrorAction Ignore"
        index = f"(Get-NetIPAddress -IPAddress {address} -ErrorAction Ignore).InterfaceIndex"
        found = (
            f"Get-NetRoute {family} | Where-Object {{ $_.DestinationPrefix -notmatch {_NORMAL}"
            f" -and ($_.NextHop -eq '{address}' -or @({index}) -contains $_.InterfaceIndex) }}"
        )
        step = Step(
            id=f"routes:{address}",
            what=f"delete the extra routes on the interface of {address}",
            why=ROUTES,
            do=(Command.powershell(f"{found} | Remove-NetRoute -Confirm:$false"),),
            check=(Command.powershell(f"-not ({found})"),),
            undo=(),
            note="they are not given back",
        )
        return (step,)
