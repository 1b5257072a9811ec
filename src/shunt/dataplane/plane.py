"""The data plane of one dispatcher: its maps with their names and types, its programs, its pins.

`Plane.start` makes everything anew; `Plane.take_over` opens what an earlier process left pinned,
puts this release's program in its place, and keeps the maps, so that no packet notices.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.dataplane.attach import Attachment, Mode, attach, query
from shunt.dataplane.grace import wait_for_packets
from shunt.dataplane.kernel import PER_CPU
from shunt.dataplane.layouts import REBUILD, Layouts
from shunt.dataplane.object import Object
from shunt.dataplane.release import open_pinned, pinned_key
from shunt.dataplane.sights import catch_up
from shunt.errors import LayoutError
from shunt.model.addresses import Address, packed16

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shunt.dataplane.maps import Map
    from shunt.dataplane.pins import PinDirectory
    from shunt.dataplane.program import Program

OBJECT = Path(__file__).with_name("shunt.bpf.o")
_RODATA = ".rodata"
_CONSTANTS = "constants"
_MAPS = (
    "services4", "services6", "addresses", "settings", "ports", "devices",
    "slots", "sights", "members", "tallies", "causes", "budgets", "decisions",
    "flows", "newcomers", "affinities", "fragments",
)  # fmt: skip
_PROGRAM, _TRACE = "shunt", "shunt_trace"
_SLOTS_IN_A_PAIR = 2
_LINK = "link_"
NANOSECONDS = 1_000_000_000
_CLOCK_MONOTONIC_COARSE = 6  # linux/time.h; Python does not name it


_FREE = 256  # entries of an LRU map for each possible CPU, at least


def lru_entries(wanted: int, cpus: int) -> int:
    """Return the size of an LRU map that holds as much as is wanted, and enough for its free lists.

    Kernels before June 2025 (Linux's commit d4adf1c9ee77) keep up to 128 free entries for each CPU,
    however small the map: then recent entries are recycled while it is nearly empty.

    Args:
        wanted: entries.
        cpus: possible ones.
    """
    return max(wanted, _FREE * cpus)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Entries of the maps whose size is a matter of configuration, or of the machine."""

    slots: int = 1 << 20
    members: int = 1 << 12
    flows: int = 1 << 20
    newcomers: int = 1 << 16
    affinities: int = 1 << 18
    fragments: int = 1 << 13
    ports: int = 1 << 10

    def on(self, cpus: int) -> Sizes:
        """Return sizes that suit a machine with so many possible CPUs."""
        lru = ("flows", "newcomers", "affinities", "fragments")
        return dataclasses.replace(
            self, **{name: lru_entries(getattr(self, name), cpus) for name in lru}
        )

    def by_map(self) -> dict[str, int]:
        """Return entries by map."""
        return {
            "slots": self.slots // _SLOTS_IN_A_PAIR,
            "sights": self.slots,
            "members": self.members,
            "tallies": self.members,
            "flows": self.flows,
            "newcomers": self.newcomers,
            "affinities": self.affinities,
            "fragments": self.fragments,
            "ports": self.ports,
        }


_SIZED = Sizes().by_map().keys()


def address_key(address: Address) -> NDArray[np.uint64]:
    """Return `struct address`: 16 bytes in network order as two words of this machine."""
    return np.frombuffer(packed16(address), np.uint64)


def address_of(halves: NDArray[np.uint64]) -> bytes:
    """Return the 16 bytes of a `struct address`."""
    return np.asarray(halves, np.uint64).tobytes()


@dataclass(slots=True)
class Plane:
    """Open maps and programs of one dispatcher.

    Attributes:
        layouts: structs and enumerations of abi.h.
        maps: every map by its name there.
        hash_key: 16 bytes, the key of the flow hash.
        links: attachments by interface name.
    """

    layouts: Layouts
    maps: Mapping[str, Map]
    program: Program
    trace: Program
    hash_key: bytes
    pins: PinDirectory
    links: dict[str, Attachment] = field(default_factory=dict)

    @classmethod
    def start(cls, pins: PinDirectory, sizes: Sizes, hash_key: bytes) -> Plane:
        """Load the data plane anew and pin it.

        Raises:
            LoadError: the kernel's verifier refused.
            DataplaneError: the kernel refused something else, such as the memory.
        """
        words = np.frombuffer(hash_key, "<u8")
        with Object.open(OBJECT, sizes=sizes.by_map(), constants={"hash_key": words}) as loading:
            loading.load()
            plane = cls._opened(loading, pins, hash_key)
            pins.pin(_CONSTANTS, loading.map(_RODATA))
        for name, shared in plane.maps.items():
            pins.pin(name, shared)
        plane._pin_programs()
        return plane

    @classmethod
    def take_over(cls, pins: PinDirectory) -> Plane:
        """Load this release's programs onto the pinned maps, and put them in place everywhere.

        Raises:
            LayoutError: the pinned maps are another release's; nothing was changed.
            DataplaneError: nothing usable is pinned, or the kernel refused.
        """
        plane, copied = cls._reload(pins, {}, {})
        plane._replace_everywhere(copied)
        pins.tidy()
        return plane

    @staticmethod
    def is_remnant(pins: PinDirectory) -> bool:
        """Say whether what is pinned was left by a start, or an end, that was cut off.

        Then something is missing, and no packet passes by what is there.
        """
        names = pins.names()
        if not names or names >= {_CONSTANTS, *_MAPS, _PROGRAM, _TRACE}:
            return False
        for name in names:
            if name.startswith(_LINK):
                with pins.open_link(name) as link:
                    if link.info().ifindex:
                        return False
        return True

    @classmethod
    def inspect(cls, pins: PinDirectory) -> Plane:
        """Open what is pinned and change nothing.

        Raises:
            LayoutError: the pinned maps are another release's.
            DataplaneError: nothing usable is pinned.
        """
        layouts = Layouts.read(OBJECT)
        key = pinned_key(pins, _CONSTANTS, layouts)
        maps = open_pinned(pins, layouts, _MAPS, _SIZED)
        program, trace = pins.open_program(_PROGRAM), pins.open_program(_TRACE)
        plane = cls(layouts, maps, program, trace, key, pins)
        plane._open_links()
        return plane

    def grown(self, sizes: Mapping[str, int]) -> Plane:
        """Return a plane with larger arrays, their content copied, in place of this one.

        Packets are forwarded all the while; what they count in the copied arrays during the
        few milliseconds of the change is lost, but not that a slot's elder was needed.

        Args:
            sizes: entries by map, at least as many as now.

        Raises:
            DataplaneError: the kernel refused; this plane goes on as it was.
        """
        larger, copied = type(self)._reload(self.pins, sizes, {n: self.maps[n] for n in sizes})
        larger._replace_everywhere(copied)
        return larger

    @classmethod
    def _reload(
        cls, pins: PinDirectory, sizes: Mapping[str, int], copied: Mapping[str, Map]
    ) -> tuple[Plane, Mapping[str, Map]]:
        """Return a plane that no packet uses yet, and the maps that some of its own copy."""
        layouts = Layouts.read(OBJECT)
        key = pinned_key(pins, _CONSTANTS, layouts)
        reuse = open_pinned(pins, layouts, _MAPS, _SIZED)
        sizes = {**_evened(reuse), **sizes}
        copied = {name: copied.get(name, reuse.pop(name)) for name in sizes}
        with Object.open(
            OBJECT,
            sizes=sizes,
            constants={"hash_key": np.frombuffer(key, "<u8")},
            reuse=reuse,
        ) as loading:
            loading.load()
            plane = cls._opened(loading, pins, key)
        for name, old in copied.items():
            _copy(old, plane.maps[name])
        plane._open_links()
        for name in sizes:
            pins.pin(name, plane.maps[name])
        return plane, copied

    @classmethod
    def _opened(cls, loading: Object, pins: PinDirectory, key: bytes) -> Plane:
        maps = {name: loading.map(name) for name in _MAPS}
        return cls(
            loading.layouts, maps, loading.program(_PROGRAM), loading.program(_TRACE), key, pins
        )

    def _open_links(self) -> None:
        for name in sorted(self.pins.names()):
            if not name.startswith(_LINK):
                continue
            link = self.pins.open_link(name)
            found = query(link.info().ifindex) if link.info().ifindex else None
            mode = found.mode if found and found.mode else Mode.GENERIC
            self.links[name.removeprefix(_LINK)] = Attachment(link, mode)

    def _replace_everywhere(self, copied: Mapping[str, Map]) -> None:
        """Let packets use these programs and maps; the old program wrote to `copied` until now."""
        old = copied.get("sights")
        sights = self.maps["sights"].view()[: old.max_entries if old else 0]
        before = sights.copy()
        for attachment in self.links.values():
            if attachment.link.info().ifindex:
                attachment.link.update(self.program)
        self._pin_programs()
        if old is not None:
            wait_for_packets()
            catch_up(before, old.view(), sights, self.now())

    def _pin_programs(self) -> None:
        self.pins.pin(_PROGRAM, self.program)
        self.pins.pin(_TRACE, self.trace)

    def attach(
        self,
        interface: str,
        ifindex: int,
        mode: Mode | None,
        *,
        replace: bool = False,
        avoid_native: str = "",
    ) -> Attachment:
        """Attach the program to an interface, and pin the attachment; kept if it is there already.

        Args:
            interface: its name.
            ifindex: its index.
            mode: None tries native and then generic.
            replace: take off whatever program of others is there.
            avoid_native: why native mode is not to be tried, if it is not.

        Raises:
            HostError: the interface carries someone else's program.
            DataplaneError: the kernel refused.
        """
        self._follow_name(interface, ifindex)
        mode = Mode.GENERIC if avoid_native else mode
        present = self.links.get(interface)
        if present is not None:
            if present.link.info().ifindex == ifindex and mode in (None, present.mode):
                return present
            self.detach(interface)
        attachment = attach(ifindex, self.program, mode, replace=replace)
        attachment = dataclasses.replace(
            attachment, native_refused=avoid_native or attachment.native_refused
        )
        self.pins.pin(_LINK + interface, attachment.link)
        self.links[interface] = attachment
        return attachment

    def _follow_name(self, interface: str, ifindex: int) -> None:
        """Let an interface that was renamed keep its attachment, under its new name."""
        for name, attachment in self.links.items():
            if name != interface and attachment.link.info().ifindex == ifindex:
                self.detach(interface)
                self.pins.rename(_LINK + name, _LINK + interface)
                self.links[interface] = self.links.pop(name)
                return

    def detach(self, interface: str) -> None:
        """Take the program off an interface; none there is fine."""
        attachment = self.links.pop(interface, None)
        if attachment is not None and attachment.link.info().ifindex:
            attachment.link.detach()
        self.pins.unpin(_LINK + interface)

    def remove(self) -> None:
        """Detach everywhere and unpin everything: the kernel forgets this dispatcher."""
        for interface in tuple(self.links):
            self.detach(interface)
        self.pins.remove()

    def now(self) -> int:
        """Return the data plane's clock: seconds of the coarse monotonic clock, and its offset."""
        settings = self.maps["settings"].get(0)
        begin = 0 if settings["clock_stopped"] else time.clock_gettime_ns(_CLOCK_MONOTONIC_COARSE)
        return (begin + int(settings["clock_offset"])) // NANOSECONDS

    def causes(self) -> dict[str, int]:
        """Return how many packets ended under each cause, over all CPUs."""
        names = [name.removeprefix("CAUSE_") for name in self.layouts.enum("cause")][:-1]
        _, counts = self.maps["causes"].items()
        totals = counts.sum(axis=1)
        return {name: int(totals[number]) for number, name in enumerate(names)}

    def record(self, struct: str, **fields: Any) -> Any:
        """Return a record of a struct of abi.h with these fields, the rest zero.

        Raises:
            LayoutError: the struct has no such field.
        """
        dtype = self.layouts.dtype(struct)
        made = np.zeros((), dtype)
        for name, value in fields.items():
            if dtype.names is None or name not in dtype.names:
                raise LayoutError(f"struct {struct} has no field {name!r}", hint=REBUILD)
            made[name] = value
        return made


def sentences(layouts: Layouts, kind: str) -> dict[str, str]:
    """Return the sentences of `enum cause` or `enum reason` by name, as abi.h has them."""
    prefix = kind.upper() + "_"
    names = [name.removeprefix(prefix) for name in layouts.enum(kind) if name.startswith(prefix)]
    return dict(zip(names, layouts.words(f"shunt.words.{kind}"), strict=True))


def _evened(maps: Mapping[str, Map]) -> dict[str, int]:
    """Return sizes of those maps that are smaller than the ones that they go with.

    A process that was killed while arrays grew may have left some of them large.
    """
    slots = max(maps["sights"].max_entries, maps["slots"].max_entries * _SLOTS_IN_A_PAIR)
    members = max(maps["tallies"].max_entries, maps["members"].max_entries)
    wanted = {
        "sights": slots, "slots": slots // _SLOTS_IN_A_PAIR, "tallies": members, "members": members,
    }  # fmt: skip
    return {name: size for name, size in wanted.items() if maps[name].max_entries < size}


def _copy(old: Map, new: Map) -> None:
    """Copy what both have room for."""
    both = min(old.max_entries, new.max_entries)
    if old.kind in PER_CPU or not old.mappable:
        keys, values = old.items()
        kept = keys < both
        new.update_batch(keys[kept], values[kept])
    else:
        new.view()[:both] = old.view()[:both]
