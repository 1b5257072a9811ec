"""A Windows server: the network modules of PowerShell over a state that a reboot keeps.

Get-NetIPAddress, New-NetIPAddress, Get-NetRoute and their kin are as Microsoft's pages of the
modules NetTCPIP, NetAdapter, DnsClient and NetConnection have them: a question for what is not
there is an error unless told to ignore it, an address is there once, and what would ask a person
(-Confirm) is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from shunt.servers.steps import Command, Output
from tests.servers.emulated.powershell import (
    COMPARE,
    Arguments,
    Scope,
    ThrownError,
    each,
    listed,
    read,
    text,
    true,
)

Row = dict[str, Any]
_LOOPBACK = "Microsoft KM-TEST Loopback Adapter"


@dataclass
class WindowsHost:
    """The rows of each kind; `devcon` says whether that tool is there."""

    devcon: bool = True
    adapters: list[Row] = field(default_factory=list)
    addresses: list[Row] = field(default_factory=list)
    interfaces: list[Row] = field(default_factory=list)
    clients: list[Row] = field(default_factory=list)
    profiles: list[Row] = field(default_factory=list)
    routes: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plug("Loopback Pseudo-Interface 1", "Software Loopback Interface 1", 1)
        self.plug("Ethernet", "Microsoft Hyper-V Network Adapter", 12)
        self.adapters = [a for a in self.adapters if a["ifIndex"] == 12]  # the pseudo one is none
        self.profiles[:] = [
            {"InterfaceAlias": "Ethernet", "NetworkCategory": "DomainAuthenticated"}
        ]
        self.hold("Loopback Pseudo-Interface 1", "127.0.0.1", 8)
        self.hold("Ethernet", "192.0.2.21", 24)
        self.routes.append(self.row("0.0.0.0/0", 12, "192.0.2.1"))

    # The state.

    def plug(self, name: str, description: str, index: int) -> None:
        """Add an adapter, as delivered: a strong host, registered in DNS, in a public network."""
        device = f"ROOT\\NET\\{index:04}"
        self.adapters.append(
            {"Name": name, "InterfaceDescription": description, "ifIndex": index,
             "PnPDeviceID": device}
        )  # fmt: skip
        for family in ("IPv4", "IPv6"):
            self.interfaces.append(
                {"InterfaceAlias": name, "AddressFamily": family, "WeakHostReceive": "Disabled",
                 "WeakHostSend": "Disabled"}
            )  # fmt: skip
        self.clients.append({"InterfaceAlias": name, "RegisterThisConnectionsAddress": True})

    def index(self, name: str) -> int:
        """Return the index of an adapter."""
        known = {a["Name"]: a["ifIndex"] for a in self.adapters} | {
            "Loopback Pseudo-Interface 1": 1
        }
        if name not in known:
            raise ThrownError(
                f"No MSFT_NetAdapter objects found with property 'Name' equal to {name}"
            )
        index: int = known[name]
        return index

    def row(self, network: str, index: int, hop: str) -> Row:
        """Return a row of the route table."""
        family = f"IPv{ip_network(network).version}"
        return {"DestinationPrefix": network, "NextHop": hop, "InterfaceIndex": index,
                "AddressFamily": family}  # fmt: skip

    def hold(self, name: str, address: str, prefix: int, *, skip: bool = False) -> None:
        """Put an address on an adapter; with it come its routes, and a network's profile."""
        index, unset = self.index(name), "0.0.0.0" if "." in address else "::"
        self.addresses.append(
            {"IPAddress": address, "InterfaceIndex": index, "InterfaceAlias": name,
             "PrefixLength": prefix, "SkipAsSource": skip}
        )  # fmt: skip
        for network in {str(ip_network(address)), str(ip_network((address, prefix), strict=False))}:
            self.routes.append(self.row(network, index, unset))
        if name not in {p["InterfaceAlias"] for p in self.profiles} and index != 1:
            self.profiles.append({"InterfaceAlias": name, "NetworkCategory": "Public"})

    def release(self, held: Row) -> None:
        """Take an address away, and the routes that it made."""
        self.addresses.remove(held)
        network = ip_network((held["IPAddress"], held["PrefixLength"]), strict=False)
        gone = {str(ip_network(held["IPAddress"])), str(network)}
        self.routes[:] = [
            r for r in self.routes
            if r["InterfaceIndex"] != held["InterfaceIndex"] or r["DestinationPrefix"] not in gone
        ]  # fmt: skip

    def unplug(self, device: str) -> None:
        """Remove an adapter with all that it has."""
        (adapter,) = (a for a in self.adapters if a["PnPDeviceID"] == device)
        for held in [a for a in self.addresses if a["InterfaceIndex"] == adapter["ifIndex"]]:
            self.release(held)
        self.adapters.remove(adapter)
        for rows in (self.interfaces, self.clients, self.profiles):
            rows[:] = [row for row in rows if row["InterfaceAlias"] != adapter["Name"]]

    def inventory(self) -> dict[str, Any]:
        """Return everything, in an order that tells nothing."""
        kinds = ("adapters", "addresses", "interfaces", "clients", "profiles", "routes")
        return {kind: sorted(map(str, getattr(self, kind))) for kind in kinds}

    # The commands.

    def run(self, command: Command) -> Output:
        """Return what a statement gives; a mistake in it is the test's failure."""
        assert command.shell == "powershell"
        program = read(command.argv[0], self.commands())
        try:
            said = program({"$true": True, "$false": False, "$null": None, "$LASTEXITCODE": 0})
        except ThrownError as error:
            return Output("", str(error), 1)
        return Output("\n".join(map(text, said)))

    def is_true(self, command: Command) -> bool:
        """Return whether a check holds; what throws does not."""
        program = read(command.argv[0], self.commands())
        try:
            return true(program({"$true": True, "$false": False, "$null": None}))
        except ThrownError:
            return False

    def commands(self) -> dict[str, Any]:
        """Return the commands by name."""
        return {
            "Get-NetAdapter": self._get(self.adapters),
            "Get-NetIPAddress": self._get(self.addresses),
            "Get-NetIPInterface": self._get(self.interfaces),
            "Get-DnsClient": self._get(self.clients),
            "Get-NetConnectionProfile": self._get(self.profiles),
            "Get-NetRoute": self._get(self.routes),
            "Set-NetIPInterface": self._set(self.interfaces, "WeakHostReceive", "WeakHostSend"),
            "Set-DnsClient": self._set(self.clients, "RegisterThisConnectionsAddress"),
            "Set-NetConnectionProfile": self._set(self.profiles, "NetworkCategory"),
            "Set-NetIPAddress": self._set(self.addresses, "SkipAsSource"),
            "New-NetIPAddress": self._new_address,
            "Remove-NetIPAddress": self._remove_address,
            "New-NetRoute": self._new_route,
            "Remove-NetRoute": self._remove_route,
            "Rename-NetAdapter": self._rename,
            "devcon.exe": self._devcon,
            "pnputil.exe": self._pnputil,
            "Get-Command": self._command,
            "Where-Object": _where,
            "ForEach-Object": lambda scope, rows, arguments: [
                value for said in each(rows, arguments["0"], scope) for value in said
            ],
            "Select-Object": _select,
            "ConvertTo-Json": _json,
            "Out-Null": lambda *_: [],
            "Start-Sleep": lambda *_: [],
        }

    @staticmethod
    def _get(rows: list[Row]) -> Any:
        def get(_: Scope, __: list[Any], arguments: Arguments) -> list[Any]:
            quiet = arguments.pop("-ErrorAction", "") == "Ignore"
            arguments.pop("-IncludeHidden", None)
            found = _matching(rows, arguments)
            if arguments and not found and not quiet:
                raise ThrownError(f"no objects found with {dict(arguments)}")
            return found

        return get

    @staticmethod
    def _set(rows: list[Row], *names: str) -> Any:
        def put(scope: Scope, given: list[Any], arguments: Arguments) -> list[Any]:
            changes = {n: arguments.pop(f"-{n}") for n in names if f"-{n}" in arguments}
            found = given if scope["piped"] else _matching(rows, arguments)
            if not scope["piped"] and not (found and arguments):
                raise ThrownError(f"no objects found with {dict(arguments)}")
            for row in found:
                row.update(changes)
            return []

        return put

    def _new_address(self, _: Scope, __: list[Any], arguments: Arguments) -> list[Any]:
        address = str(ip_address(arguments["-IPAddress"]))
        if any(held["IPAddress"] == address for held in self.addresses):
            raise ThrownError("Instance MSFT_NetIPAddress already exists")
        prefix, skip = arguments["-PrefixLength"], arguments["-SkipAsSource"]
        self.hold(arguments["-InterfaceAlias"], address, prefix, skip=skip)
        return [{"IPAddress": address}]

    def _remove_address(self, scope: Scope, given: list[Any], arguments: Arguments) -> list[Any]:
        self._unasked(scope, arguments)
        for held in given:
            self.release(held)
        return []

    def _new_route(self, _: Scope, __: list[Any], arguments: Arguments) -> list[Any]:
        row = self.row(
            arguments["-DestinationPrefix"], arguments["-InterfaceIndex"], arguments["-NextHop"]
        )
        if row in self.routes:
            raise ThrownError("Instance MSFT_NetRoute already exists")
        self.routes.append(row)
        return [row]

    def _remove_route(self, scope: Scope, given: list[Any], arguments: Arguments) -> list[Any]:
        self._unasked(scope, arguments)
        for row in given:
            self.routes.remove(row)
        return []

    @staticmethod
    def _unasked(scope: Scope, arguments: Arguments) -> None:
        """Without an object it would be all; without -Confirm:$false it would ask."""
        if not scope["piped"] or arguments.get("-Confirm", True):
            raise ThrownError("this would ask a person, or be for everything")

    def _rename(self, _: Scope, given: list[Any], arguments: Arguments) -> list[Any]:
        (adapter,) = given
        new = arguments["-NewName"]
        if any(a["Name"] == new for a in self.adapters if a is not adapter):
            raise ThrownError(f"the name {new} is taken")
        old, adapter["Name"] = adapter["Name"], new
        for rows in (self.interfaces, self.clients, self.profiles, self.addresses):
            for row in rows:
                if row["InterfaceAlias"] == old:
                    row["InterfaceAlias"] = new
        return []

    def _devcon(self, _: Scope, __: list[Any], arguments: Arguments) -> list[Any]:
        if arguments["0"] == "install":
            number = 1 + sum("KM-TEST" in a["InterfaceDescription"] for a in self.adapters)
            suffix = f" #{number}" if number > 1 else ""
            self.plug(f"Ethernet {number + 1}", f"{_LOOPBACK}{suffix}", 18 + number)
        else:
            self.unplug(arguments["1"].removeprefix("@"))
        return []

    def _pnputil(self, _: Scope, __: list[Any], arguments: Arguments) -> list[Any]:
        """/remove-device came with Windows Server 2022, which this is."""
        if arguments["0"] != "/remove-device":
            raise ThrownError(f"pnputil: {arguments}")
        self.unplug(arguments["1"])
        return []

    def _command(self, _: Scope, __: list[Any], arguments: Arguments) -> list[Any]:
        known = {*self.commands()} - ({"devcon.exe"} if not self.devcon else set())
        return [{"Name": name} for name in listed(arguments["0"]) if name in known]


def _matching(rows: list[Row], arguments: Arguments) -> list[Row]:
    names = {"-Name": "Name"}
    return [
        row
        for row in rows
        if all(
            text(row[names.get(key, key[1:])]).lower() == text(value).lower()
            for key, value in arguments.items()
        )
    ]


_WORDS = {
    "-Match": "-match", "-eq": "-eq", "-ne": "-ne",
}  # fmt: skip


def _where(scope: Scope, rows: list[Any], arguments: Arguments) -> list[Any]:
    """Where-Object { ... }, or: property operator value."""
    body = arguments["0"]
    if callable(body):
        said = each(rows, body, scope)
        return [row for row, values in zip(rows, said, strict=True) if true(values)]
    for word, operator in _WORDS.items():
        if word in arguments:
            compare = COMPARE[operator]
            return [row for row in rows if compare(row[body], arguments[word])]
    return [row for row in rows if row[body]]


def _select(scope: Scope, rows: list[Any], arguments: Arguments) -> list[Any]:
    """Select-Object -First 1, or columns; a column may be a table of a name and an expression."""
    if "-First" in arguments:
        return rows[: arguments["-First"]]
    made = []
    for row in rows:
        new: Row = {}
        for column in listed(arguments["0"]):
            if isinstance(column, dict):
                (value,) = column["e"]({**scope, "$_": row})
                new[column["n"]] = value
            else:
                new[column] = row[column]
        made.append(new)
    return made


def _json(_: Scope, __: list[Any], arguments: Arguments) -> list[Any]:
    return [json.dumps(arguments["0"])]
