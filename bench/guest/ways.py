"""The ways that are measured, each as it is set up in the director's namespace.

Traps: conntrack calls an ACK behind a lone SYN invalid and does not translate it, so DNAT begins
with ACKs; IPVS makes no connection without a SYN (`sloppy_tcp` is 0), so it begins with SYNs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shunt.lab import namespaces

from .wire import ACK, CLUSTER, SERVERS, SYN, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

SHUNT = "/opt/shunt/bin/shunt"
_SETTLED_WITHIN = 600.0  # seconds of the machine's clock, which jumps over idle time


@contextmanager
def drop(wire: Wire) -> Iterator[None]:
    """Nothing but the sender, the pair and a poll: what all others pay as well."""
    wire.attach("drop")
    yield
    assert wire.dropped() == wire.sent(), f"{wire.dropped()} of {wire.sent()} frames were dropped"


@contextmanager
def hop(wire: Wire) -> Iterator[None]:
    """A program that writes the MACs and sends the frame back."""
    wire.attach("hop")
    yield


def shunt(
    *, track: str = "auto", mode: str = "native"
) -> Callable[[Wire], AbstractContextManager[None]]:
    """Return the way of Shunt's own daemon, stopped once its slots are settled."""

    @contextmanager
    def way(wire: Wire) -> Iterator[None]:
        if mode == "generic":  # polls need NAPI, which a veth has with a program or with GRO
            wire.command("ethtool", "-K", "eth0", "gro", "on")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "shunt.yaml")
            file.write_text(_configuration(track, mode))
            with namespaces.inside(wire.director):
                daemon = subprocess.Popen([SHUNT, "up", "-c", str(file)])
            try:
                _wait_until_settled(wire)
                os.kill(daemon.pid, signal.SIGSTOP)
                yield
            finally:
                os.kill(daemon.pid, signal.SIGCONT)
                wire.command(SHUNT, "down")
                daemon.wait(600)

    return way


def _configuration(track: str, mode: str) -> str:
    servers = "\n".join(
        f"  s{number}: {{address: {address}, weight: 10}}"
        for number, address in enumerate(SERVERS, start=1)
    )
    names = ", ".join(f"s{number}" for number in range(1, len(SERVERS) + 1))
    return (
        f"dispatcher: {{interface: eth0, mode: {mode}}}\n"
        f"clusters:\n  web:\n    address: {CLUSTER}\n    ports:\n"
        f"      - {{port: 80, servers: [{names}], track: {track}}}\n"
        f"servers:\n{servers}\n"
    )


def _wait_until_settled(wire: Wire) -> None:
    """Wait until every server has slots and no slot is unsettled.

    Raises:
        AssertionError: that does not come about.
    """
    deadline = time.monotonic() + _SETTLED_WITHIN
    said = ""
    while time.monotonic() < deadline:
        done = wire.command(SHUNT, "status", "--json", check=False)
        said = done.stdout or done.stderr
        if done.status == 0 and _is_settled(json.loads(done.stdout)):
            return
        time.sleep(5)
    raise AssertionError(f"the slots do not settle:\n{said[-2000:]}")


def _is_settled(status: dict[str, object]) -> bool:
    services = status["services"]
    assert isinstance(services, list)
    return bool(services) and all(
        service["unsettled"] == 0 and all(server["share"] for server in service["servers"])
        for service in services
    )


def _through_the_stack(wire: Wire) -> None:
    """Have frames taken by polls, as a driver's are, and given to the kernel."""
    wire.attach("pass")
    wire.setting("ipv4/ip_forward", "1")
    for scope in ("all", "eth0"):
        wire.setting(f"ipv4/conf/{scope}/send_redirects", "0")
        wire.setting(f"ipv4/conf/{scope}/rp_filter", "0")


@contextmanager
def forward(wire: Wire) -> Iterator[None]:
    """Plain forwarding to one server, without netfilter."""
    _through_the_stack(wire)
    wire.ip("route", "add", str(CLUSTER), "via", next(iter(SERVERS)), "dev", "eth0")
    yield


@contextmanager
def ipvs(wire: Wire) -> Iterator[None]:
    """IPVS in direct routing, weighted round robin, without conntrack."""
    _through_the_stack(wire)
    wire.ip("address", "add", f"{CLUSTER}/32", "dev", "lo")
    lines = [f"-A -t {CLUSTER}:80 -s wrr"]
    lines += [f"-a -t {CLUSTER}:80 -r {address}:80 -g -w 10" for address in SERVERS]
    wire.command("ipvsadm", "-R", stdin="\n".join(lines) + "\n")
    yield


@contextmanager
def dnat(wire: Wire) -> Iterator[None]:
    """DNAT by nftables to the ten servers by a hash of the client; requests only."""
    _through_the_stack(wire)
    targets = ", ".join(f"{number} : {address}" for number, address in enumerate(SERVERS))
    choice = f"jhash ip saddr . tcp sport mod {len(SERVERS)} map {{ {targets} }}"
    rules = f"""
table ip director {{
    chain before {{
        type nat hook prerouting priority dstnat;
        ip daddr {CLUSTER} tcp dport 80 dnat to {choice}
    }}
}}
"""
    wire.command("nft", "-f", "-", stdin=rules)
    yield


WAYS: dict[str, tuple[Callable[[Wire], AbstractContextManager[None]], int]] = {
    "drop": (drop, SYN),
    "hop": (hop, SYN),
    "shunt": (shunt(), SYN),
    "shunt-all": (shunt(track="all"), SYN),
    "shunt-generic": (shunt(mode="generic"), SYN),
    "forward": (forward, SYN),
    "ipvs": (ipvs, SYN),
    "dnat": (dnat, ACK),
}
"""Each way, and the flags of the frames that its flows begin with."""
