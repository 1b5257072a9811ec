"""The probe path: sockets with a mark reach a cluster address at the server that the mark names.

Nothing of it is pinned: the classifier leaves the interfaces when the process ends, in whatever way
(on kernels before 6.6, which lack tcx, when it ends in order, or by `take_off_orphans`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from shunt.dataplane.layouts import Layouts
from shunt.dataplane.object import Object
from shunt.dataplane.tc import TcAttachment, attach_tc, take_off_orphan
from shunt.errors import DataplaneError, HostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shunt.dataplane.maps import Map
    from shunt.dataplane.program import Program
    from shunt.errors import ShuntError
    from shunt.model.addresses import Mac

OBJECT = Path(__file__).with_name("probe.bpf.o")
_PROGRAM = "shunt_probe"


@functools.cache
def marks() -> range:
    """Return the marks that can lead to servers, by number.

    Raises:
        HostError: the object is not built.
        LayoutError: it cannot be read.
    """
    words = Layouts.read(OBJECT).enum("probe_marks")
    return range(words["PROBE_MARK"], words["PROBE_MARK"] + words["PROBE_SERVERS"])


@dataclass(frozen=True, slots=True)
class ProbeWay:
    """How frames get to a server: its MAC, the MAC of the interface, and the interface's index."""

    server: Mac
    own: Mac
    ifindex: int


class Probe:
    """The loaded classifier, its table, and where it is attached."""

    def __init__(self, layouts: Layouts, program: Program, ways: Map) -> None:
        self._layouts = layouts
        self._program = program
        self._table = ways
        self._ways: dict[int, ProbeWay] = {}
        self._attached: dict[int, TcAttachment] = {}

    @classmethod
    def load(cls) -> Self:
        """Put the classifier into the kernel; it is attached nowhere yet.

        Raises:
            LoadError, DataplaneError: the kernel refused.
            HostError: no permission, or the object is not built.
        """
        with Object.open(OBJECT) as loading:
            loading.load()
            return cls(loading.layouts, loading.program(_PROGRAM), loading.map("ways"))

    def route(self, ways: Mapping[int, ProbeWay]) -> None:
        """Let marks lead to these servers, by number, and others nowhere.

        Raises:
            DataplaneError: the kernel refused.
        """
        for number in self._ways.keys() - ways.keys():
            self._table.delete(number)
            del self._ways[number]
        for number, way in ways.items():
            if self._ways.get(number) != way:
                self._table.put(number, self._record(way))
                self._ways[number] = way

    def attach(self, interfaces: Iterable[int]) -> dict[int, ShuntError]:
        """Be at the way out of these interfaces, and of no others.

        Returns:
            Why the kernel refused, by interface; it is at the others.

        Raises:
            DataplaneError: it could not leave an interface.
        """
        wanted = set(interfaces)
        for index in self._attached.keys() - wanted:
            self._attached.pop(index).detach()
        refused: dict[int, ShuntError] = {}
        for index in wanted - self._attached.keys():
            try:
                self._attached[index] = attach_tc(index, self._program)
            except (DataplaneError, HostError) as error:
                refused[index] = error
        return refused

    def close(self) -> None:
        """Leave every interface and the kernel."""
        self.attach(())
        self._program.close()
        self._table.close()

    def _record(self, way: ProbeWay) -> Any:
        record = np.zeros((), self._layouts.dtype("probe_way"))
        record["server"] = list(way.server.octets)
        record["own"] = list(way.own.octets)
        record["ifindex"] = way.ifindex
        return record


def take_off_orphans(interfaces: Iterable[int]) -> bool:
    """Take off the classifiers that killed processes left; return whether there were any.

    Raises:
        DataplaneError: the kernel refused.
    """
    found = [take_off_orphan(index, _PROGRAM) for index in interfaces]
    return True in found
