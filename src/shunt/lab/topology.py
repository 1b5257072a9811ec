"""The standard laboratory of direct server return: one segment, one dispatcher, some servers.

                  192.0.2.0/24, 2001:db8::/64
    client .1 ────────┬─────────┬──────── dispatcher .2
                  server a    server b ...  (.21, .22, ...; cluster addresses on the loopback)

Requests for the cluster addresses go client -> dispatcher -> server; replies go server -> client.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

from shunt import dataplane
from shunt.errors import LabError
from shunt.model.addresses import Mac

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from shunt.model.addresses import Address

SEGMENT = "lan"
CLUSTERS: tuple[Address, ...] = (IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10"))
WEIGHTS: Mapping[str, int] = {"a": 10, "b": 20, "c": 30}
_FIRST_SERVER = 21
_PASS_PROGRAM = Path(dataplane.__file__).with_name("lab_pass.bpf.o")


@dataclass(frozen=True, slots=True)
class Topology:
    """The hosts of a standing laboratory; `servers` by name, in the order of `weights`."""

    lab: Lab
    client: Host
    dispatcher: Host
    servers: Mapping[str, Host]
    weights: Mapping[str, int]
    numbers: Mapping[str, int]  # host name -> last part of its addresses and of its MAC

    @property
    def macs(self) -> dict[Mac, str]:
        """Return who is who on the segment."""
        return {_mac(number): name for name, number in self.numbers.items()}

    def configuration(self, mode: str = "auto") -> str:
        """Return a configuration file for the dispatcher of this laboratory."""
        addresses = ", ".join(f'"{address}"' for address in CLUSTERS)
        servers = "\n".join(
            f'  {name}: {{address: [{four}, "{six}"], weight: {self.weights[name]}}}'
            for name in self.servers
            for four, six in [_addresses(self.numbers[name])]
        )
        mode_line = "" if mode == "auto" else f"  mode: {mode}\n"
        return (
            "dispatcher:\n"
            "  interface: eth0\n"
            f"{mode_line}"
            "clusters:\n"
            "  web:\n"
            f"    address: [{addresses}]\n"
            "    ports:\n"
            f"      - {{port: 80, servers: [{', '.join(self.servers)}]}}\n"
            f"servers:\n{servers}\n"
        )


def build(lab: Lab, weights: Mapping[str, int] = WEIGHTS) -> Topology:
    """Make segment and hosts; no server holds a cluster address yet.

    Raises:
        LabError: the kernel refuses something.
    """
    lab.segment(SEGMENT)
    numbers = {"client": 1, "dispatcher": 2}
    numbers |= {name: number for number, name in enumerate(weights, _FIRST_SERVER)}
    for name, number in numbers.items():
        four, six = _addresses(number)
        lab.join(
            lab.host(name),
            SEGMENT,
            addresses=[f"{four}/24", f"{six}/64"],
            mac=_mac(number),
        )
    let_transmit(lab, lab.hosts["dispatcher"])
    client = lab.hosts["client"]
    client.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    client.sysctl("net.ipv4.tcp_tw_reuse", "1")
    servers = {name: lab.hosts[name] for name in weights}
    return Topology(lab, client, lab.hosts["dispatcher"], servers, dict(weights), numbers)


def silence(server: Host) -> None:
    """Let a server answer ARP for the addresses of the asked interface only, and ask by those."""
    server.sysctl("net.ipv4.conf.all.arp_ignore", "1")
    server.sysctl("net.ipv4.conf.all.arp_announce", "2")


def add_alias(server: Host) -> None:
    """Put the cluster addresses on a server's loopback, each as a host of its own."""
    for address in CLUSTERS:
        server.ip("address", "add", f"{address}/{address.max_prefixlen}", "dev", "lo")


def drop_alias(server: Host) -> None:
    """Take the cluster addresses from a server's loopback."""
    for address in CLUSTERS:
        server.ip("address", "delete", f"{address}/{address.max_prefixlen}", "dev", "lo")


def prepare(server: Host) -> None:
    """Prepare a server for direct return: silence first, then the alias."""
    silence(server)
    add_alias(server)


def let_transmit(lab: Lab, host: Host, interface: str = "eth0") -> None:
    """Let an XDP program on the host's interface send frames out of it (XDP_TX).

    A virtual Ethernet pair carries such frames in native mode only if the other end runs an XDP
    program as well; this gives the switch's port one that passes every frame. A real interface
    needs nothing of the kind.

    Raises:
        LabError: the program is not built, or the kernel refuses it.
    """
    if not _PASS_PROGRAM.exists():
        raise LabError(f"{_PASS_PROGRAM} is not built", hint="`make setup` builds the data plane")
    port = lab.peer_port(host, interface)
    (switch,) = (each for each in lab.segments.values() if each.path == port.namespace)
    switch.ip(
        *("link", "set", "dev", port.interface),
        *("xdpdrv", "object", str(_PASS_PROGRAM), "section", "xdp.frags"),
    )


def _addresses(number: int) -> tuple[str, str]:
    return f"192.0.2.{number}", f"2001:db8::{number}"


def _mac(number: int) -> Mac:
    """Return a locally administered MAC that reads like the address: 02:...:21 for .21."""
    return Mac(bytes.fromhex(f"02{number:010d}"))
