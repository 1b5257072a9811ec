"""Parse of render is the identity, for every layout, over tables that Hypothesis makes up."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.servers.routes.recognise import read
from shunt.servers.routes.rows import Kind, Route, Where

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shunt.model.addresses import Address

Rows = list[Route]


Version = Literal[4, 6]


def networks(version: Version) -> st.SearchStrategy[IPv4Network | IPv6Network]:
    bits = 32 if version == 4 else 128
    make = IPv4Network if version == 4 else IPv6Network
    return st.builds(
        lambda number, prefix: make((number >> (bits - prefix) << (bits - prefix), prefix)),
        st.integers(1 << (bits - 8), (1 << bits) - 1),
        st.integers(1, bits),
    )


@st.composite
def rows(draw: st.DrawFn, version: Version, interfaces: Sequence[str], *, on_link: bool) -> Rows:
    def one() -> Route:
        network = draw(networks(version))
        gateway = draw(st.none() | st.ip_addresses(v=version)) if on_link else None
        if gateway is None and not on_link:
            gateway = draw(st.ip_addresses(v=version))
        if gateway is not None and gateway.is_unspecified:
            gateway = None if on_link else network.network_address + 0
        interface = draw(st.sampled_from(interfaces))
        return Route(0, "", network.network_address, network.prefixlen, gateway, interface)

    return [one() for _ in range(draw(st.integers(1, 8)))]


def essence(route: Route) -> Route:
    """Leave out what a rendering need not keep."""
    return replace(route, line=0, written="", flags="", holders=(), protocol="", card="")


def flags(route: Route) -> str:
    return "U" + "G" * (route.gateway is not None) + "H" * route.is_host


def windows(table: Rows) -> str:
    words = {4: "Sur lien", 6: "On-link"}
    four = "\n".join(
        f"  {r.address}  {r.network.netmask if r.network else ''}"
        f"  {r.gateway or words[4]}  {r.interface}  7"
        for r in table
    )
    return f"====\nActives :\nReseau Masque Passerelle Interface M\n{four}\n====\n"


def windows6(table: Rows) -> str:
    lines = ["====", "Active Routes:", " If Metric Network Destination      Gateway"]
    for r in table:
        start = f" {r.interface}    331 {r.network}"
        gateway = str(r.gateway or "On-link")
        lines += (
            [start, " " * 36 + gateway] if len(str(r.network)) > 24 else [f"{start}  {gateway}"]
        )
    return "\n".join([*lines, "===="])


def folded(table: Rows) -> str:
    return " ".join(windows(table).split())


def aix(table: Rows) -> str:
    lines = [
        f"{r.network}  {r.gateway}  {flags(r)}  3  17 {r.interface} - -" + " =>" * (place % 3 == 1)
        for place, r in enumerate(table)
    ]
    number = 2 if table[0].address.version == 4 else 24
    return "\n".join(["Routing tables", f"Route tree for Protocol Family {number} (x):", *lines])


def hpux(table: Rows) -> str:
    lines = ["Dest/Netmask Gateway Flags Refs Use Interface Pmtu"]
    for r in table:
        rest = f"{r.gateway} {flags(r)} 1 2 {r.interface} 1500"
        name = f"{r.address}/{r.network.netmask if r.network else ''}"
        lines += [name, "   " + rest] if len(name) > 24 else [f"{name}  {rest}"]
    return "\n".join(lines)


def solaris(table: Rows) -> str:
    lines = [
        "IRE Table: IPv4",
        "  Destination  Mask  Gateway  Device MTU Ref Flg Out In/Fwd",
        "--- ---",
    ]
    lines += [
        f"{r.address} {r.network.netmask if r.network else ''} {r.gateway} {r.interface} 1500 2"
        f" {flags(r)} 4 5"
        for r in table
    ]
    return "\n".join(lines)


def solaris6(table: Rows) -> str:
    lines = ["Routing Table: IPv6", "  Destination/Mask  Gateway  Flags Ref Use If", "--- ---"]
    return "\n".join(
        [*lines, *(f"{r.network} {r.gateway} {flags(r)} 2 3 {r.interface}" for r in table)]
    )


def _bsd(heading: str, tail: Callable[[Route], str]) -> Callable[[Rows], str]:
    def render(table: Rows) -> str:
        family = "Internet:" if table[0].address.version == 4 else "Internet6:"
        lines = [f"{r.network} {r.gateway or 'link#3'} {flags(r)} {tail(r)}" for r in table]
        return "\n".join(["Routing tables", "", family, heading, *lines])

    return render


freebsd = _bsd("Destination Gateway Flags Netif Expire", lambda r: r.interface)
openbsd = _bsd(
    "Destination Gateway Flags Refs Use Mtu Prio Iface", lambda r: f"1 2 - 8 {r.interface}"
)
netbsd = _bsd(
    "Destination Gateway Flags Refs Use Mtu Interface", lambda r: f"- - 1500 {r.interface}"
)


def net_tools(table: Rows) -> str:
    lines = [
        f"{r.address} {r.gateway or '0.0.0.0'} {r.network.netmask if r.network else ''}"
        f" {flags(r)} 0 0 0 {r.interface}"
        for r in table
    ]
    heading = "Destination Gateway Genmask Flags Metric Ref Use Iface"
    return "\n".join(["Kernel IP routing table", heading, *lines])


def net_tools6(table: Rows) -> str:
    heading = "Destination Next Hop Flag Met Ref Use If"
    lines = [f"{r.network} {r.gateway or '[::]'} {flags(r)} 256 1 0 {r.interface}" for r in table]
    return "\n".join(["Kernel IPv6 routing table", heading, *lines])


def iproute(table: Rows) -> str:
    return "\n".join(
        f"{r.network}{f' via {r.gateway}' if r.gateway else ''} dev {r.interface} proto static"
        for r in table
    )


def iproute_json(table: Rows) -> str:
    return json.dumps(
        [
            {"dst": str(r.network), "dev": r.interface, "flags": []}
            | ({"gateway": str(r.gateway)} if r.gateway else {})
            for r in table
        ]
    )


def net_route(table: Rows) -> str:
    zero = {4: "0.0.0.0", 6: "::"}
    return json.dumps(
        [
            {
                "DestinationPrefix": str(r.network),
                "NextHop": str(r.gateway or zero[r.address.version]),
                "InterfaceIndex": int(r.interface),
            }
            for r in table
        ]
    )


@dataclass(frozen=True)
class Layout:
    render: Callable[[Rows], str]
    version: Version
    interfaces: tuple[str, ...]
    on_link: bool = True
    main: str = ""

    def strategy(self) -> st.SearchStrategy[Rows]:
        return rows(self.version, self.interfaces, on_link=self.on_link)


LAYOUTS = {
    "windows": Layout(windows, 4, ("192.0.2.21", "127.0.0.1")),
    "windows-folded": Layout(folded, 4, ("192.0.2.21", "127.0.0.1")),
    "windows-6": Layout(windows6, 6, ("1", "12")),
    "windows-json": Layout(net_route, 6, ("1", "12")),
    "aix": Layout(aix, 4, ("en0", "lo0"), on_link=False),
    "aix-6": Layout(aix, 6, ("en0", "lo0"), on_link=False),
    "hpux": Layout(hpux, 4, ("lan0", "lo0:1"), on_link=False),
    "solaris": Layout(solaris, 4, ("net0", "lo0:1"), on_link=False),
    "solaris-6": Layout(solaris6, 6, ("net0", "vni0"), on_link=False),
    "freebsd": Layout(freebsd, 4, ("em0", "lo0")),
    "freebsd-6": Layout(freebsd, 6, ("em0", "lo0")),
    "openbsd": Layout(openbsd, 4, ("em0", "lo0")),
    "netbsd": Layout(netbsd, 6, ("wm0", "lo0")),
    "net-tools": Layout(net_tools, 4, ("eth0", "lo")),
    "net-tools-6": Layout(net_tools6, 6, ("eth0", "lo")),
    "iproute": Layout(iproute, 4, ("eth0", "lo"), main="main"),
    "iproute-6": Layout(iproute, 6, ("eth0", "lo"), main="main"),
    "iproute-json": Layout(iproute_json, 6, ("eth0", "lo"), main="main"),
}


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_parse_of_render_is_the_identity(name: str, data: st.DataObject) -> None:
    layout = LAYOUTS[name]
    table = data.draw(layout.strategy())
    listing = read(layout.render(table))
    found = [replace(essence(route), kind=Kind.UNICAST) for route in listing.routes]
    assert found == [replace(essence(route), table=layout.main) for route in table]


@settings(max_examples=100, deadline=None)
@given(networks(4), st.ip_addresses(v=4))
def test_a_route_without_mask_covers_what_some_mask_covers(
    network: IPv4Network, address: Address
) -> None:
    start = network.network_address
    route = Route(1, str(start), start, None)
    assert isinstance(address, IPv4Address)
    assert route.covers(address) == any(
        address in IPv4Network((start, prefix))
        for prefix in range(33)
        if int(start) & ((1 << (32 - prefix)) - 1) == 0
    )
    assert route.where is Where.ACTIVE
