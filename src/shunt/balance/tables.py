"""A service's slot table: which server takes the flows that hash into each slot.

The table depends on the key, the size and the set of servers with their weights: not on their
order, not on earlier tables, not on the machine. Every dispatcher with one configuration has the
same. Its shares are the weights, within 1 % or a slot; a change moves few slots more than the
change of the weights demands. `quotas.py` says how many slots each server gets, `arrivals.py`
which it would like, `prices.py` which it gets; docs/decisions/0002-slot-tables.md has the figures.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from shunt.balance.arrivals import draw
from shunt.balance.prices import clear
from shunt.balance.quotas import quotas
from shunt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NONE = 0xFFFF
LEAST, MOST = 1 << 10, 1 << 20
KEY_BYTES = 16
MANY = 0xFFFE  # servers; the two numbers above have a meaning of their own in a slot


@dataclass(frozen=True, slots=True)
class Share:
    """A server's claim to slots: an identity that never changes, and its weight (0 to 65,535)."""

    identity: bytes
    weight: int


def table_size(servers: int) -> int:
    """Return a number of slots, a power of two, that suits a service of so many servers.

    16,384 up to 16 servers: made in a third of the time of 65,536, and small in a processor's
    caches; 65,536 up to 128. Above, the slots grow with the square of the servers, since luck in
    the spread of a leaving server's slots weighs as servers / sqrt(slots), up to 2^20.

    A table of another size is an unrelated one. So count the configured servers, also those that
    are down or have no weight; then only a changed configuration can change the size.
    """
    if servers <= 16:
        return 1 << 14
    return min(MOST, max(1 << 16, 1 << (4 * servers * servers - 1).bit_length()))


def build(servers: Sequence[Share], size: int, key: bytes) -> NDArray[np.uint16]:
    """Return the table: for each slot the index into `servers`, NONE if all weights are 0.

    Every server with a weight gets at least one slot.

    Args:
        servers: up to 65,534, with different identities, in any order.
        size: a power of two from 2^10 to 2^20, at least the number of servers with a weight.
        key: 16 secret bytes; another key gives an unrelated table.

    Raises:
        UsageError: the arguments are not as said here.
    """
    _check(servers, size, key)
    seeds = {
        int.from_bytes(blake2b(server.identity, digest_size=8, key=key).digest(), "little"): index
        for index, server in enumerate(servers)
        if server.weight
    }
    if not seeds:
        return np.full(size, NONE, dtype=np.uint16)
    seed = np.array(sorted(seeds), dtype=np.uint64)
    index = np.array([seeds[number] for number in sorted(seeds)], dtype=np.uint16)
    weights = np.array([servers[place].weight for place in index], dtype=np.int64)
    weights //= np.gcd.reduce(weights)
    wanted = quotas(weights, size, seed)
    return index[clear(draw(seed, weights, wanted.rounded, size), wanted, size)]


def _check(servers: Sequence[Share], size: int, key: bytes) -> None:
    if not LEAST <= size <= MOST or size & (size - 1):
        raise UsageError(
            f"a slot table has a power of two from {LEAST} to {MOST} slots, not {size}"
        )
    if len(key) != KEY_BYTES:
        raise UsageError(f"the key of the slot tables has {KEY_BYTES} bytes, not {len(key)}")
    if len(servers) > MANY:
        raise UsageError(f"{len(servers)} servers in one service; at most {MANY} are possible")
    for server in servers:
        if not 0 <= server.weight <= 0xFFFF:
            raise UsageError(f"weight {server.weight} is not from 0 to 65535")
    twice = [
        who for who, times in Counter(server.identity for server in servers).items() if times > 1
    ]
    if twice:
        raise UsageError(f"two servers of one service have the identity {twice[0]!r}")
    weighted = sum(server.weight > 0 for server in servers)
    if weighted > size:
        raise UsageError(
            f"{weighted} servers do not fit into {size} slots",
            hint=f"take a table of {table_size(weighted)} slots",
        )
