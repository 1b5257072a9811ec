"""The check-and-delete of extra routes at boot, for systems that bring them back.

An extra route names the cluster address as its gateway and is no host route. The script looks for
such rows at every boot and deletes them; where there are none it does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shunt.servers.drivers.unix.words import has_line, when, write
from shunt.servers.steps import Command, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shunt.model.addresses import Address

_MARK = "# Made by Shunt: sets this machine up as a server of cluster addresses."


_EACH_ROW = "| while read row; do set -- $row; "


@dataclass(frozen=True, slots=True)
class Sweep:
    """How the network rows of a cluster address are found and deleted.

    Attributes:
        listing: The words that list the routes.
        rows: The condition of `awk` that a row of them must fulfil.
        delete: The words that delete it; `$1` and so on are the columns of the row.
    """

    listing: str
    rows: str
    delete: str

    @property
    def line(self) -> str:
        """Return the line of shell that deletes them all."""
        return f"{self.listing} | awk '{self.rows}' {_EACH_ROW}{self.delete}; done"

    @property
    def clean(self) -> str:
        """Return words that are true if there is none, and false if that cannot be told."""
        asked = self.listing.partition(" | ")[0]
        rows = f"{self.rows} {{ f = 1 }} END {{ exit f + 0 }}"
        return f"{asked} >/dev/null && {self.listing} | awk '{rows}'"


def by_flags(address: Address) -> str:
    """Return the condition where the gateway is the second column and the flags are the third."""
    return f'$2 == "{address}" && $3 !~ /H/'


def bsd(address: Address) -> Sweep:
    """Return the sweep where gateway and flags are the second and third column of netstat."""
    family, option = ("inet", "-net") if address.version == 4 else ("inet6", "-inet6")
    delete = f"route delete {option} $1 {address}"
    return Sweep(f"netstat -rn -f {family}", by_flags(address), delete)


def solaris(address: Address) -> Sweep:
    """Return the sweep of Solaris, which shows masks of IPv4 with -v only."""
    if address.version == 6:
        return Sweep("netstat -rn -f inet6", by_flags(address), f"route delete -inet6 $1 {address}")
    rows = f'$3 == "{address}" && $2 != "255.255.255.255"'
    return Sweep("netstat -rnv -f inet", rows, f"route delete -net $1 {address} -netmask $2")


def script(lines: Sequence[str]) -> str:
    """Return the text of the script that runs at boot."""
    return f"#!/bin/sh\n{_MARK}\n" + "".join(f"{line}\n" for line in lines)


def is_current(lines: Sequence[str], kept: frozenset[str]) -> bool:
    """Tell whether the script does all of `lines`, and nothing for an address that has left.

    Args:
        lines: What it shall do.
        kept: All lines of all files that matter at boot.
    """
    swept = {line for line in kept if _EACH_ROW in line}
    return swept <= set(lines) <= kept


def step(file: str, lines: Sequence[str], *, link: str | None = None) -> Step:
    """Return the step that puts the script into `file`, called at boot through `link`, if any."""
    content = script(lines)
    hook = (Command.sh(f"ln -sf {file} {link}"),) if link else ()
    unhook = (Command(("rm", "-f", link)),) if link else ()
    present = tuple(Command.sh(has_line(file, line)) for line in lines)
    linked = (Command.sh(f"test -h {link}"),) if link else ()
    gone = when(has_line(file, _MARK), f"rm -f {file}")
    return Step(
        id="keep:boot-script",
        what=f"check at every boot for extra routes, and delete them ({file})",
        why="this system makes them anew at every boot",
        do=(write(file, content, mode="755"), *hook),
        check=(*present, *linked),
        undo=(*unhook, replace(gone, file=file)),
    )
