"""The wire: two namespaces, one veth pair, frames of established flows, and the count of arrivals.

wire: sw0 (sender and sink)  -  director: eth0 (one-armed, as in direct return)
"""

from __future__ import annotations

import ctypes
import re
import socket
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shunt.dataplane.attach import Attachment, Mode, attach
from shunt.dataplane.libbpf import RunOptions, checked, libbpf
from shunt.dataplane.object import Object
from shunt.lab import namespaces
from shunt.lab.processes import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from shunt.dataplane.program import Program
    from shunt.lab.processes import Completed

PROGRAMS = Path("/mnt/wire.bpf.o")
CLUSTER = IPv4Address("192.0.2.10")
OWN, CLIENT_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
SERVERS = {f"192.0.2.{20 + number}": f"02:00:00:00:01:{number:02x}" for number in range(1, 11)}
FLOWS = 131_072  # room for frames
BATCH = 64
WARM_UP = 16 * BATCH
SYN, ACK = 0x02, 0x10
_LIVE_FRAMES = 1 << 1  # BPF_F_TEST_XDP_LIVE_FRAMES
_DIRECTOR, _WIRE = "director", "wire"


def frames(flows: int, flags: int) -> NDArray[np.uint8]:
    """Return (flows, 64) bytes: a frame of each flow, with right checksums and without payload."""
    number = np.arange(flows)
    made = np.zeros((flows, 64), np.uint8)
    made[:, :6] = list(bytes.fromhex(OWN.replace(":", "")))
    made[:, 6:12] = list(bytes.fromhex(CLIENT_MAC.replace(":", "")))
    words = np.zeros((flows, 20), np.int64)  # IPv4 and TCP as 16-bit words
    words[:, :6] = [0x4500, 40, 1, 0x4000, 0x4006, 0]
    words[:, 6], words[:, 7] = 0xC612, number >> 14  # 198.18.0.0 and on
    words[:, 8], words[:, 9] = divmod(int(CLUSTER), 1 << 16)
    words[:, 10], words[:, 11] = 1024 + (number & 16383), 80
    words[:, 12:16] = [0, 1, 0, 1]
    words[:, 16], words[:, 17] = 5 << 12 | flags, 1024
    words[:, 5] = _checksum(words[:, :10].sum(axis=1))
    pseudo = words[:, 6:10].sum(axis=1) + 6 + 20  # addresses, protocol, length (RFC 9293, 3.1)
    words[:, 18] = _checksum(pseudo + words[:, 10:].sum(axis=1))
    made[:, 12:14] = [8, 0]
    made[:, 14:54] = words.astype(">u2").view(np.uint8).reshape(flows, 40)
    return made


def _checksum(total: NDArray[np.int64]) -> NDArray[np.int64]:
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass
class Wire:
    """One pair of namespaces with its programs; `director` runs what is measured."""

    loaded: Object
    _sent: int = 0
    _attached: list[Attachment] = field(default_factory=list)

    @property
    def director(self) -> Path:
        """Return the director's namespace."""
        return namespaces.DIRECTORY / _DIRECTOR

    def ip(self, *words: str) -> None:
        """Run `ip` in the director's namespace."""
        run(["ip", "-n", _DIRECTOR, *words])

    def command(self, *words: str, stdin: str = "", check: bool = True) -> Completed:
        """Run a command in the director's namespace."""
        with namespaces.inside(self.director):
            return run(words, stdin=stdin, check=check, timeout=600)

    def setting(self, name: str, value: str) -> None:
        """Set a sysctl of the director's namespace."""
        with namespaces.inside(self.director):
            Path("/proc/sys/net", name).write_text(value)

    def attach(self, program: str) -> None:
        """Put one of our programs on the director's interface, natively."""
        self._attach(_DIRECTOR, "eth0", program)

    def send(self, made: NDArray[np.uint8], count: int) -> float:
        """Send frames, which take turns, and `count` of them between two looks at the clock.

        Returns:
            Nanoseconds of the machine's clock, which are instructions, for each frame.
        """
        flows = len(made)
        total = WARM_UP + count + BATCH
        self._send(made, total, WARM_UP, WARM_UP + count)
        state = self.loaded.map("runs").get(0)
        assert int(state["sent"]) == total, f"{state['sent']} of {total} frames were sent"
        assert flows <= FLOWS
        return float(int(state["ended"]) - int(state["began"])) / count

    def begin(self, made: NDArray[np.uint8]) -> None:
        """Send each frame once, without taking the time: connections are made, caches filled."""
        self._send(made, len(made), 1 << 62, 1 << 62)

    def _send(self, made: NDArray[np.uint8], total: int, since: int, until: int) -> None:
        keys = np.arange(len(made), dtype=np.uint32)
        room = self.loaded.map("frames")
        room.update_batch(keys, made.view(room.value).reshape(len(made)))
        runs = self.loaded.map("runs")
        state = np.zeros((), runs.value)
        state["flows"], state["from"], state["to"] = len(made), since, until
        runs.put(0, state)
        self._sent += total
        with namespaces.inside(namespaces.DIRECTORY / _WIRE):
            _live(self.loaded.program("sender"), total)

    def sent(self) -> int:
        """Return how many frames were sent since the wire was made."""
        return self._sent

    def arrived(self) -> dict[int, int]:
        """Return how many frames came back, by the last byte of the MAC that they were sent to."""
        keys, counts = self.loaded.map("arrived").items()
        return {int(key): int(count) for key, count in zip(keys, counts, strict=True) if count}

    def dropped(self) -> int:
        """Return how many frames the director's program dropped."""
        words = self.command("ethtool", "-S", "eth0").stdout
        return sum(int(count) for count in re.findall(r"rx_queue_\d+_xdp_drops: (\d+)", words))

    def _attach(self, namespace: str, interface: str, program: str) -> None:
        with namespaces.inside(namespaces.DIRECTORY / namespace):
            made = attach(index_of(interface), self.loaded.program(program), Mode.NATIVE)
        self._attached.append(made)


def index_of(interface: str) -> int:
    """Return the index of an interface of the calling thread's namespace."""
    return socket.if_nametoindex(interface)


def _live(program: Program, repeat: int) -> None:
    frame = (ctypes.c_char * 64)()
    options = RunOptions(sz=ctypes.sizeof(RunOptions))
    options.data_in, options.data_size_in = ctypes.addressof(frame), 60
    options.repeat, options.flags, options.batch_size = repeat, _LIVE_FRAMES, BATCH
    checked(libbpf().bpf_prog_test_run_opts(program.fd, options), "send live frames")


@contextmanager
def standing() -> Iterator[Wire]:
    """Make the namespaces, the pair and the sink; remove them at the end."""
    for name in (_WIRE, _DIRECTOR):
        namespaces.make(name)
    namespaces.silence(namespaces.DIRECTORY / _WIRE)
    try:
        run(["ip", "-n", _DIRECTOR, "link", "add", "eth0", "address", OWN, "type", "veth",
             "peer", "name", "sw0", "address", CLIENT_MAC, "netns", _WIRE])  # fmt: skip
        run(["ip", "-n", _WIRE, "link", "set", "sw0", "up"])
        wire = Wire(Object.open(PROGRAMS, sizes={"frames": FLOWS}).load())
        wire.ip("address", "add", "192.0.2.2/24", "dev", "eth0")
        for address, mac in SERVERS.items():
            wire.ip("neighbour", "add", address, "lladdr", mac, "dev", "eth0", "nud", "permanent")
        wire.ip("link", "set", "eth0", "up")
        wire._attach(_WIRE, "sw0", "sink")  # noqa: SLF001 - a part of its making
        with namespaces.inside(namespaces.DIRECTORY / _WIRE):
            wire.loaded.map("wire").put(0, index_of("sw0"))
        yield wire
    finally:
        for name in (_DIRECTOR, _WIRE):
            run(["ip", "netns", "delete", name])
