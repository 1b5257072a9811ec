"""The real programs in the kernel, on maps that a real balancer fills with what a test wishes.

Nothing is attached and nothing is sent: the kernel runs the programs on made frames. Frames come in
by interface 1, which is what the kernel takes if it is not told otherwise.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shunt.dataplane.kernel import Verdict
from shunt.dataplane.pins import PinDirectory, mount_bpffs, unmount_bpffs
from shunt.dataplane.plane import NANOSECONDS, Plane, Sizes, address_key
from shunt.dataplane.testrun import run, run_batch
from shunt.dispatcher.balancer import Balancer
from shunt.dispatcher.wishes import Claim, Flag
from shunt.model.addresses import Mac, packed16
from shunt.model.config import Protocol, Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shunt.dataplane.testrun import Batch
    from shunt.model.addresses import Address

INTERFACE = 1
OWN = Mac.parse("02:00:00:00:00:01")
HASH_KEY = bytes(range(16))
BEGIN = 1_000_000  # the second that it is when a world is made
SMALL = Sizes(slots=1 << 19, members=1 << 9, flows=1 << 12, affinities=1 << 10, ports=256)


@dataclass(frozen=True, slots=True)
class Server:
    """A server as the data plane knows it; `mac` None: not known."""

    name: str
    mac: Mac | None
    address: Address
    ifindex: int = INTERFACE

    @classmethod
    def numbered(cls, number: int, ifindex: int = INTERFACE) -> Server:
        """Return server 10.0.0.`number`."""
        return cls(
            f"s{number}",
            Mac(b"\x02\0\0\0\x0a" + bytes([number])),
            ip_address(f"10.0.0.{number}"),
            ifindex,
        )

    def claim(self, weight: int = 1, flags: Flag = Flag.READY) -> Claim:
        """Return the server's claim to a service's flows."""
        return Claim(
            server=self.name,
            identity=packed16(self.address),
            weight=weight,
            configured=weight,
            flags=flags if self.mac else flags & ~Flag.READY,
            mac=self.mac or Mac(bytes(6)),
            ifindex=self.ifindex,
            reason=None,
        )


def service(address: str, port: int, protocol: Protocol = Protocol.TCP, **options: Any) -> Service:
    """Return a service; who its servers are is a matter of claims."""
    return Service("test", ip_address(address), protocol, port, members=(), **options)


class Tally(NamedTuple):
    """`struct tally` over all CPUs, or a difference of two."""

    packets: int
    bytes: int
    opened: int
    closed: int
    loops: int = 0


class Sent(NamedTuple):
    """What became of one frame, and what it was counted as."""

    verdict: Verdict
    frame: bytes
    cause: str


class Decision(NamedTuple):
    """What the tracing program says about one frame; the fields of `struct decision`."""

    hash: int
    cause: str
    reason: str
    slot: int
    member: int
    matched: int


@dataclass
class World:
    """A data plane of the test's own.

    Attributes:
        balancer: writes the tables; its plane is the one in use.
    """

    balancer: Balancer

    @classmethod
    @contextlib.contextmanager
    def made(cls, folder: Path, sizes: Sizes = SMALL) -> Iterator[World]:
        """Make a world with its own bpf filesystem in `folder`; all of it goes at the end."""
        mount_point = folder / "bpf"
        mount_point.mkdir()
        mount_bpffs(mount_point)
        try:
            plane = Plane.start(
                PinDirectory.make(mount_point / "pins", mount_point=mount_point), sizes, HASH_KEY
            )
            world = cls(Balancer(plane))
            world.port(INTERFACE, OWN)
            world.settings(exceptions_rate=1 << 20, trace_ifindex=INTERFACE)
            world.begin()
            yield world
        finally:
            unmount_bpffs(mount_point)

    @property
    def plane(self) -> Plane:
        return self.balancer.plane

    # What the daemon would write.

    def port(self, ifindex: int, mac: Mac, *, enabled: bool = True) -> None:
        record = self.plane.record("port", mac=list(mac.octets), enabled=int(enabled))
        self.plane.maps["ports"].put(ifindex, record)

    def settings(self, **fields: int) -> None:
        self.balancer.change_settings(**fields)

    def address(self, address: str, *flags: str) -> None:
        """Write an address with flags of `enum address_flags`."""
        numbers = self.plane.layouts.enum("address_flags")
        key = self.plane.record("address")
        key["halves"] = address_key(ip_address(address))
        self.plane.maps["addresses"].put(key, sum(numbers[f"ADDRESS_{flag}"] for flag in flags))

    def begin(self) -> None:
        """Let it be the first second, in which nothing was remembered or refused."""
        self.settings(clock_stopped=1, clock_offset=BEGIN * NANOSECONDS, newcomers=0, settling=0)
        kinds, spent = self.plane.maps["budgets"].items()
        self.plane.maps["budgets"].update_batch(kinds, np.zeros_like(spent))

    def wait(self, seconds: int) -> None:
        """Let time pass for the data plane; nothing else does, for its clock stands."""
        offset = int(self.plane.maps["settings"].get(0)["clock_offset"])
        self.settings(clock_offset=offset + seconds * NANOSECONDS)

    def restart(self) -> None:
        """Forget all but the maps, as a daemon that was killed."""
        self.balancer = Balancer(self.plane)

    def upgrade(self) -> None:
        """Put the program anew in place of itself, as a daemon of another release."""
        self.balancer = Balancer(Plane.take_over(self.plane.pins))

    def forget(self, name: str) -> None:
        """Empty a map that the program writes."""
        self.plane.maps[name].delete_batch(self.plane.maps[name].items()[0])

    # Frames.

    def send(self, frame: bytes, *, ifindex: int = 0, first_buffer: int | None = None) -> Sent:
        """Run the program on a frame; exactly one cause must have grown, by one."""
        before = self._causes()
        result = run(self.plane.program, frame, ifindex=ifindex, first_buffer=first_buffer)
        grown = self._causes() - before
        assert grown.sum() == 1, f"one packet was counted as {self._named(grown)}"
        return Sent(Verdict(result.verdict), result.frame, self._names["cause"][grown.argmax()])

    def send_counting(self, frame: bytes) -> tuple[Sent, dict[str, Tally]]:
        """Do the same, and return what each server's tallies grew by, where they did."""
        before = self._tallies()
        sent = self.send(frame)
        grown = self._tallies() - before
        return sent, {
            name: Tally(*grown[row].tolist())
            for row, name in self._members().items()
            if grown[row].any()
        }

    def send_many(
        self, frames: NDArray[np.uint8], lengths: Sequence[int] | NDArray[np.integer[Any]]
    ) -> tuple[Batch, Counter[str]]:
        """Run the program on many frames; return what became of them, and the causes counted."""
        before = self._causes()
        batch = run_batch(self.plane.program, frames, lengths)
        return batch, self._named(self._causes() - before)

    def trace(self, frame: bytes) -> Decision:
        """Ask the tracing program."""
        run(self.plane.trace, frame)
        said = self.plane.maps["decisions"].get(0)
        hashed, cause, reason, slot, member, matched = (
            int(said[name]) for name in Decision._fields
        )
        names = self._names
        return Decision(
            hashed, names["cause"][cause], names["reason"][reason], slot, member, matched
        )

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """Return the names of causes and reasons, in the order of their numbers."""
        enums = {kind: self.plane.layouts.enum(kind) for kind in ("cause", "reason")}
        return {
            kind: [
                name.removeprefix(f"{kind.upper()}_") for name in sorted(enum, key=enum.__getitem__)
            ][:-1]
            for kind, enum in enums.items()
        }

    def _causes(self) -> NDArray[np.int64]:
        """Return what `Plane.causes` does, by one read that is cheap enough for every frame."""
        ((_, counts),) = self.plane.maps["causes"].items_batch(len(self._names["cause"]))
        return np.asarray(counts.sum(axis=1), np.int64)

    def _named(self, counts: NDArray[np.int64]) -> Counter[str]:
        return +Counter(dict(zip(self._names["cause"], counts.tolist(), strict=True)))

    def _tallies(self) -> NDArray[np.int64]:
        _, tallies = self.plane.maps["tallies"].items()
        return np.stack([tallies[name].sum(axis=1) for name in Tally._fields], 1).astype(np.int64)

    def _members(self) -> dict[int, str]:
        """Return whose tally each row is."""
        return {
            placed.members.base + local: next(
                claim.server for claim in placed.claims if claim.identity == identity
            )
            for placed in self.balancer.placed.values()
            for identity, local in placed.table.locals.items()
        }
