"""The steps of Windows, each a PowerShell statement that may be repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.powershell import quoted
from shunt.servers.steps import Command, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shunt.model.addresses import Address
    from shunt.servers.drivers.windows_facts import Held

_IS_LOOPBACK = "Where-Object InterfaceDescription -Match 'KM-TEST|Microsoft Loopback'"
LOOPBACKS = f"Get-NetAdapter -IncludeHidden | {_IS_LOOPBACK}"

_INSTALL = (
    'devcon.exe install "$env:windir\\inf\\netloop.inf" *msloop | Out-Null;'
    " if ($LASTEXITCODE) { throw 'devcon could not add the adapter' }"
)
_NO_DEVCON = (
    "throw 'devcon.exe is missing: add the Microsoft KM-TEST Loopback Adapter with hdwwiz"
    " (Network adapters, Microsoft), or install devcon, and apply again'"
)


# pnputil removes devices since Windows 10 2004 and Server 2022: before, it says how it is used.
_REMOVE = (
    "if (Get-Command devcon.exe -ErrorAction Ignore)"
    ' { devcon.exe remove "@$($_.PnPDeviceID)" | Out-Null }'
    " else { pnputil.exe /remove-device $_.PnPDeviceID | Out-Null }"
)
_NOT_REMOVED = (
    "throw 'the loopback adapter could not be removed (before Server 2022 pnputil cannot): remove"
    " it in Device Manager, or install devcon; then try again'"
)
_PATIENCE = 15  # seconds until Windows has given a new adapter its profile


def adapter(name: str) -> Step:
    """Return the step that adds the loopback adapter and names it."""
    # By its kind and not by its name alone: a card may be called so, and would be removed.
    there = f"Get-NetAdapter -Name {quoted(name)} -ErrorAction Ignore | {_IS_LOOPBACK}"
    named = f"Get-NetAdapter -Name {quoted(name)} -ErrorAction Ignore"
    add = (
        f"if (-not ({LOOPBACKS}))"
        f" {{ if ({named}) {{ throw 'a network card has the name of the loopback adapter' }};"
        f" if (Get-Command devcon.exe -ErrorAction Ignore) {{ {_INSTALL} }}"
        f" else {{ {_NO_DEVCON} }} }}"
    )
    return Step(
        id="adapter",
        what=f"add the Microsoft KM-TEST loopback adapter and call it {name}",
        why="an address on an adapter without a wire is accepted, and never announced by ARP",
        do=(
            Command.powershell(add),
            Command.powershell(
                f"{LOOPBACKS} | Select-Object -First 1 | Rename-NetAdapter -NewName {quoted(name)}"
            ),
        ),
        check=(Command.powershell(f"[bool]({there})"),),
        undo=(
            Command.powershell(
                f"{there} | ForEach-Object {{ {_REMOVE} }}; if ({there}) {{ {_NOT_REMOVED} }}"
            ),
        ),
    )


def weak_host(name: str, version: int, switch: str) -> Step:
    """Return the step that lets packets in (or out) for an address of another adapter."""
    interface = f"-InterfaceAlias {quoted(name)} -AddressFamily IPv{version}"
    way = "accept packets for" if switch == "Receive" else "send packets from"
    return Step(
        id=f"weak:{name}:{version}:{switch}",
        what=f"let {name} {way} addresses of other adapters (IPv{version})",
        why="Windows is a strong host: it drops packets for the loopback adapter's address",
        do=(Command.powershell(f"Set-NetIPInterface {interface} -WeakHost{switch} Enabled"),),
        check=(
            Command.powershell(f"(Get-NetIPInterface {interface}).WeakHost{switch} -eq 'Enabled'"),
        ),
        undo=(
            Command.powershell(
                f"if (Get-NetIPInterface {interface} -ErrorAction Ignore)"
                f" {{ Set-NetIPInterface {interface} -WeakHost{switch} Disabled }}"
            ),
        ),
    )


def held(name: str, address: Address) -> str:
    """Return the expression for an address on one adapter; on others it is somebody else's."""
    return (
        f"Get-NetIPAddress -InterfaceAlias {quoted(name)} -IPAddress {address} -ErrorAction Ignore"
    )


def remove_words(name: str, address: Address) -> str:
    """Return the statement that takes an address from an adapter."""
    return (
        f"Remove-NetIPAddress -InterfaceAlias {quoted(name)} -IPAddress {address} -Confirm:$false"
    )


def alias(name: str, address: Address, now: Sequence[Held]) -> tuple[Step, ...]:
    """Return what makes the alias a host address that outgoing connections avoid.

    `now` is how the adapter `name` holds it already.
    """
    length = address.max_prefixlen
    get = held(name, address)
    right = f"[bool]({get} | Where-Object {{ $_.PrefixLength -eq {length} -and $_.SkipAsSource }})"
    add = (
        f"New-NetIPAddress -InterfaceAlias {quoted(name)} -IPAddress {address}"
        f" -PrefixLength {length} -SkipAsSource $true | Out-Null"
    )
    wide = [one for one in now if one.prefix != length]
    if now and not wide and all(one.skip for one in now):
        return ()
    if now and not wide:
        return (as_no_source(name, address),)
    steps = [_narrow(name, one, get) for one in wide]
    steps.append(
        Step(
            id=f"alias:{address}",
            what=f"add {address}/{length} to {name}, not as a source of connections",
            why="the server must accept packets for the cluster address as its own",
            do=(Command.powershell(f"if (-not ({get})) {{ {add} }}"),),
            check=(Command.powershell(right),),
            undo=(Command.powershell(f"{get} | Remove-NetIPAddress -Confirm:$false"),),
            note="Windows keeps it over a reboot",
        )
    )
    return tuple(steps)


def _narrow(name: str, one: Held, get: str) -> Step:
    skip = "$true" if one.skip else "$false"
    return Step(
        id=f"narrow:{one.address}/{one.prefix}",
        what=f"take {one.address} with the mask /{one.prefix} away: the mask is too wide",
        why="its mask makes a route that keeps traffic for its neighbours in this host",
        do=(
            Command.powershell(
                f"{get} | Where-Object PrefixLength -eq {one.prefix}"
                " | Remove-NetIPAddress -Confirm:$false"
            ),
        ),
        check=(Command.powershell(f"-not ({get} | Where-Object PrefixLength -eq {one.prefix})"),),
        undo=(
            Command.powershell(
                f"if (-not ({get})) {{ New-NetIPAddress -InterfaceAlias {quoted(name)} -IPAddress"
                f" {one.address} -PrefixLength {one.prefix} -SkipAsSource {skip} | Out-Null }}"
            ),
        ),
    )


def as_no_source(name: str, address: Address) -> Step:
    """Return the step for an alias that is there, and that connections would choose."""
    get = held(name, address)
    return Step(
        id=f"source:{address}",
        what=f"keep the server's own connections from using {address}",
        why="replies to such connections would go to the dispatcher, not to this server",
        do=(Command.powershell(f"{get} | Set-NetIPAddress -SkipAsSource $true"),),
        check=(Command.powershell(f"-not ({get} | Where-Object {{ -not $_.SkipAsSource }})"),),
        undo=(Command.powershell(f"{get} | Set-NetIPAddress -SkipAsSource $false"),),
    )


def no_dns(name: str) -> Step:
    """Return the step that keeps the adapter's addresses out of DNS."""
    words = f"-InterfaceAlias {quoted(name)}"
    option = "RegisterThisConnectionsAddress"
    return Step(
        id="dns",
        what=f"do not register the addresses of {name} in DNS",
        why="the server's name would lead to the cluster, or the cluster's to this server",
        do=(Command.powershell(f"Set-DnsClient {words} -{option} $false"),),
        check=(Command.powershell(f"-not (Get-DnsClient {words}).{option}"),),
        undo=(
            Command.powershell(
                f"if (Get-DnsClient {words} -ErrorAction Ignore)"
                f" {{ Set-DnsClient {words} -{option} $true }}"
            ),
        ),
    )


def private(name: str) -> Step:
    """Return the step that puts the adapter under the firewall's private profile.

    A new adapter gets its profile some seconds after its first address. If it has none by then,
    nothing closes a port yet, and the next check looks again.
    """
    words = f"-InterfaceAlias {quoted(name)}"
    profile = f"Get-NetConnectionProfile {words} -ErrorAction Ignore"
    return Step(
        id="firewall",
        what=f"put {name} under the firewall's profile Private",
        why="the profile Public, which Windows gives it, closes the service's ports",
        do=(
            Command.powershell(
                f"for ($Left = {_PATIENCE}; $Left -and -not ({profile}); $Left--)"
                " { Start-Sleep -Seconds 1 };"
                f" if ({profile}) {{ Set-NetConnectionProfile {words} -NetworkCategory Private }}"
            ),
        ),
        check=(
            Command.powershell(f"-not ({profile} | Where-Object NetworkCategory -eq 'Public')"),
        ),
        undo=(
            Command.powershell(
                f"if ({profile}) {{ Set-NetConnectionProfile {words} -NetworkCategory Public }}"
            ),
        ),
    )
