"""The traps of Windows, in PowerShell.

Whatever is taken away is on the loopback adapter, or names the cluster address itself: an address
that stands on a card stops the script before anything is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.drivers.windows import ADAPTER
from shunt.servers.drivers.windows_steps import LOOPBACKS, as_no_source, held
from shunt.servers.powershell import quoted
from shunt.servers.scripts.traps_unix import NARROW, ROUTES, WIRE
from shunt.servers.steps import Command, Step

if TYPE_CHECKING:
    from shunt.model.addresses import Address

# What every interface has: multicast, broadcast, link-local and self-assigned networks.
_NORMAL = "'^(224[.]|255[.]|127[.]|169[.]254[.]|ff|fe80:)|/(32|128)$'"
_INDEXES = f"@({LOOPBACKS} | ForEach-Object {{ $_.ifIndex }})"


class WindowsTraps:
    """The traps of Windows with the network modules of PowerShell."""

    def first(self, address: Address) -> tuple[Step, ...]:
        """Return the refusals: a loopback adapter of another name, an address on a card."""
        others = f"{LOOPBACKS} | Where-Object Name -ne {quoted(ADAPTER)}"
        named = Step(
            id="name",
            what=f"make sure that no loopback adapter has another name than {ADAPTER}",
            why="the adapter may be somebody's: a script can neither rename it nor give it back",
            do=(
                Command.powershell(
                    f"throw 'a loopback adapter is there, and is not called {ADAPTER}: rename it"
                    f" (Rename-NetAdapter -NewName {ADAPTER}) or remove it, and apply again'"
                ),
            ),
            check=(Command.powershell(f"-not ({others})"),),
            undo=(),
        )
        on_a_card = (
            f"Get-NetIPAddress -IPAddress {address} -ErrorAction Ignore"
            f" | Where-Object {{ {_INDEXES} -notcontains $_.InterfaceIndex }}"
        )
        refusal = Step(
            id=f"off-the-wire:{address}",
            what=f"make sure that {address} is on no network card",
            why=WIRE,
            do=(
                Command.powershell(
                    f"throw '{address} is on a network card: take it away there"
                    f" (Get-NetIPAddress -IPAddress {address} shows where), and apply again'"
                ),
            ),
            check=(Command.powershell(f"-not ({on_a_card})"),),
            undo=(),
        )
        return (named, refusal)

    def before_alias(self, address: Address) -> tuple[Step, ...]:
        """Return what an alias that is there lacks: Windows holds an address once."""
        length = address.max_prefixlen
        wide = f"{held(ADAPTER, address)} | Where-Object PrefixLength -ne {length}"
        step = Step(
            id=f"narrow:{address}",
            what=f"take {address} from {ADAPTER} if its mask is too wide",
            why=NARROW,
            do=(Command.powershell(f"{wide} | Remove-NetIPAddress -Confirm:$false"),),
            check=(Command.powershell(f"-not ({wide})"),),
            undo=(),
            note="the wide mask is not given back",
        )
        return (step, as_no_source(ADAPTER, address))

    def after_alias(self, address: Address) -> tuple[Step, ...]:
        """Return nothing."""
        del address
        return ()

    def last(self, address: Address) -> tuple[Step, ...]:
        """Return the deletion of networks on the loopback adapter, or with the address as hop."""
        family = f"-AddressFamily IPv{address.version} -ErrorAction Ignore"
        found = (
            f"Get-NetRoute {family} | Where-Object {{ $_.DestinationPrefix -notmatch {_NORMAL}"
            f" -and ($_.NextHop -eq '{address}' -or {_INDEXES} -contains $_.InterfaceIndex) }}"
        )
        step = Step(
            id=f"routes:{address}",
            what=f"delete the extra routes by {address}, and those on the loopback adapter",
            why=ROUTES,
            do=(Command.powershell(f"{found} | Remove-NetRoute -Confirm:$false"),),
            check=(Command.powershell(f"-not ({found})"),),
            undo=(),
            note="they are not given back",
        )
        return (step,)
