"""Which system printed a listing: the one layout whose marks it bears."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem as System
from shunt.servers.routes import (
    aix,
    bsd,
    hpux,
    linux_iproute,
    linux_json,
    linux_netstat,
    linux_proc,
    linux_trie,
    opnsense,
    solaris,
    windows,
    windows_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.servers.routes.rows import Listing


@dataclass(frozen=True, slots=True)
class Layout:
    """A parser, its name for people, and the systems that print so."""

    name: str
    claims: Callable[[str], bool]
    parse: Callable[[str], Listing]
    systems: tuple[System, ...]


_WINDOWS = (System.WINDOWS, System.WINDOWS2003)
LAYOUTS = (
    Layout(windows_json.LAYOUT, windows_json.claims, windows_json.parse, _WINDOWS),
    Layout(linux_json.LAYOUT, linux_json.claims, linux_json.parse, (System.LINUX,)),
    Layout(aix.LAYOUT, aix.claims, aix.parse, (System.AIX, System.AIX_WPAR)),
    Layout(hpux.LAYOUT, hpux.claims, hpux.parse, (System.HP_UX,)),
    Layout(
        solaris.LAYOUT,
        solaris.claims,
        solaris.parse,
        (System.SOLARIS11, System.SOLARIS10, System.ILLUMOS),
    ),
    Layout(
        bsd.LAYOUT,
        bsd.claims,
        bsd.parse,
        (System.FREEBSD, System.OPENBSD, System.NETBSD, System.MACOS),
    ),
    Layout(linux_netstat.LAYOUT, linux_netstat.claims, linux_netstat.parse, (System.LINUX,)),
    Layout(linux_iproute.LAYOUT, linux_iproute.claims, linux_iproute.parse, (System.LINUX,)),
    Layout(linux_proc.LAYOUT, linux_proc.claims, linux_proc.parse, (System.LINUX,)),
    Layout(linux_trie.LAYOUT, linux_trie.claims, linux_trie.parse, (System.LINUX,)),
    Layout(opnsense.LAYOUT, opnsense.claims, opnsense.parse, (System.FREEBSD,)),
    Layout(windows.LAYOUT, windows.claims, windows.parse, _WINDOWS),
)


def read(text: str, system: System | None = None) -> Listing:
    """Recognise a listing and read it; `system` says which system it is from, if that is known.

    Raises:
        ParseError: it is empty, of no known layout, of several, not of `system`, or a line in it
            is not understood.
    """
    if not text.strip():
        raise ParseError(
            "there is no listing: the text is empty", hint="run netstat -rn or route print"
        )
    found = [layout for layout in LAYOUTS if layout.claims(text)]
    if not found:
        raise ParseError(
            "this is no route table of a known layout, or it has no rows",
            hint="paste the whole output of: netstat -rn, netstat -rnv, route print, ip route",
        )
    if len(found) > 1:
        names = " and ".join(layout.name for layout in found)
        raise ParseError(
            f"this looks like {names} at once", hint="give the listing of one system at a time"
        )
    layout = found[0]
    if system is not None and system not in layout.systems:
        raise ParseError(
            f"this is {layout.name}, which {system} does not print",
            hint=f"say --system {layout.systems[0]}, or leave it out",
        )
    try:
        listing = layout.parse(text)
    except RecursionError as error:
        raise ParseError(
            f"{layout.name} is not nested like this", hint="give the listing as it was printed"
        ) from error
    return listing if system is None else replace(listing, system=system)
