"""A laboratory: hosts and segments, made from nothing and removed without a trace.

    with Lab.create() as lab:
        lab.segment("lan")
        client = lab.host("client")
        lab.join(client, "lan", addresses=["192.0.2.1/24", "2001:db8::1/64"])
        client.run(["ping", "-c1", "192.0.2.2"])

A host is a network namespace `shunt-<id>-<host>`. A segment is a bridge in a namespace of its own,
so nothing is ever made in the host machine's. A small process (`reaper.py`) watches the owner and
removes the laboratory when the owner dies, in whatever way.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from shunt.errors import HostError, LabError, UsageError
from shunt.lab import namespaces, ownership, reaper
from shunt.lab.host import Host
from shunt.lab.processes import run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from shunt.model.addresses import Mac

_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
_IDENT = re.compile(r"[a-z0-9]{1,16}")
_BRIDGE = "br0"
_OFFLOADS = (
    "rx", "tx", "sg", "tso", "gso", "gro",
    "rxvlan", "txvlan", "rx-vlan-stag-hw-parse", "tx-vlan-stag-hw-insert",
)  # fmt: skip
_RECORD = "lab.json"


@dataclass(frozen=True, slots=True)
class Port:
    """The segment's side of a host's link: the namespace's file, and the port's name in it."""

    namespace: Path
    interface: str


@dataclass(frozen=True, slots=True)
class Description:
    """A laboratory as its record has it: what `shunt lab list` shows."""

    ident: str
    state: str  # "in use": its owner lives; "kept"; "orphan": the owner died, removal is due
    hosts: dict[str, list[str]] = field(default_factory=dict)  # name -> its addresses
    segments: list[str] = field(default_factory=list)


class Lab:
    """A laboratory. Use `create` for a new one, `open` for one that stands."""

    def __init__(self, ident: str, *, lock: int | None, keep: bool) -> None:
        self.ident = ident
        self.dir = reaper.BASE / ident
        self.hosts: dict[str, Host] = {}
        self.segments: dict[str, Host] = {}
        self._ports: dict[tuple[str, str], Port] = {}
        self._addresses: dict[str, list[str]] = {}
        self._lock = lock
        self._keep = keep

    @classmethod
    def create(cls, name: str | None = None, *, keep: bool = False) -> Lab:
        """Make an empty laboratory under a name, or under a new one that nobody has.

        With `keep` it outlives a `with` block that ends well; `down` removes it later.

        Raises:
            HostError: not root, or the kernel has no namespaces for us.
            LabError: a laboratory of this name stands already.
        """
        _require_root()
        ident = name or secrets.token_hex(3)
        if not _IDENT.fullmatch(ident):
            raise UsageError(
                f"{ident!r} cannot name a laboratory", hint="up to 16 lower-case letters and digits"
            )
        lock = ownership.take(ident)
        if lock is not None and (reaper.BASE / ident).exists():  # it is kept: nobody holds its lock
            os.close(lock)
            lock = None
        if lock is None:
            raise LabError(
                f"a laboratory {ident!r} stands already",
                hint=f"`shunt lab down {ident}` removes it",
            )
        lab = cls(ident, lock=lock, keep=keep)
        try:
            lab.dir.mkdir()
            ownership.watch(ident)
            lab.bpf.mkdir()
            run(["mount", "-t", "bpf", "bpf", str(lab.bpf)])
            lab._record()
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def open(cls, ident: str) -> Lab:
        """Return a laboratory that stands, to look inside or to remove it; its owner stays.

        Raises:
            LabError: there is none of this name.
        """
        record = _read_record(ident)
        if record is None:
            there = ", ".join(each.ident for each in cls.standing()) or "none"
            raise LabError(f"no laboratory {ident!r} stands here", hint=f"there is: {there}")
        return cls._from_record(ident, record)

    @classmethod
    def _from_record(cls, ident: str, record: dict[str, Any]) -> Lab:
        lab = cls(ident, lock=None, keep=False)
        for name, addresses in record["hosts"].items():
            lab.hosts[name] = lab._host(name)
            lab._addresses[name] = addresses
        lab.segments = {name: lab._host(name) for name in record["segments"]}
        lab._ports = {
            (host, interface): Port(lab.segments[segment].path, port)
            for host, interface, segment, port in record["ports"]
        }
        return lab

    @classmethod
    def standing(cls) -> list[Description]:
        """Return the laboratories that stand on this machine, by name."""
        records = {ident: _read_record(ident) for ident in reaper.idents()}
        return [
            cls._from_record(ident, record).describe()
            for ident, record in records.items()
            if record
        ]

    @classmethod
    def sweep(cls) -> list[str]:
        """Remove the laboratories whose owner died and that are not kept; return their names.

        Raises:
            HostError: not root.
            LabError: something would not go.
        """
        _require_root()
        removed = []
        for ident in reaper.idents():
            lock = ownership.take(ident)
            if lock is None:
                continue
            if not (reaper.BASE / ident / reaper.KEPT).exists():
                _remove(ident)
                removed.append(ident)
            os.close(lock)
        return removed

    @property
    def bpf(self) -> Path:
        """Return a BPF filesystem of the laboratory's own, for pins."""
        return self.dir / "bpf"

    def host(self, name: str) -> Host:
        """Return the host of this name; made, with only a loopback, if there is none yet.

        Raises:
            LabError: the kernel refuses, or a segment has the name.
        """
        if name in self.hosts:
            return self.hosts[name]
        host = self._make(name)
        self.hosts[name] = host
        self._addresses[name] = []
        self._record()
        return host

    def segment(self, name: str) -> None:
        """Make a segment: an Ethernet switch without a will of its own, in a namespace of its own.

        Raises:
            LabError: the name is taken, or the kernel refuses.
        """
        switch = self._make(name)
        namespaces.silence(switch.path)
        switch.ip(
            "link", "add", _BRIDGE, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0"
        )
        switch.ip("link", "set", _BRIDGE, "up")
        self.segments[name] = switch
        self._record()

    def join(
        self,
        host: Host,
        segment: str,
        *,
        interface: str = "eth0",
        addresses: Iterable[str] = (),
        mac: Mac | str | None = None,
    ) -> Port:
        """Plug a host into a segment by a new interface; return the segment's port.

        `addresses` have their prefix lengths. Both ends do without offloads, so that the frames are
        such as a wire carries.

        Raises:
            LabError: the kernel refuses a name or an address.
        """
        switch = self.segments[segment]
        port = self._free_port_name(switch, host.name)
        own = ["address", str(mac)] if mac else []
        switch.ip(
            *("link", "add", "name", port, "type", "veth"),
            *("peer", "name", interface, *own, "netns", host.namespace),
        )
        switch.ip("link", "set", "dev", port, "master", _BRIDGE, "up")
        host.ip("link", "set", "dev", interface, "up")
        for address in addresses:
            flags = ["nodad"] if ":" in address else []
            host.ip("address", "add", address, "dev", interface, *flags)
            self._addresses[host.name].append(address)
        off = [word for feature in _OFFLOADS for word in (feature, "off")]
        host.run(["ethtool", "-K", interface, *off])
        switch.run(["ethtool", "-K", port, *off])
        self._ports[host.name, interface] = Port(switch.path, port)
        self._record()
        return self._ports[host.name, interface]

    def peer_port(self, host: Host, interface: str = "eth0") -> Port:
        """Return the segment's side of the host's link.

        Raises:
            LabError: the host has no such interface on a segment.
        """
        try:
            return self._ports[host.name, interface]
        except KeyError:
            raise LabError(f"{host.name} has no link {interface!r} on a segment") from None

    def keep(self) -> None:
        """Let the laboratory stand when its owner leaves; `shunt lab down` removes it."""
        self._keep = True
        (self.dir / reaper.KEPT).touch()

    def down(self) -> None:
        """Remove all of it: processes, namespaces, mounts, files. What is gone already is no error.

        Raises:
            HostError: not root.
            LabError: something would not go.
        """
        _require_root()
        for host in self.hosts.values():
            host.stop_processes()
        _remove(self.ident)
        self._release()

    def describe(self) -> Description:
        """Return what the laboratory consists of and whether its owner lives."""
        if (self.dir / reaper.KEPT).exists():
            state = "kept"
        elif self._lock is not None or ownership.is_taken(self.ident):
            state = "in use"
        else:
            state = "orphan"
        return Description(self.ident, state, dict(self._addresses), sorted(self.segments))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._keep and error is None:
            self.keep()
            self._release()
        else:
            self.down()

    def _host(self, name: str) -> Host:
        return Host(name, f"shunt-{self.ident}-{name}", self.dir / name)

    def _make(self, name: str) -> Host:
        if not _NAME.fullmatch(name) or name == self.bpf.name:
            raise UsageError(
                f"{name!r} cannot name a host or a segment",
                hint="a letter, then up to 11 lower-case letters and digits",
            )
        if name in self.hosts or name in self.segments:
            raise LabError(f"the laboratory has a {name!r} already")
        host = self._host(name)
        host.directory.mkdir()
        namespaces.make(host.namespace)
        return host

    def _free_port_name(self, switch: Host, wanted: str) -> str:
        taken = {port.interface for port in self._ports.values() if port.namespace == switch.path}
        candidates = (f"{wanted}{number}" for number in range(2, 1000))
        return (
            wanted
            if wanted not in taken
            else next(name for name in candidates if name not in taken)
        )

    def _record(self) -> None:
        names = {host.path: name for name, host in self.segments.items()}
        record = {
            "hosts": self._addresses,
            "segments": sorted(self.segments),
            "ports": [
                [host, interface, names[port.namespace], port.interface]
                for (host, interface), port in self._ports.items()
            ],
        }
        fresh = self.dir / f".{_RECORD}"
        fresh.write_text(json.dumps(record))
        fresh.rename(self.dir / _RECORD)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}  # linux/capability.h


def _require_root() -> None:
    missing = [name for name, bit in _CAPABILITIES.items() if not _effective() >> bit & 1]
    if os.geteuid() or missing:
        lacks = f", with {' and '.join(missing)}" if missing and not os.geteuid() else ""
        raise HostError(
            f"a laboratory needs root{lacks}: it is made of network namespaces",
            hint="use sudo; in a container, one that may make namespaces and mounts",
        )


def _effective() -> int:
    """Return this process's effective capabilities as a bit set (proc_pid_status(5))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _read_record(ident: str) -> dict[str, Any] | None:
    """Return what the laboratory consists of; None if there is none, or not yet, or no more."""
    try:
        found: dict[str, Any] = json.loads((reaper.BASE / ident / _RECORD).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found


def _remove(ident: str) -> None:
    try:
        reaper.remove(ident)
    except OSError as error:
        raise LabError(
            f"laboratory {ident!r} would not go: {error}",
            hint=f"try `shunt lab down {ident}` again",
        ) from error
