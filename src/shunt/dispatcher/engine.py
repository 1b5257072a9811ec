"""The dispatcher without its loop: configuration, neighbours and run-time changes to kernel state.

Every method that writes runs in the daemon's one worker thread.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from shunt.balance.tables import table_size
from shunt.dataplane.attach import Mode as AttachMode
from shunt.dataplane.maps import possible_cpus
from shunt.dataplane.pins import PinDirectory
from shunt.dataplane.plane import Plane, Sizes, address_key, lru_entries
from shunt.dispatcher import placing
from shunt.dispatcher.arena import power_of_two
from shunt.dispatcher.balancer import Balancer
from shunt.dispatcher.diagnoses import shared_macs
from shunt.dispatcher.interfaces import NONE_UNFIT, why_closed
from shunt.dispatcher.limited_log import LimitedLog
from shunt.dispatcher.overrides import NOTHING, Overrides
from shunt.dispatcher.snapshot import name_of
from shunt.dispatcher.surroundings import host_addresses
from shunt.dispatcher.whereabouts import Whereabouts
from shunt.dispatcher.wishes import Flag, Health, Way, watched, wishes
from shunt.errors import DataplaneError, LayoutError, ShuntError
from shunt.model.addresses import Mac, packed16, unpacked16
from shunt.model.config import Mode
from shunt.network.addresses import addresses
from shunt.network.links import Link, links

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shunt.dispatcher.diagnoses import Diagnosis
    from shunt.dispatcher.ledger import Place
    from shunt.dispatcher.places import Places
    from shunt.dispatcher.wishes import Wish
    from shunt.model.addresses import Address
    from shunt.model.config import Config, Dispatcher, Service
    from shunt.network.neighbours import Neighbour

_MODES = {Mode.AUTO: None, Mode.NATIVE: AttachMode.NATIVE, Mode.GENERIC: AttachMode.GENERIC}
log = structlog.get_logger()
_SAID_EACH, _SAID_FEW = 10.0, 10  # of what is probably wrong: strangers decide how often it changes
_MORE_PORTS = 64
_ROOM = 2  # arrays have room for so many times the slots and members of the first configuration


def sizes_for(config: Config, highest_ifindex: int, cpus: int) -> Sizes:
    """Return sizes of the maps that suit a configuration and leave room to grow."""
    slots = sum(table_size(len(service.members)) for service in _distinct(config))
    members = sum(max(8, power_of_two(2 * len(s.members))) for s in config.services)
    sticky = any(service.sticky for service in config.services)
    return Sizes(
        slots=power_of_two(max(1 << 17, _ROOM * slots)),
        members=power_of_two(max(1 << 10, _ROOM * members)),
        flows=config.dispatcher.exceptions,
        affinities=config.dispatcher.exceptions if sticky else 1 << 12,
        ports=power_of_two(highest_ifindex + _MORE_PORTS),
    ).on(cpus)


def _distinct(config: Config) -> list[Service]:
    return list({service.members: service for service in config.services}.values())


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the tables are made of, taken at one moment: the worker reads nothing that can change.

    Attributes:
        config, overrides, health: as in `Engine`.
        neighbours: what the neighbour table says of the watched addresses.
    """

    config: Config
    overrides: Overrides
    health: Mapping[tuple[str, str], Health]
    neighbours: Mapping[Address, Neighbour]


@dataclass(slots=True)
class Engine:
    """The data plane and all that decides about it.

    Attributes:
        config: in force.
        balancer: writes the tables.
        overrides: run-time changes in force.
        ways: how frames get to each server, by name; another mapping when something has changed.
        health: by (service name, server name).
        diagnoses: what is probably wrong with servers, by the last `apply`.
        fresh: the data plane was made anew, not taken over.
        limited: the log of what others than the operator decide.
    """

    config: Config
    balancer: Balancer
    fresh: bool
    overrides: Overrides = NOTHING
    ways: Mapping[str, Way] = field(default_factory=dict)
    health: dict[tuple[str, str], Health] = field(default_factory=dict)
    diagnoses: tuple[Diagnosis, ...] = ()
    limited: LimitedLog = field(default_factory=lambda: LimitedLog(_SAID_EACH, _SAID_FEW))
    _whereabouts: Whereabouts = field(default_factory=Whereabouts)
    _apart: frozenset[frozenset[Place]] = frozenset()
    _kept: frozenset[str] = frozenset()

    @classmethod
    def open(cls, config: Config, places: Places, overrides: Overrides) -> Engine:
        """Take over what is pinned, or start anew.

        Raises:
            HostError: no bpf filesystem.
            LoadError, LayoutError, DataplaneError: the kernel refused.
        """
        places.bpffs.mkdir(parents=True, exist_ok=True)
        if Plane.is_remnant(PinDirectory(places.pins)):
            PinDirectory(places.pins).remove()
        pins = PinDirectory.make(places.pins, mount_point=places.bpffs)
        fresh = not pins.names()
        if fresh:
            highest = max(link.index for link in links())
            key = config.dispatcher.secret or secrets.token_bytes(16)
            try:
                plane = Plane.start(pins, sizes_for(config, highest, possible_cpus()), key)
            except BaseException:
                pins.remove()
                raise
        else:
            plane = Plane.take_over(pins)
        _check_flags(plane)
        engine = cls(config, Balancer(plane), fresh, overrides)
        engine._remember_ways()
        return engine

    @property
    def plane(self) -> Plane:
        """Return the data plane in use."""
        return self.balancer.plane

    def _remember_ways(self) -> None:
        """After a take-over: until the neighbours answer, servers are where the members say."""
        members = self.plane.maps["members"].view()
        for placed in self.balancer.placed.values():
            for identity, local in placed.table.locals.items():
                row = members[placed.members.base + local]
                if row["flags"] & Flag.READY:
                    way = Way(Mac(row["mac"].tobytes()), int(row["ifindex"]))
                    self._whereabouts.remember(unpacked16(identity), way)
        self.ways = self._whereabouts.by_server(self.config)

    def watched(self) -> tuple[Address, ...]:
        """Return the addresses whose MACs are needed, those of leaving servers included."""
        return self._watched(self.config)

    def _watched(self, config: Config) -> tuple[Address, ...]:
        leaving = (unpacked16(identity) for identity in self.balancer.leaving())
        return tuple(dict.fromkeys((*watched(config), *leaving)))

    def inputs(self, neighbours: Mapping[Address, Neighbour]) -> Inputs:
        """Return what `apply` shall go by; for the thread that sets what is in it."""
        return Inputs(self.config, self.overrides, self.health, neighbours)

    def apply(self, inputs: Inputs) -> int:
        """Bring the kernel's tables up to date; return how many slots changed hands.

        Args:
            inputs: taken when this was asked for. Meanwhile a reload may have set others.

        Raises:
            DataplaneError: the kernel refused; applying again goes on from there.
        """
        config = inputs.config
        self._whereabouts.learn(inputs.neighbours, self._watched(config))
        ways = self._whereabouts.by_server(config)
        if ways != self.ways:
            self.ways = ways
        wished = wishes(config, inputs.overrides, ways, inputs.health)
        self._write_ports(config)
        moved = self.balancer.apply(wished, self._whereabouts.by_identity())
        self.diagnose(config)
        self._say_what_is_kept(config)
        self._say_what_is_apart(wished)
        return moved

    def diagnose(self, config: Config) -> None:
        """Look for what is probably wrong with servers; log what is new, few lines of it."""
        found = shared_macs(config, self.ways)
        for diagnosis in found:
            if diagnosis not in self.diagnoses:
                self.limited.warning("servers", problem=diagnosis.text, services=diagnosis.services)
        self.diagnoses = found

    def kept(self) -> list[str]:
        """Return what is in force otherwise than the configuration says, until `shunt down`."""
        return self._kept_of(self.config)

    def _kept_of(self, config: Config) -> list[str]:
        sticky = [
            f"sticky of {name_of(placed.place)}"
            for placed in tuple(self.balancer.placed.values())
            if placed.hashed_as_before
        ]
        return [*kept(config, self.plane), *sticky]

    def _say_what_is_kept(self, config: Config) -> None:
        found = frozenset(self._kept_of(config))
        for difference in sorted(found - self._kept):
            log.warning(
                "kept from before; `shunt down`, then `shunt up` changes it", what=difference
            )
        self._kept = found

    def _say_what_is_apart(self, wished: Sequence[Wish]) -> None:
        found = placing.apart(wished, self.balancer.placed)
        for group in found - self._apart:
            log.warning(
                "affinity is not shared by these services",
                services=sorted(name_of(place) for place in group),
                because="they have different servers, or did not begin together: give them the "
                "same servers; `shunt down`, then `shunt up` joins them",
            )
        self._apart = found

    def write_addresses(self) -> None:
        """Tell the program the cluster addresses, and what it must know of the host's own."""
        config, flags = self.config, self.plane.layouts.enum("address_flags")
        wanted = dict.fromkeys(
            config.cluster_addresses, flags["ADDRESS_CLUSTER"] | flags["ADDRESS_ACTIVE"]
        )
        for address, flag in host_addresses(config, addresses()).items():
            wanted.setdefault(address, flags[flag])
        shared = self.plane.maps["addresses"]
        keys = {packed16(address): value for address, value in wanted.items()}
        for key in list(shared.keys()):
            if key["halves"].tobytes() not in keys:
                shared.delete(key)
        for address, value in wanted.items():
            shared.put(_address(self.plane, address), value)

    def _write_ports(self, config: Config) -> None:
        """Tell the program the MACs of the interfaces that frames come in and leave by."""
        by_index = {link.index: link for link in links()}
        needed = {way.ifindex for way in self._whereabouts.by_identity().values()} - {0}
        needed |= {
            link.index for link in by_index.values() if link.name in config.dispatcher.interfaces
        }
        self._make_room_for_ports(max(needed & by_index.keys(), default=0))
        ports, devices = self.plane.maps["ports"], self.plane.maps["devices"]
        for index in needed & by_index.keys():
            mac = by_index[index].mac
            if mac is None:
                continue
            record = self.plane.record("port", mac=list(mac.octets), enabled=1)
            if ports.get(index) != record:
                ports.put(index, record)
            if devices.get(index) is None:
                try:
                    devices.put(index, index)
                except DataplaneError:
                    if index in {link.index for link in links()}:
                        raise
                    # It went away since it was listed; frames for it have no way in any case.

    def _make_room_for_ports(self, highest: int) -> None:
        """Let the ports' array reach an interface's index: each new interface has a higher one."""
        if highest >= self.plane.maps["ports"].max_entries:
            sizes = {"ports": power_of_two(highest + _MORE_PORTS)}
            self.balancer.plane = self.plane.grown(sizes)

    def attach(
        self, interfaces: tuple[Link, ...], settings: Dispatcher, *, replace: bool = False
    ) -> None:
        """Attach to these interfaces and to no others; natively only where frames can leave.

        Args:
            interfaces: where to.
            settings: of the configuration.
            replace: take off whatever program of others is there.

        Raises:
            HostError: an interface carries someone else's program.
            DataplaneError: the kernel refused.
        """
        refused = self.attach_each(interfaces, settings, replace=replace)
        for error in refused.values():
            raise error
        self.detach_others(settings)

    def attach_each(
        self,
        interfaces: tuple[Link, ...],
        settings: Dispatcher,
        unfit: Mapping[str, str] = NONE_UNFIT,
        *,
        replace: bool = False,
    ) -> dict[str, ShuntError]:
        """Attach to each of these interfaces, whatever befalls the others.

        Args:
            interfaces: where to.
            settings: of the configuration.
            unfit: interfaces that native mode does not suit, each with the reason.
            replace: take off whatever program of others is there.

        Returns:
            Why not, by name, for those where it could not be.

        Raises:
            DataplaneError: the settings could not be written.
        """
        mode = _MODES[settings.mode]
        self.balancer.change_settings(exceptions_rate=settings.exceptions_rate)
        for link in interfaces[:1]:
            self.balancer.change_settings(trace_ifindex=link.index)
        refused: dict[str, ShuntError] = {}
        for link in interfaces:
            try:
                avoid = unfit.get(link.name) or why_closed(link) if mode is None else ""
                self.plane.attach(link.name, link.index, mode, replace=replace, avoid_native=avoid)
            except ShuntError as error:
                refused[link.name] = error
        return refused

    def detach_others(self, settings: Dispatcher) -> None:
        """Leave the interfaces that the configuration does not name.

        Raises:
            DataplaneError: the kernel refused.
        """
        for name in self.plane.links.keys() - set(settings.interfaces):  # not one that went away
            self.plane.detach(name)

    def attached(self) -> dict[str, int]:
        """Return the indices of the interfaces that carry the program, by name."""
        return {name: each.link.info().ifindex for name, each in self.plane.links.items()}


def kept(config: Config, plane: Plane) -> list[str]:
    """Return what a data plane that was taken over has otherwise than the configuration says."""
    wished, flows = config.dispatcher, plane.maps["flows"].max_entries
    found = []
    if wished.secret not in (None, plane.hash_key):
        found.append("dispatcher.secret")
    if lru_entries(wished.exceptions, possible_cpus()) != flows:
        found.append(f"dispatcher.exceptions: {flows}, the file says {wished.exceptions}")
    return found


def _address(plane: Plane, address: Address) -> Any:
    record = plane.record("address")
    record["halves"] = address_key(address)
    return record


def _check_flags(plane: Plane) -> None:
    """Compare the flags that Python names with those of abi.h."""
    kernels = plane.layouts.enum("member_flags")
    for flag in Flag:
        if kernels.get(f"MEMBER_{flag.name}") != flag.value:
            raise LayoutError(f"member flag {flag.name} is not {flag.value} in the data plane")
