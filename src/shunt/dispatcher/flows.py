"""The remembered flows, for people to look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shunt.dataplane.plane import address_key, address_of
from shunt.dispatcher.snapshot import name_of
from shunt.dispatcher.sweep_maps import FLOWS
from shunt.model.addresses import unpacked16

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from shunt.dataplane.maps import Map
    from shunt.dispatcher.balancer import Balancer
    from shunt.model.addresses import Address

MOST = 10_000  # flows that are listed in one reply; all are counted
_BATCH = 1 << 14


@dataclass(frozen=True, slots=True)
class Filter:
    """Which flows are meant: None and the empty text mean all."""

    service: str = ""
    server: str = ""
    client: Address | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Index:
    """What numbers in the maps of flows stand for, of one moment.

    Attributes:
        services: names by number.
        servers: names by (service's number, local number).
        maps: of flows; reading them disturbs nobody.
        now: seconds of the data plane's clock.
    """

    services: Mapping[int, str]
    servers: Mapping[tuple[int, int], str]
    maps: tuple[Map, ...]
    now: int

    @classmethod
    def of(cls, balancer: Balancer, names: Mapping[bytes, str]) -> Index:
        """Return it; for the thread that writes."""
        placed = balancer.placed.values()
        servers = {
            (each.number, local): names.get(identity) or str(unpacked16(identity))
            for each in placed
            for identity, local in each.table.locals.items()
        }
        maps = tuple(balancer.plane.maps[name] for name in FLOWS)
        services = {each.number: name_of(each.place) for each in placed}
        return cls(services, servers, maps, balancer.plane.now())


def flows(index: Index, wanted: Filter) -> dict[str, Any]:
    """Return how many remembered flows each server of each service has, and the first few of them.

    For any thread: a million flows take a while, and no writing waits for them.

    Raises:
        DataplaneError: the kernel did not tell.
    """
    services, servers, now = index.services, index.servers, index.now
    counts: Counter[tuple[str, str]] = Counter()
    shown: list[dict[str, Any]] = []
    for keys, values in _remembered(index):
        mine = _of_client(keys, wanted.client)
        pairs, which = np.unique(
            values["service"][mine].astype(np.uint64) << np.uint64(16) | values["member"][mine],
            return_inverse=True,
        )
        rows = np.flatnonzero(mine)
        for place, pair in enumerate(pairs.tolist()):
            number, local = pair >> 16, pair & 0xFFFF
            service = services.get(number, "gone")
            server = servers.get((number, local), "gone")
            if wanted.service not in ("", service) or wanted.server not in ("", server):
                continue
            chosen = rows[which == place]
            counts[service, server] += len(chosen)
            shown += [
                _row(keys[row], values[row], service, server, now)
                for row in chosen[: max(0, wanted.limit - len(shown))]
            ]
    return {
        "counts": [
            {"service": service, "server": server, "flows": count}
            for (service, server), count in sorted(counts.items())
        ],
        "total": sum(counts.values()),
        "flows": shown,
    }


def _remembered(index: Index) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    for each in index.maps:
        yield from each.items_batch(_BATCH)


def budgets(balancer: Balancer) -> dict[str, dict[str, int]]:
    """Return what was remembered anew, and what was refused for its rate, since the start.

    By kind: `flows` (seen for the first time), `newcomers` (flows refused at first that have spoken
    again), `affinities` (clients), `pings` (answered); each has `recorded` and `refused`. A flow
    that was refused and not spared (docs/tracking.md) went where unknown flows go: none breaks.

    Raises:
        DataplaneError: the kernel did not tell.
    """
    kinds = balancer.plane.layouts.enum("budget_kind")
    counts = balancer.plane.maps["budgets"]
    return {
        kind.removeprefix("BUDGET_").lower(): {
            name: int(counts.get(number)[name].sum()) for name in ("recorded", "refused")
        }
        for kind, number in kinds.items()
        if kind != "BUDGETS"
    }


def _of_client(keys: NDArray[Any], client: Address | None) -> NDArray[np.bool_]:
    if client is None:
        return np.ones(len(keys), np.bool_)
    halves: NDArray[np.uint64] = keys["client"]["halves"]
    matches: NDArray[np.bool_] = (halves == address_key(client)).all(axis=1)
    return matches


def _row(key: Any, value: Any, service: str, server: str, now: int) -> dict[str, Any]:
    return {
        "client": str(unpacked16(address_of(key["client"]["halves"]))),
        "client_port": int(key["client_port"]),
        "service": service,
        "server": server,
        "idle": max(0, now - int(value["seen"])),
        "closed": bool(value["closed"]),
    }
