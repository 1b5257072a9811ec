"""A standing laboratory with the real daemon in it, and what tests do there."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shunt.dispatcher import control
from shunt.dispatcher.ending import end
from shunt.dispatcher.places import Places, places
from shunt.lab import nginx, topology
from shunt.lab.lab import Lab
from shunt.lab.topology import CLUSTERS
from tests.dispatcher import endpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shunt.lab.host import Host
    from shunt.lab.nginx import Nginx
    from shunt.lab.processes import Completed, Process
    from shunt.lab.topology import Topology
    from shunt.model.addresses import Address

DEADLINE = 30.0  # seconds: far beyond what any machine needs, so that only a fault reaches it
FOUR, SIX = CLUSTERS
SHUNT = str(Path(sys.executable).with_name("shunt"))
SECRET = "000102030405060708090a0b0c0d0e0f"
EQUAL = {"a": 10, "b": 10, "c": 10}
OWN = {"a": "192.0.2.21", "b": "192.0.2.22", "c": "192.0.2.23"}


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait for something that comes in its own time; `what` tells what did not."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"it never came about that {what}"
        time.sleep(0.02)


def configuration(
    weights: Mapping[str, int],
    *,
    clusters: tuple[Address, ...] = CLUSTERS,
    options: str = "",
    dispatcher: str = "interface: eth0",
    addresses: Mapping[str, str] = OWN,
) -> str:
    """Return a file with the web, digest and conversation ports of the clusters."""
    at = ", ".join(f'"{address}"' for address in clusters)
    members = ", ".join(f"{name}: {weight}" for name, weight in weights.items())
    ports = "\n".join(
        f"      - {{port: {port}, protocol: {protocol}, servers: {{{members}}}{options}}}"
        for port, protocol in (
            (80, "tcp"), (endpoints.DIGEST, "tcp"), (endpoints.CONVERSATION, "udp"),
        )
    )  # fmt: skip
    servers = "\n".join(f"  {name}: {{address: {addresses[name]}}}" for name in weights)
    return (
        f"dispatcher:\n  secret: {SECRET}\n  {dispatcher}\n"
        f"clusters:\n  web:\n    address: [{at}]\n    ports:\n{ports}\nservers:\n{servers}\n"
    )


@dataclass
class Scene:
    """Client, dispatcher and three servers, all prepared; the daemon comes and goes."""

    standing: Topology
    webs: Mapping[str, Nginx] = field(default_factory=dict)
    process: Process | None = None

    @classmethod
    @contextlib.contextmanager
    def made(cls, *, keepalive: bool = False) -> Iterator[Scene]:
        """Build it, with nginx and the endpoints on every server; remove it at the end."""
        with Lab.create() as lab:
            standing = topology.build(lab)
            for server in standing.servers.values():
                topology.prepare(server)
            scene = cls(standing, nginx.start_all(standing, keepalive=keepalive))
            for name, server in standing.servers.items():
                start_endpoints(server, name)
            yield scene

    @property
    def lab(self) -> Lab:
        return self.standing.lab

    @property
    def client(self) -> Host:
        return self.standing.client

    @property
    def dispatcher(self) -> Host:
        return self.standing.dispatcher

    @property
    def file(self) -> Path:
        return self.dispatcher.directory / "shunt.yaml"

    @property
    def root(self) -> Path:
        return self.dispatcher.directory / "shunt"

    @property
    def places(self) -> Places:
        return places(self.root)

    # The daemon.

    def up(self, text: str | None = None, **env: str) -> Process:
        """Start the daemon on a file (or the one that is there); return when it is ready."""
        if text is not None:
            self.file.write_text(text)
        self.root.mkdir(exist_ok=True)
        command = [SHUNT, "up", "-c", str(self.file), "--root", str(self.root)]
        self.process = self.dispatcher.start(command, env=env)
        self.process.wait_until_says("ready", timeout=DEADLINE)
        return self.process

    def shunt(self, *words: str) -> Completed:
        """Run a `shunt` command on the dispatcher, whatever comes of it."""
        command = [SHUNT, *words, "--root", str(self.root)]
        return self.dispatcher.run(command, check=False, timeout=60)

    def try_up(self, text: str, *words: str) -> Completed:
        """Start the daemon in the expectation that it refuses."""
        self.file.write_text(text)
        return self.shunt("up", "-c", str(self.file), *words)

    def down(self) -> None:
        """End the dispatcher if there is one."""
        self.dispatcher.call(lambda: end(self.places))
        if self.process is not None:
            self.process.kill()
            self.process = None

    def kill(self) -> None:
        """End the daemon as the kernel ends a process that ran out of memory."""
        assert self.process is not None
        assert self.process.kill() == -9

    def ask(self, command: str, **arguments: Any) -> Any:
        """Ask the daemon, as `shunt` does."""
        return control.request(self.places.socket, command, **arguments)

    def reload(self, text: str) -> Any:
        """Change the file, and let the daemon read it."""
        self.file.write_text(text)
        return self.ask("reload")

    # What one sees.

    def servers(self, port: int = 80, cluster: Address = FOUR) -> dict[str, dict[str, Any]]:
        """Return the servers of a service by name, as `status` has them."""
        for service in self.ask("status")["services"]:
            if (service["port"], service["address"]) == (port, str(cluster)):
                return {row["server"] or row["address"]: row for row in service["servers"]}
        raise AssertionError(f"no service at {cluster} port {port}")

    def carried(self, interface: str = "eth0") -> int | None:
        """Return the id of the XDP program that the dispatcher's interface carries."""
        (found,) = json.loads(self.dispatcher.ip("-json", "link", "show", "dev", interface))
        return found["xdp"]["prog"]["id"] if "xdp" in found else None

    def said(self) -> str:
        """Return the daemon's log."""
        assert self.process is not None
        return self.process.output()

    # Clients.

    def fetch(self, count: int = 60, cluster: Address = FOUR) -> dict[str, int]:
        """Ask so many times, each on a connection of its own; return who answered how often.

        Every one must be answered.
        """
        answers: dict[str, int] = {}

        def body() -> None:
            for _ in range(count):
                name = get(cluster)
                answers[name] = answers.get(name, 0) + 1

        self.client.call(body)
        return answers


def get(cluster: Address, port: int = 80) -> str:
    """Ask once; return the answer's body. For `Host.call`."""
    with socket.create_connection((str(cluster), port), timeout=DEADLINE) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while part := connection.recv(4096):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1.[01] 200 ", head), answer
    return body.decode().strip()


def start_endpoints(server: Host, name: str, clusters: tuple[Address, ...] = CLUSTERS) -> None:
    """Start the endpoints on a server that holds the cluster addresses."""
    script = str(Path(endpoints.__file__))
    process = server.start([sys.executable, script, name, *map(str, clusters)])
    process.wait_until_says("listening", timeout=DEADLINE)
