"""Whether what is pinned was made by a release whose maps this one understands.

Structs are compared map by map (`shunt.dataplane.maps`). Enumerations and the version of abi.h are
compared here, with the types that the kernel keeps of each map: a cause that is counted at another
place, or a flag that means something else, has the same layout.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import numpy as np

from shunt.dataplane.info import map_enums
from shunt.errors import DataplaneError, LayoutError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from shunt.dataplane.layouts import Layouts
    from shunt.dataplane.maps import Map
    from shunt.dataplane.pins import PinDirectory

Enums = dict[str, dict[str, int]]

ENUMS = (
    "cause", "track", "slot_special", "member_flags", "service_flags", "budget_kind",
    "address_flags",
)  # fmt: skip
"""Those whose values are kept in maps; a reason is told and forgotten."""

_VERSION, _KEY = "abi_version", "hash_key"
_RODATA = ".rodata"
_HINT = "It was made by another release of Shunt: `shunt down`, then `shunt up` with this one."


def pinned_key(pins: PinDirectory, name: str, layouts: Layouts) -> bytes:
    """Return the key of the flow hash, 16 bytes, once the version of abi.h is this release's.

    Args:
        pins: where the constants are pinned.
        name: their name there.
        layouts: this release's.

    Raises:
        LayoutError: it is another version.
        DataplaneError: no constants are pinned.
    """
    layouts.holder(_VERSION)  # raises where this release's object was not built from its sources
    with pins.open_map(name) as constants:
        found = constants.get(0)
    ours, theirs = int(layouts.initial(_RODATA)[_VERSION]), None
    if found.dtype.names is not None and {_VERSION, _KEY} <= set(found.dtype.names):
        theirs = int(found[_VERSION])
    if theirs != ours:
        told = "an older one" if theirs is None else theirs
        raise LayoutError(f"what is pinned has version {told}, this is {ours}", hint=_HINT)
    key: bytes = np.asarray(found[_KEY]).astype("<u8").tobytes()
    return key


def open_pinned(
    pins: PinDirectory, layouts: Layouts, names: Iterable[str], sized: Collection[str]
) -> dict[str, Map]:
    """Open pinned maps, if this release understands every one of them.

    Args:
        pins: where they are.
        layouts: this release's.
        names: of the maps.
        sized: names of those whose size is a matter of configuration.

    Raises:
        LayoutError: one is absent, or has another layout, size or meaning.
    """
    maps = {name: _open(pins, layouts, name) for name in names}
    for name, shared in maps.items():
        expected = layouts.maps[name].max_entries
        if name not in sized and shared.max_entries != expected:
            raise LayoutError(
                f"map {name} has {expected} entries here, {shared.max_entries} in the kernel",
                hint=_HINT,
            )
        if problem := difference({e: layouts.enum(e) for e in ENUMS}, map_enums(shared.fd)):
            raise LayoutError(f"map {name}: {problem}", hint=_HINT)
    return maps


def difference(ours: Enums, theirs: Enums) -> str | None:
    """Say the first difference of the enumerations that both know; None if there is none."""
    for enum in ours.keys() & theirs.keys():
        here, there = ours[enum], theirs[enum]
        for name in {**here, **there}:
            if here.get(name) != there.get(name):
                values = [each.get(name, "nothing") for each in (here, there)]
                return f"enum {enum}: {name} is {values[0]} here, {values[1]} in the kernel"
    return None


def _open(pins: PinDirectory, layouts: Layouts, name: str) -> Map:
    try:
        return pins.open_map(name, layouts.maps[name])
    except LayoutError:
        raise
    except DataplaneError as error:
        if error.errno != errno.ENOENT:
            raise
        raise LayoutError(f"no map {name} is pinned", hint=_HINT) from error
