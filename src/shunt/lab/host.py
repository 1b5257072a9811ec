"""One host of a laboratory: a network namespace with processes, interfaces and settings."""

from __future__ import annotations

import ipaddress
import json
import sys
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from shunt.errors import LabError
from shunt.lab import namespaces
from shunt.lab.processes import Completed, Process, run
from shunt.model.addresses import Address, Mac

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Counters:
    """Frames and bytes that a link has received and sent since it was made."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int


@dataclass(frozen=True, slots=True)
class Interface:
    """A host's interface as it was when asked."""

    name: str
    index: int
    mac: Mac
    addresses: tuple[
        IPv4Interface | IPv6Interface, ...
    ]  # with their prefix lengths, link-local included
    counters: Counters


class Host:
    """A namespace under the name `namespace`; made by `Lab.host`, removed with the laboratory."""

    def __init__(self, name: str, namespace: str, directory: Path) -> None:
        self.name = name
        self.namespace = namespace
        self.directory = directory  # of its files: logs, configurations
        self.processes: list[Process] = []
        self._started = 0

    @property
    def path(self) -> Path:
        """Return the namespace's file, for `nsenter --net=` and setns(2)."""
        return namespaces.DIRECTORY / self.namespace

    def argv(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs `command` inside; the process number stays the same."""
        return ["nsenter", f"--net={self.path}", "--", *map(str, command)]

    def run(
        self,
        command: Sequence[str],
        *,
        check: bool = True,
        timeout: float = 30,
        input: str | bytes | None = None,  # noqa: A002 - subprocess's own word
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a command inside to its end.

        Raises:
            LabError: it took longer than `timeout` seconds, or (with `check`) failed.
        """
        return run(self.argv(command), check=check, timeout=timeout, stdin=input, env=env)

    def python(
        self,
        *arguments: str,
        check: bool = True,
        timeout: float = 30,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run this very Python inside, as in `host.python("-m", "shunt.cli", "--help")`."""
        return self.run([sys.executable, *arguments], check=check, timeout=timeout, env=env)

    def start(
        self,
        command: Sequence[str],
        *,
        log: str | Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a command inside. Both streams go to `log`, a file in the host's directory."""
        self._started += 1
        name = log or f"{Path(command[0]).name}-{self._started}.log"
        process = Process(self.argv(command), log=self.directory / name, env=env)
        self.processes.append(process)
        return process

    def inside(self) -> AbstractContextManager[None]:
        """Put the calling thread inside while the block runs; see `namespaces.inside`."""
        return namespaces.inside(self.path)

    def call(self, function: Callable[[], T]) -> T:
        """Return `function()`, run inside by a thread of its own: its sockets stay inside."""
        return namespaces.call_in(self.path, function)

    def sysctl(self, key: str, value: str | None = None) -> str:
        """Set a kernel setting inside, if a value is given; return the value that holds.

        `key` is written with dots; an interface's name in it must have none.

        Raises:
            LabError: there is no such setting, or the kernel refuses the value.
        """
        path = Path("/proc/sys") / key.replace(".", "/")

        def body() -> str:
            if value is not None:
                path.write_text(value)
            return path.read_text().strip()

        try:
            return self.call(body)
        except OSError as error:
            raise LabError(f"{self.name}: {key} = {value}: {error.strerror}") from error

    def ip(self, *arguments: str) -> str:
        """Run iproute2's `ip` inside, as in `host.ip("link", "set", "eth0", "down")`.

        Raises:
            LabError: it failed; its words are in the message.
        """
        return run(["ip", "-n", self.namespace, *arguments]).stdout

    def route(self, destination: str, *, via: str | None = None, dev: str | None = None) -> None:
        """Add a route, as in `host.route("default", via="192.0.2.254")`.

        Raises:
            LabError: the kernel refuses it.
        """
        family = "-6" if ":" in destination or (via and ":" in via) else "-4"
        way = (["via", via] if via else []) + (["dev", dev] if dev else [])
        self.ip(family, "route", "add", destination, *way)

    def interface(self, name: str) -> Interface:
        """Return the interface as it is now.

        Raises:
            LabError: there is none of this name.
        """
        (found,) = json.loads(self.ip("-json", "-stats", "address", "show", "dev", name))
        stats = found["stats64"]
        rx, tx = stats["rx"], stats["tx"]
        return Interface(
            name=found["ifname"],
            index=found["ifindex"],
            mac=Mac.parse(found["address"]),
            addresses=tuple(
                ipaddress.ip_interface(f"{each['local']}/{each['prefixlen']}")
                for each in found["addr_info"]
            ),
            counters=Counters(rx["packets"], tx["packets"], rx["bytes"], tx["bytes"]),
        )

    def neighbour(self, address: Address | str) -> Mac | None:
        """Return the MAC that this host has learnt for an address, or None."""
        entries = json.loads(self.ip("-json", "neighbour", "show", str(address)) or "[]")
        macs = [entry["lladdr"] for entry in entries if "lladdr" in entry]
        return Mac.parse(macs[0]) if macs else None

    def flush_neighbours(self) -> None:
        """Forget every neighbour, so that the next packet asks anew."""
        self.ip("neighbour", "flush", "all")

    def write(self, name: str, text: str) -> Path:
        """Write a file of the host; return its path."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def stop_processes(self) -> None:
        """End every process that `start` has started, at once."""
        for process in self.processes:
            process.kill()
        self.processes.clear()

    def __repr__(self) -> str:
        return f"<Host {self.name} in {self.path}>"
