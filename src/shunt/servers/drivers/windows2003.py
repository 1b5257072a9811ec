"""Windows Server 2003: the loopback adapter by hand, the alias by netsh, extra routes ignored.

There is no PowerShell to count on. WMIC answers in CSV whose words no language changes.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.model.config import Forward, OperatingSystem
from shunt.servers import record
from shunt.servers.drivers.unix.parse import text_of
from shunt.servers.record import Record
from shunt.servers.routes import windows as route_print
from shunt.servers.routes.delete import ROUTES_STAY
from shunt.servers.routes.rule import Extra, Surroundings, extra_routes
from shunt.servers.routes.text import inet, mask_length
from shunt.servers.steps import Command, Driver, Fact, Finding, Item, Output, Plan, Severity, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address

    from shunt.model.addresses import Address
    from shunt.servers.wish import Wish

_HINT = "run the command on the server by hand and look at what it prints"
_LOOPBACK = "Microsoft Loopback Adapter"


@dataclass(frozen=True, slots=True)
class Held:
    """An address with the description of its adapter and its mask's length."""

    adapter: str
    address: IPv4Address
    prefix: int


@dataclass(frozen=True, slots=True)
class Host:
    """A Windows 2003 server; `connection` is the name of the loopback adapter's connection."""

    connection: str | None = None
    held: tuple[Held, ...] = ()
    extras: tuple[Extra, ...] = ()
    record: Record = field(default_factory=Record)


class Windows2003:
    """Windows Server 2003."""

    system = OperatingSystem.WINDOWS2003

    def facts(self, wish: Wish) -> tuple[Fact, ...]:
        """Return the questions."""
        del wish
        nic = "Description,NetConnectionID"
        address = "Description,IPAddress,IPSubnet"
        return (
            Fact("adapters", _cmd(f"wmic path Win32_NetworkAdapter get {nic} /format:csv")),
            Fact(
                "addresses",
                _cmd(
                    "wmic path Win32_NetworkAdapterConfiguration where IPEnabled=TRUE"
                    f" get {address} /format:csv"
                ),
            ),
            Fact("routes", _cmd("route print")),
        )

    def observe(self, wish: Wish, outputs: Mapping[str, Output]) -> Host:
        """Return what the outputs say, or raise ParseError."""
        names = {
            row["Description"]: row["NetConnectionID"]
            for row in _rows(outputs, "adapters", "NetConnectionID")
        }
        listing = route_print.parse(text_of(outputs, "routes"))
        around = Surroundings(wish.server.addresses, (), wish.dispatchers)
        return Host(
            next((name for text, name in names.items() if text.startswith(_LOOPBACK)), None),
            tuple(held for row in _rows(outputs, "addresses", "IPSubnet") for held in _held(row)),
            extra_routes(listing, wish.clusters, around),
            record.parse(outputs[record.NAME]),
        )

    def unseen(self, wish: Wish) -> Host:
        """Return a host to which the loopback adapter has been added, under the name `dsr`."""
        del wish
        return Host(connection="dsr")

    def inventory(self, observed: Host) -> tuple[Item, ...]:
        """Return the addresses."""
        return tuple(
            Item(
                f"the address {one.address}/{one.prefix} on {one.adapter}",
                frozenset((one.address,)),
            )
            for one in observed.held
        )

    def plan(self, observed: Host, wish: Wish) -> Plan:
        """Return the aliases; what concerns routes is said and not done."""
        found = _unfit(observed, wish)
        if not wish.clusters or any(finding.severity is Severity.ERROR for finding in found):
            return Plan(findings=found)
        assert observed.connection is not None
        held = {one.address for one in observed.held}
        steps = [
            _alias(observed.connection, address) for address in wish.clusters if address not in held
        ]
        return Plan(tuple(steps), found + _notes(observed))


def _cmd(line: str) -> Command:
    return Command(tuple(line.split()), shell="cmd")  # noqa: S604  # data; nothing is started here


def _rows(outputs: Mapping[str, Output], name: str, column: str) -> list[dict[str, str]]:
    text = text_of(outputs, name).replace("\r", "").strip()
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or any(None in row or row.get(column) is None for row in rows):
        raise ParseError(f"the answer to {name!r} is no CSV with {column}", hint=_HINT)
    return rows


def _held(row: dict[str, str]) -> Iterator[Held]:
    """Split `{192.0.2.21;192.0.2.22}` and the masks that belong to it."""
    texts, masks = (row[key].strip("{}").split(";") for key in ("IPAddress", "IPSubnet"))
    for text, mask_text in zip(texts, masks, strict=False):
        address, mask = inet(text), inet(mask_text)
        bits = mask_length(mask) if mask else None
        if address is None or bits is None:
            raise ParseError(f"an address of WMIC is not understood: {row!r}", hint=_HINT)
        yield Held(row["Description"], address, bits)


def _unfit(host: Host, wish: Wish) -> tuple[Finding, ...]:
    found: list[Finding] = []
    if wish.forward is Forward.ENCAP:
        found.append(_no("Windows 2003 cannot be the end of a tunnel", "use the method mac"))
    if any(address.version == 6 for address in wish.clusters):
        found.append(
            _no("Windows 2003 is not set up for IPv6 clusters", "leave it out of IPv6 services")
        )
    if wish.clusters and host.connection is None:
        found.append(
            _no(
                "there is no Microsoft Loopback Adapter",
                "Control Panel, Add Hardware, Network adapters, Microsoft, Microsoft Loopback"
                " Adapter; unbind Client for Microsoft Networks and File Sharing; then apply again",
            )
        )
    for held in host.held:
        loopback = held.adapter.startswith(_LOOPBACK)
        if held.address in wish.clusters and not loopback:
            found.append(
                _no(
                    f"{held.address} is on {held.adapter}, which answers ARP for it",
                    f"take {held.address} out of that connection's TCP/IP settings",
                )
            )
        if held.address in wish.bare and f"alias:{held.address}" not in host.record.ids:
            found.append(
                _no(
                    f"{held.address} is held by {held.adapter}, but its service is of kind nat",
                    f"take {held.address} out of that connection's TCP/IP settings",
                )
            )
    return tuple(found)


def _no(what: str, fix: str) -> Finding:
    return Finding(Severity.ERROR, what, "direct return does not work like this", fix)


def _alias(connection: str, address: Address) -> Step:
    name = f'"{connection}"'
    number = str(address).replace(".", "[.]")  # neither 192.0.2.100 nor 1192.0.2.10
    there = (
        f"netsh interface ip show address {name} |"
        f' findstr /r /c:"[^0-9.]{number}[^0-9]" /c:"[^0-9.]{number}$"'
    )
    return Step(
        id=f"alias:{address}",
        what=f"add {address} to the loopback adapter {connection}",
        why="the server must accept packets for the cluster address as its own",
        do=(_cmd(f"netsh interface ip add address {name} {address} 255.255.255.255"),),
        check=(_cmd(there),),
        # Deleting what is not there is an error of netsh; what counts is that it is gone.
        undo=(
            _cmd(
                f"netsh interface ip delete address {name} {address} & {there} && exit /b 1 || ver"
            ),
        ),
        note="if Windows refuses this mask, or routing is disturbed: remove the alias and add it"
        " again with another netmask; give the connection the metric 254",
    )


def _notes(host: Host) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            Severity.NOTE,
            f"there is an extra route to {extra.route.network}",
            f"{extra.rule}",
            ROUTES_STAY,
        )
        for extra in host.extras
    )


DRIVER: Driver[Host] = Windows2003()
