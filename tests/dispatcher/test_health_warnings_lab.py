"""In a laboratory: a certificate that ends soon is said once, and shown, and takes nobody out."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from shunt.lab import daemon, topology
from tests.dispatcher.scene import eventually
from tests.dispatcher.seen import checks, configuration, status, up, weights

if TYPE_CHECKING:
    from shunt.lab.host import Host
    from shunt.lab.processes import Process
    from shunt.lab.topology import Topology

pytestmark = [pytest.mark.lab, pytest.mark.bpf]

FOUR = topology.CLUSTERS[0]
SERVICE = f"{FOUR}:443/tcp"


def secure(server: Host, days: int) -> Process:
    """Start a TLS server at the cluster address with a certificate for so many days."""
    key, certificate = server.directory / "key", server.directory / "certificate"
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=www.example "
        f"-days {days} -keyout {key} -out {certificate}"
    )
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    process = server.start([
        "openssl", "s_server", "-accept", f"{FOUR}:443", "-www",
        "-key", str(key), "-cert", str(certificate),
    ])  # fmt: skip
    process.wait_until_says("ACCEPT", timeout=20)
    return process


def test_a_certificate_that_ends_soon_is_told_once_and_harms_nobody(
    direct_return: Topology,
) -> None:
    days = {"a": 90, "b": 5, "c": 20}
    served = {name: secure(server, days[name]) for name, server in direct_return.servers.items()}
    advisor = "advisor: {type: https, request: GET /, interval: 200ms, warn_days: 14"
    times = "connect_timeout: 2s, receive_timeout: 2s}"
    text = configuration(f"{{port: 443, servers: [a, b, c], {advisor}, {times}}}")
    running = daemon.start(direct_return.dispatcher, text)

    def told(server: str) -> list[str]:
        lines = running.process.output().splitlines()
        return [line for line in lines if "warning=" in line and f"server={server}" in line]

    def asked() -> int:
        made: int = status(running)["health"]["checks"]
        return made

    eventually(lambda: up(running, SERVICE) == {"a", "b", "c"}, "all are up")
    eventually(lambda: told("b"), "b's end was told")
    assert "certificate ends" in checks(running, SERVICE)["b"]["words"]
    before = asked()
    eventually(lambda: asked() > before + 9, "checks go on")
    assert len(told("b")) == 1
    assert not told("a")
    assert not told("c")
    assert weights(running, SERVICE) == {"a": 10, "b": 20, "c": 30}

    served["a"].kill()
    served["a"] = secure(direct_return.servers["a"], 3)
    eventually(lambda: told("a"), "a certificate that was changed meanwhile is told")
    assert len(told("b")) == 1
    running.shunt("down")
