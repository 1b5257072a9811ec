"""A data plane of its own for benchmarks: services put in place by the real balancer."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hatch_build import FLAGS, system_headers

from shunt.dataplane.object import Object
from shunt.dataplane.pins import PinDirectory, unmount_bpffs
from shunt.dataplane.plane import Plane, Sizes
from shunt.dispatcher.balancer import Balancer
from shunt.dispatcher.wishes import Claim, Flag, Wish
from shunt.model.addresses import Address, Mac, packed16
from shunt.model.config import Member, Protocol, Service, Sticky, Track

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = Path(__file__).with_name("programs")
OWN = Mac.parse("02:00:00:00:00:02")
LOOPBACK = 1  # the interface that BPF_PROG_TEST_RUN pretends by default


@contextmanager
def plane(sizes: Sizes, key: bytes = bytes(range(16))) -> Iterator[Balancer]:
    """Make a data plane, pinned in a directory that goes away with it."""
    with tempfile.TemporaryDirectory(prefix="shunt-bench-") as name:
        root = Path(name)
        pins = PinDirectory.make(root / "shunt", mount_point=root)
        try:
            balancer = Balancer(Plane.start(pins, sizes, key))
            balancer.plane.maps["ports"].put(
                LOOPBACK, balancer.plane.record("port", mac=list(OWN.octets), enabled=1)
            )
            balancer.change_settings(exceptions_rate=1 << 30)
            yield balancer
            balancer.plane.remove()
        finally:
            unmount_bpffs(root)


def claim(number: int, weight: int = 10, flags: Flag = Flag.READY) -> Claim:
    """Return a server's claim; the server's number makes its address and MAC."""
    address = ip_address(0x0A000000 + number)
    mac = Mac(bytes([2, 1]) + number.to_bytes(4, "big"))
    return Claim(f"s{number}", packed16(address), weight, weight, flags, mac, LOOPBACK, None)


def service(
    address: str,
    port: int,
    claims: tuple[Claim, ...],
    protocol: Protocol = Protocol.TCP,
    *,
    track: Track = Track.AUTO,
    sticky: Sticky | None = None,
) -> Wish:
    """Return a wish for a service with these servers."""
    members = tuple(Member(claim.server, claim.configured) for claim in claims)
    made = Service(
        "bench", ip_address(address), protocol, port, members, track=track, sticky=sticky
    )
    return Wish(made, claims)


def compiled(source: str) -> Path:
    """Compile a program of bench/programs; return the object."""
    target = Path(tempfile.gettempdir()) / f"shunt-bench-{source}.o"
    command = ["clang", *FLAGS, *system_headers(), "-Wno-unused-parameter",
               "-c", str(PROGRAMS / f"{source}.bpf.c"), "-o", str(target)]  # fmt: skip
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"bench: clang refused {source}.bpf.c")
    return target


@dataclass(slots=True)
class Carousel:
    """Feeds programs with frames of many flows; see programs/carousel.bpf.c."""

    loaded: Object

    @classmethod
    def load(cls, flows: int = 1024) -> Carousel:
        """Compile and load it; `flows`: room in the flow table of its `table` program."""
        return cls(Object.open(compiled("carousel"), sizes={"flows": flows}).load())

    def know(self, address: Address, protocol: Protocol, port: int) -> None:
        """Let the `lookup` program find a service, too."""
        shared = self.loaded.map(f"services{address.version}")
        key = np.zeros((), shared.key)
        key["address"] = np.frombuffer(address.packed, key["address"].dtype.base)
        key["port"], key["protocol"] = port, protocol.number
        shared.put(key, 1)

    def fill(self, frame: bytes, flows: int, *, version: int) -> None:
        """Set the frame (80 bytes) and the number of flows."""
        belt = self.loaded.map("belts")
        value = np.zeros((), belt.value)
        value["flows"] = flows
        value["address_at"] = 28 if version == 4 else 36
        value["port_at"] = 34 if version == 4 else 54
        value["frame"] = np.frombuffer(frame.ljust(80, b"\0")[:80], np.uint64)
        belt.put(0, value)
