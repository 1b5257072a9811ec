"""From `shunt up` to the first forwarded packet: 100 clusters of 10 servers, the real daemon.

A client asks every cluster address in turn, over and over, from before the daemon is started. Its
neighbour table has the dispatcher's MAC, so that the time is the dispatcher's alone.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Figure, Row
from shunt.lab.lab import Lab
from shunt.lab.topology import SEGMENT, let_transmit, silence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.host import Host
    from shunt.lab.processes import Process

CLUSTERS, SERVERS, PORT = 100, 10, 7
TARGET_SECONDS, PATIENCE = 1.0, 60.0
DISPATCHER_MAC = "02:00:00:00:00:02"
_FIRST_CLUSTER = IPv4Address("10.1.0.1")
_FIRST_SERVER = IPv4Address("10.2.0.1")
_INTERFACES = 10  # of the namespace that holds all servers' addresses, each with its own MAC
_COMMAND = str(Path(sys.executable).with_name("shunt"))
_PAUSE = 0.001


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the start of the process."""

    first: float  # to the first reply of any cluster
    spent: float  # of a processor until then
    all: float  # to the first reply of the last cluster
    ready: float  # until it says so


def clusters() -> list[IPv4Address]:
    """Return the cluster addresses."""
    return [_FIRST_CLUSTER + number for number in range(CLUSTERS)]


def servers() -> list[IPv4Address]:
    """Return the servers' own addresses: so many that each cluster can have another ten."""
    return [_FIRST_SERVER + number for number in range(CLUSTERS + SERVERS - 1)]


def configuration(*, shared: bool) -> str:
    """Return a configuration whose clusters have the same servers, or no two the same."""
    text = ["dispatcher: {interface: eth0}", "clusters:"]
    for number, address in enumerate(clusters()):
        first = 0 if shared else number
        names = ", ".join(f"s{which}" for which in range(first, first + SERVERS))
        text.append(f"  c{number}:")
        text.append(f"    address: {address}")
        text.append(f"    ports: [{{port: {PORT}, protocol: udp, servers: [{names}]}}]")
    text.append("servers:")
    used = servers()[: SERVERS if shared else None]
    text += [f"  s{which}: {{address: {address}}}" for which, address in enumerate(used)]
    return "\n".join(text) + "\n"


def run(*, quick: bool = False) -> list[Figure]:
    """Measure a start with nothing pinned, and one that takes over what is pinned."""
    rounds = 1 if quick else 3
    rows: list[Row] = []
    with Lab.create() as lab:
        client, dispatcher, back = _build(lab)
        with _echoing(back):
            for shared in (True, False):
                starts = [_started(client, dispatcher, shared=shared) for _ in range(rounds)]
                best = min(starts, key=lambda start: start.first)
                rows.append(
                    {
                        "clusters": CLUSTERS,
                        "servers of each": SERVERS,
                        "servers": "the same for all" if shared else "no two alike",
                        "first reply, s": f"{best.first:.2f}",
                        "of a processor till then, s": f"{best.spent:.2f}",
                        "all clusters replied, s": f"{best.all:.2f}",
                        "says ready, s": f"{best.ready:.2f}",
                    }
                )
    notes = [f"best of {rounds}; to reach: the first reply within {TARGET_SECONDS:.0f} s"]
    return [Figure("Cold start to the first forwarded packet", rows, notes)]


def _build(lab: Lab) -> tuple[Host, Host, Host]:
    lab.segment(SEGMENT)
    client, dispatcher, back = (lab.host(name) for name in ("client", "dispatcher", "servers"))
    lab.join(client, SEGMENT, addresses=["10.0.0.1/8"])
    lab.join(dispatcher, SEGMENT, addresses=["10.0.0.2/8"], mac=DISPATCHER_MAC)
    let_transmit(lab, dispatcher)
    silence(back)
    for number in range(_INTERFACES):
        lab.join(back, SEGMENT, interface=f"eth{number}")
    for which, address in enumerate(servers()):
        _batch(back, f"address add {address}/8 dev eth{which % _INTERFACES}")
    for address in clusters():
        _batch(back, f"address add {address}/32 dev lo")
        _batch(client, f"neighbour replace {address} lladdr {DISPATCHER_MAC} dev eth0")
    for host in (back, client):
        host.run(["ip", "-batch", str(host.directory / "batch")])
    return client, dispatcher, back


def _batch(host: Host, line: str) -> None:
    with (host.directory / "batch").open("a") as batch:
        batch.write(line + "\n")


@contextmanager
def _echoing(back: Host) -> Iterator[None]:
    """Answer every datagram to a cluster address from that address."""
    selector, stop = selectors.DefaultSelector(), threading.Event()

    def listen() -> None:
        for address in clusters():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((str(address), PORT))
            selector.register(sock, selectors.EVENT_READ)

    def answer() -> None:
        while not stop.is_set():
            for key, _ in selector.select(0.2):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                data, sender = sock.recvfrom(64)
                sock.sendto(data, sender)

    back.call(listen)
    thread = threading.Thread(target=answer, name="echo")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for key in list(selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        selector.close()


def _started(client: Host, dispatcher: Host, *, shared: bool) -> Start:
    """Start the daemon, ask until every cluster has replied, and take all of it away again."""
    config = dispatcher.write("shunt.yaml", configuration(shared=shared))
    root = dispatcher.directory / "shunt"
    root.mkdir(exist_ok=True)
    with client.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.settimeout(0)
        began = time.monotonic()
        process = dispatcher.start([_COMMAND, "up", "-c", str(config), "--root", str(root)])
        first, spent, last = _ask(sock, process, began + PATIENCE)
        process.wait_until_says("ready", timeout=PATIENCE)
        ready = time.monotonic()
    dispatcher.run([_COMMAND, "down", "--root", str(root)])
    process.wait()
    return Start(first - began, spent, last - began, ready - began)


def _ask(sock: socket.socket, process: Process, deadline: float) -> tuple[float, float, float]:
    """Return when the first cluster replied, what the process had spent by then, and the last."""
    silent = {str(address) for address in clusters()}
    first = spent = 0.0
    while silent:
        if process.status is not None or time.monotonic() > deadline:
            sys.exit(f"bench: {len(silent)} clusters never replied; shunt: {process.output()}")
        for address in sorted(silent):
            sock.sendto(b"?", (address, PORT))
        time.sleep(_PAUSE)
        while True:
            try:
                _, (address, _) = sock.recvfrom(64)
            except BlockingIOError:
                break
            if not first:
                first, spent = time.monotonic(), _spent(process)
            silent.discard(address)
    return first, spent, time.monotonic()


def _spent(process: Process) -> float:
    """Return the processor seconds of a process so far, all threads (proc(5): utime, stime)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
