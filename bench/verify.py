"""Proving servers from the wire, beside the page's procedure by hand with arp, ping and curl.

One segment of namespaces; every server is right, so both have to try everything. Then a few of
them while a stranger claims a cluster address from a new MAC each time, as often as it can: each
examination is a process of its own, and its greatest resident memory is compared with that of the
same one without the stranger, in turns.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from contextlib import contextmanager
from ipaddress import IPv4Address
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING

from bench.figures import Figure, Row
from shunt.lab import topology
from shunt.lab.lab import Lab
from shunt.verify.examine import Manner, Report, examine
from shunt.verify.findings import Verdict
from shunt.verify.subject import Application, Cluster, Examined, Port, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.host import Host

SERVERS, BY_HAND = 100, 5
TARGET_SECONDS, RATE = 10.0, 200
CLAIMS = 10_000  # a second, by one stranger
CLUSTERS = tuple(map(IPv4Address, ("198.18.9.1", "198.18.9.2")))


class _Handler(BaseRequestHandler):
    def handle(self) -> None:
        """Answer at once and close, as a web server does with a small page."""
        if self.request.recv(4096):
            self.request.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n")


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def _segment(count: int) -> Iterator[tuple[Host, Host, dict[str, Examined]]]:
    """Yield a verifier, a host for a stranger, and right servers of both cluster addresses.

    They have HTTP on port 80.
    """
    running: list[_Server] = []
    servers: dict[str, Examined] = {}
    with Lab.create() as lab:
        lab.segment("lan")
        verifier = lab.host("verifier")
        lab.join(verifier, "lan", addresses=["198.18.0.1/16"])
        stranger = lab.host("stranger")
        lab.join(stranger, "lan")
        for number in range(1, count + 1):
            host, own = lab.host(f"s{number}"), f"198.18.1.{number}"
            lab.join(host, "lan", addresses=[f"{own}/16"])
            topology.silence(host)
            for cluster in CLUSTERS:
                host.ip("address", "add", f"{cluster}/32", "dev", "lo")
            server = host.call(lambda: _Server(("0.0.0.0", 80), _Handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            running.append(server)
            servers[host.name] = Examined(host.name, (IPv4Address(own),))
        try:
            yield verifier, stranger, servers
        finally:
            for server in running:
                server.shutdown()
                server.server_close()


def _by_shunt(verifier: Host, servers: dict[str, Examined]) -> Report:
    port = Port(80, application=Application.HTTP)
    clusters = tuple(Cluster("web", each, tuple(servers), (port,)) for each in CLUSTERS)
    subject = Subject(servers, clusters)
    return verifier.call(lambda: asyncio.run(examine(subject, Manner(rate=RATE))))


def _by_hand(verifier: Host, servers: dict[str, Examined]) -> float:
    """Walk through the page's six steps for each server and cluster address; return seconds."""
    began = time.monotonic()
    for server in servers.values():
        for cluster in map(str, CLUSTERS):
            silent = ["ping", "-n", "-c1", "-W1", cluster]
            verifier.run(["ip", "neighbour", "flush", "to", cluster])
            verifier.run(silent, check=False)
            verifier.run(["ping", "-n", "-c1", "-W1", str(server.addresses[0])])
            mac = verifier.neighbour(server.addresses[0])
            entry = ["to", cluster, "lladdr", str(mac), "dev", "eth0"]
            verifier.ip("neighbour", "replace", *entry)
            verifier.run(["ping", "-n", "-c1", "-W1", cluster])
            verifier.run(["curl", "-s", "-o", "/dev/null", f"http://{cluster}/"])
            verifier.ip("neighbour", "del", "to", cluster, "dev", "eth0")
            verifier.run(silent, check=False)
    return time.monotonic() - began


_STORM = """
import os, socket, sys, time
from ipaddress import IPv4Address
from shunt.model.addresses import Mac
from shunt.network.frames import gratuitous_arp
address, rate = IPv4Address(sys.argv[1]), float(sys.argv[2])
began, sent = time.monotonic(), 0
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sending:
    sending.bind(("eth0", 0))
    while True:
        try:
            sending.send(gratuitous_arp(Mac(b"\\x02" + os.urandom(5)), address)[0])
            sent += 1
        except OSError:
            pass
        if sent % 100 == 0:
            time.sleep(max(0.0, began + sent / rate - time.monotonic()))
"""
_EXAMINE = """
import json, resource, sys
from shunt.cli.main import main
sys.argv[1:1] = ["verify"]
try:
    main()
except SystemExit as ended:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"memory": memory, "status": ended.code}), file=sys.stderr)
"""


def _under_a_storm(verifier: Host, stranger: Host, servers: dict[str, Examined]) -> Figure:
    """Examine in a process of its own, without and with a storm of made-up claimants."""
    named = [
        word
        for name, server in servers.items()
        for word in ("--server", f"{name}={server.addresses[0]}")
    ]
    command = [sys.executable, "-c", _EXAMINE, str(CLUSTERS[0]), *named, "--port", "80", "--json"]
    rows: list[Row] = []
    worst: dict[str, float] = {}
    for _ in range(2):
        for how in ("quiet", "storm"):
            storm = None
            if how == "storm":
                words = [sys.executable, "-c", _STORM, str(CLUSTERS[0]), str(CLAIMS)]
                storm = stranger.start(words)
            done = verifier.run(command, check=False, timeout=120)
            if storm is not None:
                storm.kill()
            report = json.loads(done.stdout)
            memory = json.loads(done.stderr.splitlines()[-1])["memory"] / 1024
            worst[how] = max(worst.get(how, 0.0), memory)
            wrong = [each for each in report["findings"] if each["verdict"] == "wrong"]
            rows.append(
                {
                    "segment": how,
                    "frames heard": report["frames"]["heard"],
                    "frames a second": report["frames"]["heard"] / report["seconds"],
                    "wrong": len(wrong),
                    "MB": memory,
                }
            )
    note = f"{worst['storm'] / worst['quiet']:.2f} times the memory of the quiet segment."
    return Figure("Memory of an examination while a stranger makes claims up", rows, [note])


def run(*, quick: bool = False) -> list[Figure]:
    """Examine many servers at once, and a few by hand; and a few in bad company."""
    count, by_hand = (20, 1) if quick else (SERVERS, BY_HAND)
    with _segment(count) as (verifier, stranger, servers):
        report = _by_shunt(verifier, servers)
        few = dict(list(servers.items())[:by_hand])
        hand = _by_hand(verifier, few) / (by_hand * len(CLUSTERS))
        some = dict(list(servers.items())[1:6])
        company = _under_a_storm(verifier, stranger, some)
    pairs = count * len(CLUSTERS)
    sent = sum(event.sent for event in report.events)
    wrong = sum(finding.verdict is not Verdict.RIGHT for finding in report.findings)
    ours = report.seconds / pairs
    rows: list[Row] = [
        {
            "how": "by hand: arp, ping, curl",
            "pairs": by_hand * len(CLUSTERS),
            "checks a pair": 4,
            "ms a pair": hand * 1000,
        },
        {
            "how": f"shunt verify, {sent} frames",
            "pairs": pairs,
            "checks a pair": len(report.findings) // pairs,
            "ms a pair": ours * 1000,
        },
    ]
    verdict = "met" if report.seconds < TARGET_SECONDS else "missed"
    frames = f"{count} servers with 2 cluster addresses: {report.seconds:.1f} s at {RATE} frames/s"
    notes = [
        f"{frames}; under {TARGET_SECONDS:g} s is {verdict}.",
        f"{hand / ours:.0f} times faster than by hand.",
        f"{wrong} of {len(report.findings)} verdicts on right servers were not right.",
    ]
    return [company, Figure("Time to prove a server at a cluster address", rows, notes)]
