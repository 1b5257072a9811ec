"""Slot tables as others build them: the baselines of `bench.tables`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.uint16]

_ENDGAME = 2048  # free slots from which Maglev's tables are filled one by one
PRIMES = {1 << 14: 16_411, 1 << 16: 65_537, 1 << 20: 1_048_583}


def _bits(seed: NDArray[np.uint64] | np.uint64, counter: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits: NDArray[np.uint64] = (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + seed
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def maglev(weights: list[int], size: int) -> Table:
    """Return the Maglev table (Eisenbud et al., NSDI 2016, section 3.4) of the next prime size.

    Weights are turns: a server takes one when its weights have added up to the largest weight.
    Servers of one round propose at once; where two meet, the first one has the slot.
    """
    prime = PRIMES[size]
    weight = np.array(weights, dtype=np.int64)
    names = np.arange(len(weights), dtype=np.uint64)
    offset = (_bits(np.uint64(1), names) % np.uint64(prime)).astype(np.int64)
    skip = (_bits(np.uint64(2), names) % np.uint64(prime - 1)).astype(np.int64) + 1
    table = np.full(prime, len(weights), dtype=np.uint16)
    credit = np.zeros(len(weights), dtype=np.int64)
    place = offset.copy()
    left = prime
    while left > _ENDGAME:
        credit += weight
        turn = np.flatnonzero(credit >= weight.max())
        credit[turn] -= weight.max()
        left -= len(turn)
        while len(turn):
            place[turn] = (place[turn] + skip[turn]) % prime
            free = turn[table[place[turn]] == len(weights)]
            _, first = np.unique(place[free], return_index=True)
            winners = free[first]
            table[place[winners]] = winners
            turn = np.setdiff1d(turn, winners, assume_unique=True)
    _finish(table, weight, credit, place, skip)
    return table


def _finish(
    table: Table,
    weight: NDArray[np.int64],
    credit: NDArray[np.int64],
    place: NDArray[np.int64],
    skip: NDArray[np.int64],
) -> None:
    """Hand out the last free slots one by one: how many skips away each is can be calculated."""
    free = np.flatnonzero(table == len(weight))
    inverse = np.array([pow(int(step), -1, len(table)) for step in skip])
    away = (free[None, :] - place[:, None]) * inverse[:, None] % len(table)
    left = len(free)
    while left:
        credit += weight
        for server in np.flatnonzero(credit >= weight.max())[:left]:
            credit[server] -= weight.max()
            nearest = int(np.argmin(away[server]))
            table[free[nearest]] = server
            away[:, nearest] = len(table)
            left -= 1


def rendezvous(weights: list[int], size: int) -> Table:
    """Return the table of weighted rendezvous hashing (Thaler and Ravishankar, 1998).

    The slot goes to the server of the least -ln(uniform) / weight.
    """
    slots = np.arange(size, dtype=np.uint64)
    least = np.full(size, np.inf)
    table = np.zeros(size, dtype=np.uint16)
    for server, weight in enumerate(weights):
        if weight:
            uniform = (
                _bits(_bits(np.uint64(3), np.uint64(server) + slots[:1]), slots)
            ) >> np.uint64(11)
            score = -np.log((uniform + 1.0) / (1 << 53)) / weight
            better = score < least
            table[better] = server
            least[better] = score[better]
    return table
