"""Which addresses tell an alias with a wide mask: only a server that swallowed them answers there.

Linux takes every address of an alias's network for its own (`local NETWORK dev lo`, in the table
local), unless a longer route says otherwise: the segment's own does, and a route that somebody
set. So a mask is asked for beside the cluster address and outside of the segment, and the page's
255.0.0.0 at the boundary of the address's class.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from ipaddress import IPv4Network, IPv6Network

    from shunt.model.addresses import Address

    Network = IPv4Network | IPv6Network

# Of IPv6, Linux makes nothing local but the address itself; a local route for a prefix does.
_BITS6 = (0, 1, 8, 16, 32, 48, 63, 64, 80)
_PATTERNS = (0x2AAAAAAA, 0x15555555)
# Outside of every segment, in either half of the addresses: one is beyond any mask. TEST-NET-2
# (RFC 5737), and the end of the carriers' shared space (RFC 6598).
_FAR = (IPv4Address("198.51.100.77"), IPv4Address("100.127.255.77"))


def beside(address: Address, held: Collection[Address] = ()) -> tuple[Address, ...]:
    """Return the addresses next to `address`, one at least in the network of every mask.

    In a network of four or less the neighbour may be an end of it (the network's own or its
    broadcast address), which nobody answers for: the one across is asked as well. None is of
    `held`, what the server has by right.
    """
    flips = (1, 3) if int(address) & 3 in (1, 2) and address.version == 4 else (1,)
    others = ([flip, *(4 << more | flip for more in range(4))] for flip in flips)
    free = (next((a for a in _flipped(address, each) if a not in held), None) for each in others)
    return tuple(each for each in free if each is not None)


def across(address: Address, held: Collection[Address] = ()) -> tuple[Address, ...]:
    """Return the one address of `beside` that tells the most: of all masks, or of all but /31."""
    return beside(address, held)[-1:]


def around(address: Address, network: Network | None) -> tuple[Address, ...]:
    """Return addresses outside of the segment's `network`, within wider ones.

    The nearest, and the farthest within the network that the address's class gives (RFC 791
    section 3.2): the mask of those who name none.
    """
    if network is None or address not in network or not isinstance(address, IPv4Address):
        return ()
    nearest, boundary = 32 - network.prefixlen, 31 - _class_prefix(address)
    bits = dict.fromkeys(bit for bit in (nearest, boundary) if nearest <= bit < 32)
    return tuple(_flipped(address, [1 << bit for bit in bits]))


def every(address: Address, held: Collection[Address] = ()) -> tuple[Address, ...]:
    """Return an address for every mask: in its network, and in none of a longer one."""
    bits = range(32) if isinstance(address, IPv4Address) else _BITS6
    found = dict.fromkeys((*beside(address, held), *_flipped(address, [1 << bit for bit in bits])))
    return tuple(each for each in found if each not in held)


def witnesses(address: Address, answered: Collection[Address]) -> tuple[Address, ...]:
    """Return two more addresses for each that answered, apart from the cluster address like it.

    A network answers for them, too; a second alias that happens to be near does not.
    """
    flips: dict[int, None] = {}
    for each in answered:
        bit = _distance(address, each)
        if bit > 1:
            flips |= dict.fromkeys(1 << bit | ((1 << bit) - 1 & pattern) for pattern in _PATTERNS)
    return tuple(_flipped(address, flips))


def proven(address: Address, answered: Collection[Address]) -> bool:
    """Say whether the addresses that answered are a network, and not a few aliases more.

    A network of four is so small that this cannot be told.
    """
    distances = Counter(_distance(address, each) for each in answered)
    return any(count > 1 for bit, count in distances.items() if bit > 1)


def _distance(address: Address, other: Address) -> int:
    return (int(address) ^ int(other)).bit_length() - 1


def network_of(address: Address, swallowed: Collection[Address]) -> Network:
    """Return the smallest network with the address and all that was swallowed with it."""
    longest = max((int(address) ^ int(each)).bit_length() for each in swallowed)
    return ip_network((address, address.max_prefixlen - longest), strict=False)


def far_askers(networks: Collection[Network]) -> tuple[IPv4Address, ...]:
    """Return senders that are beyond a segment and, one of them, beyond any alias's network."""
    return tuple(far for far in _FAR if not any(far in network for network in networks))


def remote(address: Address, sources: Collection[Address]) -> Address | None:
    """Return the source with the fewest leading bits of `address`: in the fewest networks of it."""
    same = [source for source in sources if source.version == address.version]
    return max(same, key=lambda source: (int(source) ^ int(address)).bit_length(), default=None)


def _class_prefix(address: IPv4Address) -> int:
    first = address.packed[0]
    return 8 if first < 128 else 16 if first < 192 else 24


def _flipped(address: Address, flips: Collection[int]) -> Iterator[Address]:
    kind = type(address)
    for flip in flips:
        other = kind(int(address) ^ flip)
        unusable = other.is_multicast or other.is_loopback or other.is_unspecified
        # "This network" is no destination; the limited broadcast is everybody's.
        if isinstance(other, IPv4Address):
            unusable = unusable or other.packed[0] == 0 or other == IPv4Address(0xFFFFFFFF)
        if isinstance(other, IPv6Address):
            unusable = unusable or other.is_link_local
        if not unusable:
            yield other
