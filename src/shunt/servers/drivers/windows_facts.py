"""What a Windows server is asked, in PowerShell, and what its JSON says.

`ConvertTo-Json` prints one object without a list around it, and nothing at all for none: each
question wraps its rows into an object, so that an empty answer is told from a broken one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shunt.errors import ParseError
from shunt.servers.drivers.unix.parse import text_of
from shunt.servers.record import Record
from shunt.servers.routes import windows_json
from shunt.servers.routes.text import address_or_none
from shunt.servers.steps import Command, Fact

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from shunt.model.addresses import Address
    from shunt.servers.routes.rows import Listing
    from shunt.servers.steps import Output

_HINT = "run the command in PowerShell as an administrator and look at what it prints"
_SILENT = ("KM-TEST", "Microsoft Loopback")


def _ask(name: str, rows: str, columns: str) -> Fact:
    statement = (
        f"ConvertTo-Json -Compress -Depth 4 @{{ rows = @({rows} | Select-Object {columns}) }}"
    )
    return Fact(name, Command.powershell(statement))


def _text(column: str) -> str:
    """Return a column whose value is spelled out: JSON shows enumerations as numbers."""
    return f'@{{n="{column}";e={{"$($_.{column})"}}}}'


# For PowerShell 2 of Server 2008 too, which has no ConvertTo-Json.
_MODULES = Command.powershell(
    "if (Get-Command Get-NetIPAddress, Get-NetAdapter -ErrorAction SilentlyContinue) { 'modules' }"
    " else { [string][Environment]::OSVersion.Version }"
)

FACTS = (
    Fact("modules", _MODULES),
    _ask("adapters", "Get-NetAdapter -IncludeHidden", "Name,InterfaceDescription,ifIndex"),
    _ask("addresses", "Get-NetIPAddress", "IPAddress,InterfaceIndex,PrefixLength,SkipAsSource"),
    _ask(
        "interfaces",
        "Get-NetIPInterface",
        ",".join(
            ["InterfaceAlias", *map(_text, ("AddressFamily", "WeakHostReceive", "WeakHostSend"))]
        ),
    ),
    _ask("dns", "Get-DnsClient", "InterfaceAlias,RegisterThisConnectionsAddress"),
    _ask(
        "profiles",
        "Get-NetConnectionProfile",
        "InterfaceAlias," + _text("NetworkCategory"),
    ),
    _ask("routes", "Get-NetRoute", "DestinationPrefix,NextHop,InterfaceIndex"),
)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A network adapter; `silent` ones have no wire and so answer no ARP."""

    name: str
    description: str
    index: int

    @property
    def silent(self) -> bool:
        """Tell whether it is a loopback adapter, under its new or its old name."""
        return any(word in self.description for word in _SILENT)


@dataclass(frozen=True, slots=True)
class Held:
    """An address, the index of its interface, its prefix length, whether connections avoid it."""

    address: Address
    index: int
    prefix: int
    skip: bool


@dataclass(frozen=True, slots=True)
class Host:
    """A Windows server. `weak` is by (adapter, 4 or 6, "Receive" or "Send").

    `seen` says whether somebody has looked.
    """

    adapters: tuple[Adapter, ...] = ()
    addresses: tuple[Held, ...] = ()
    weak: Mapping[tuple[str, int, str], bool] = field(default_factory=lambda: MappingProxyType({}))
    registers: Mapping[str, bool] = field(default_factory=lambda: MappingProxyType({}))
    categories: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    routes: Listing | None = None
    record: Record = field(default_factory=Record)
    seen: bool = True

    def loopback_of(self, clusters: Collection[Address]) -> Adapter | None:
        """Return the loopback adapter, of several the one that holds an address of these."""
        holding = {held.index for held in self.addresses if held.address in clusters}
        silent = sorted(
            (adapter for adapter in self.adapters if adapter.silent),
            key=lambda adapter: adapter.index not in holding,
        )
        return next(iter(silent), None)

    def name_of(self, index: int) -> str:
        """Return the name of an interface."""
        return next((a.name for a in self.adapters if a.index == index), f"interface {index}")


def delivered(card: str) -> Host:
    """Return a host with one card and no loopback adapter."""
    return Host(adapters=(Adapter(card, "", 1),), seen=False)


def observe(outputs: Mapping[str, Output], past: Record) -> Host:
    """Read the answers.

    Raises:
        ParseError: One is missing, empty, or not of this form.
    """
    _modules(outputs)
    weak: dict[tuple[str, int, str], bool] = {}
    for row in _rows(outputs, "interfaces", "InterfaceAlias", "AddressFamily"):
        version = {"IPv4": 4, "IPv6": 6}.get(row["AddressFamily"])
        if version is None:
            raise _broken("interfaces", row)
        for switch in ("Receive", "Send"):
            weak[row["InterfaceAlias"], version, switch] = row.get(f"WeakHost{switch}") == "Enabled"
    dns = _rows(outputs, "dns", "InterfaceAlias", "RegisterThisConnectionsAddress")
    profiles = _rows(outputs, "profiles", "InterfaceAlias", "NetworkCategory")
    routes = _rows(outputs, "routes", "DestinationPrefix", "NextHop", "InterfaceIndex")
    return Host(
        adapters=tuple(
            _adapter(row)
            for row in _rows(outputs, "adapters", "Name", "InterfaceDescription", "ifIndex")
        ),
        addresses=tuple(_held(row) for row in _rows(outputs, "addresses", "IPAddress")),
        weak=MappingProxyType(weak),
        registers=MappingProxyType(
            {row["InterfaceAlias"]: bool(row["RegisterThisConnectionsAddress"]) for row in dns}
        ),
        categories=MappingProxyType(
            {row["InterfaceAlias"]: row["NetworkCategory"] for row in profiles}
        ),
        routes=windows_json.parse(json.dumps(routes)),
        record=past,
    )


def _modules(outputs: Mapping[str, Output]) -> None:
    said = text_of(outputs, "modules").strip()
    if said != "modules":
        raise ParseError(
            f"this Windows ({said}) lacks the network modules of PowerShell, which came with"
            " Windows Server 2012 (6.2)",
            hint="set 2008 and 2008 R2 up with netsh, by hand: docs/servers/windows.md",
        )


def _rows(outputs: Mapping[str, Output], name: str, *keys: str) -> list[dict[str, Any]]:
    text = text_of(outputs, name)
    try:
        rows = json.loads(text)["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise ParseError(f"the answer to {name!r} is no JSON with rows", hint=_HINT) from error
    if not isinstance(rows, list):
        raise _broken(name, rows)
    for row in rows:
        if not isinstance(row, dict) or any(key not in row for key in keys):
            raise _broken(name, row)
    if not rows and name in {"adapters", "addresses", "interfaces", "routes"}:
        raise ParseError(f"the answer to {name!r} has no rows", hint=_HINT)
    return rows


def _adapter(row: dict[str, Any]) -> Adapter:
    name, index = row["Name"], row["ifIndex"]
    if not isinstance(name, str) or not isinstance(index, int):
        raise _broken("adapters", row)
    return Adapter(name, str(row["InterfaceDescription"] or ""), index)


def _held(row: dict[str, Any]) -> Held:
    address = address_or_none(str(row["IPAddress"]))
    index, prefix = row.get("InterfaceIndex"), row.get("PrefixLength")
    if address is None or not isinstance(index, int) or not isinstance(prefix, int):
        raise _broken("addresses", row)
    return Held(address, index, prefix, bool(row.get("SkipAsSource")))


def _broken(name: str, row: object) -> ParseError:
    return ParseError(f"a row of the answer to {name!r} is not understood: {row!r}", hint=_HINT)
