"""HTTP requests per second: straight to a server, through Shunt, nftables DNAT and HAProxy.

All share one machine's processors, so only ratios mean anything: of two neighbouring measurements,
the median over many rounds. Everyone has one hop more than `straight`: a host on the same segment,
set up as its manual says, with one nginx behind. `the hop alone` is that way and nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from statistics import median
from typing import TYPE_CHECKING

from bench.figures import Figure, Row
from bench.world import compiled
from shunt.lab import daemon, nginx
from shunt.lab.lab import Lab
from shunt.lab.requests import parse_wrk
from shunt.lab.topology import CLUSTERS, SEGMENT, Topology, build, let_transmit, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shunt.lab.host import Host

WEIGHTS = {"a": 10, "b": 10, "c": 10}
SERVER = "192.0.2.21"  # `a`; the only one, but for "Shunt, 3 servers"
HOP = "192.0.2.11"  # as in programs/hop.bpf.c
ONE, THREE = 80, 81  # ports of the cluster: a alone, and all three
ROUNDS, SECONDS, CONNECTIONS = 7, 1, 64
TARGET = 0.9
RIVALS = ("nftables DNAT", "HAProxy, TCP mode")

_DNAT = f"""
table ip nat {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        tcp dport {ONE} dnat to {SERVER}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        ip daddr {SERVER} masquerade
    }}
}}
"""
_HAPROXY = f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen web
    bind :{ONE}
    server a {SERVER}:{ONE}
"""
_CONFIGURATION = f"""
dispatcher: {{interface: eth0}}
clusters:
  web:
    address: {CLUSTERS[0]}
    ports:
      - {{port: {ONE}, servers: [a]}}
      - {{port: {THREE}, servers: [a, b, c]}}
servers:
  a: {{address: 192.0.2.21}}
  b: {{address: 192.0.2.22}}
  c: {{address: 192.0.2.23}}
"""


@dataclass(frozen=True, slots=True)
class Manner:
    """How wrk asks."""

    name: str
    options: tuple[str, ...]


MANNERS = (
    Manner("kept connections", ()),
    Manner("a connection each", ("-H", "Connection: close")),
)


def run(*, quick: bool = False) -> list[Figure]:
    """Measure every way in turn, both manners of asking."""
    rounds = 1 if quick else ROUNDS
    with Lab.create() as lab:
        standing = build(lab, WEIGHTS)
        ways = {
            "straight": f"http://{SERVER}/",
            "the hop alone": f"http://{_hop(lab)}/",
            "Shunt": f"http://{CLUSTERS[0]}/",
            "Shunt, 3 servers": f"http://{CLUSTERS[0]}:{THREE}/",
            "nftables DNAT": f"http://{_box(lab, 'dnat', 3)}/",
            "HAProxy, TCP mode": f"http://{_box(lab, 'proxy', 4)}/",
        }
        _start(standing)
        figures = []
        for manner in MANNERS:
            taken = [_round(standing.client, ways, manner) for _ in range(rounds)]
            figures.append(_figure(manner, taken))
    return figures


def _box(lab: Lab, name: str, number: int) -> str:
    """Make one more host on the segment; return its address."""
    address = f"192.0.2.{number}"
    lab.join(lab.host(name), SEGMENT, addresses=[f"{address}/24"])
    return address


def _hop(lab: Lab) -> str:
    """Make a host whose program only changes MACs; return the address that it sends on to a."""
    _box(lab, "hop", 5)
    hop, client = lab.hosts["hop"], lab.hosts["client"]
    let_transmit(lab, hop)
    hop.ip(
        *("link", "set", "dev", "eth0", "xdpdrv"),
        *("object", str(compiled("hop")), "section", "xdp.frags"),
    )
    mac = hop.interface("eth0").mac
    client.ip("neighbour", "replace", HOP, "lladdr", str(mac), "dev", "eth0", "nud", "permanent")
    return HOP


def _start(standing: Topology) -> None:
    """Start servers, dispatcher and rivals."""
    for name, server in standing.servers.items():
        prepare(server)
        places = [(CLUSTERS[0], port) for port in (ONE, THREE)]
        own = [address.ip for address in server.interface("eth0").addresses]
        places += [(address, ONE) for address in own if str(address) == SERVER and name == "a"]
        if name == "a":
            server.ip("address", "add", f"{HOP}/32", "dev", "lo")
            places.append((IPv4Address(HOP), ONE))
        nginx.start(server, places, log=False, keepalive=True)
    daemon.start(standing.dispatcher, _CONFIGURATION)

    dnat, proxy = standing.lab.hosts["dnat"], standing.lab.hosts["proxy"]
    dnat.sysctl("net.ipv4.ip_forward", "1")
    dnat.run(["nft", "-f", str(dnat.write("dnat.nft", _DNAT))])
    proxy.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    proxy.sysctl("net.ipv4.tcp_tw_reuse", "1")
    process = proxy.start(["haproxy", "-db", "-f", str(proxy.write("haproxy.cfg", _HAPROXY))])
    process.wait_until(lambda: _listens(proxy), "listens")


def _listens(host: Host) -> bool:
    return f":{ONE} " in host.run(["ss", "-ltnH"]).stdout


def _round(client: Host, ways: Mapping[str, str], manner: Manner) -> dict[str, float]:
    """Return the requests per second of every way, measured one after the other."""
    rates = {}
    for name, where in ways.items():
        argv = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{SECONDS}s"]
        load = parse_wrk(client.run([*argv, *manner.options, where]).stdout)
        if load.errors:
            raise SystemExit(f"bench: {name}: {load.errors} of {load.requests} requests failed")
        rates[name] = load.per_second
    return rates


def _figure(manner: Manner, taken: Sequence[Mapping[str, float]]) -> Figure:
    def ratio(name: str, other: str) -> float:
        return median(rates[name] / rates[other] for rates in taken)

    rows: list[Row] = [
        {
            "way": name,
            "requests per second": f"{median(rates[name] for rates in taken):,.0f}",
            "of straight": f"{ratio(name, 'straight'):.2f}",
        }
        for name in taken[0]
    ]
    notes = [f"Shunt at {ratio('Shunt', 'straight'):.2f} of straight (to reach: {TARGET})"]
    notes.append(
        f"Shunt at {ratio('Shunt', 'the hop alone'):.2f} of a program that only changes the MACs: "
        "what the laboratory itself costs, with one more way through a software switch"
    )
    notes += [
        f"Shunt at {ratio('Shunt', rival):.2f} times {rival} (to reach: more than 1)"
        for rival in RIVALS
    ]
    return Figure(f"Requests per second, {manner.name}", rows, notes)
