"""Which addresses of the segment the verifier may borrow: nobody's, chosen at random.

At random, so that no server still remembers an address from an earlier run: a server that has to
ask who that is shows in whose name it asks.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Interface
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Iterable, Mapping
    from ipaddress import IPv4Interface

    from shunt.model.addresses import Address

CANDIDATES = 6  # of each IP version; four of them are used


def home(
    interfaces: Iterable[IPv4Interface | IPv6Interface], wanted: Iterable[Address], version: int
) -> IPv4Interface | IPv6Interface | None:
    """Return the interface address in whose network to borrow.

    The network that holds most of the `wanted` addresses; among equals a routable one.
    """
    own = [each for each in interfaces if each.version == version]
    targets = [address for address in wanted if address.version == version]

    def worth(each: IPv4Interface | IPv6Interface) -> tuple[int, bool]:
        return sum(target in each.network for target in targets), not each.is_link_local

    return max(own, key=worth, default=None)


def refusal(
    address: Address,
    interfaces: Iterable[IPv4Interface | IPv6Interface],
    taken: Mapping[Address, str],
) -> str | None:
    """Return why an address must not be borrowed, None if it may if nobody objects.

    `taken` has the words for those that have an owner. What is borrowed is announced: an owner
    would lose its traffic.
    """
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        return "it is no machine's address"
    if address in taken:
        return taken[address]
    networks = [each.network for each in interfaces if address in each.network]
    if not networks:
        return "it is not in the interface's network"
    for network in networks:
        ends = {network.network_address}
        if network.version == 4:
            ends.add(network.broadcast_address)
        if network.num_addresses > 2 and address in ends:
            return "it is the network's own or its broadcast address"
    return None


def candidates(
    where: IPv4Interface | IPv6Interface, avoid: Collection[Address], chance: random.Random
) -> tuple[Address, ...]:
    """Return up to `CANDIDATES` host addresses of the network, none of `avoid`, in random order.

    A half of them is from either half of a big network.
    """
    network = where.network
    kind: type[IPv4Address | IPv6Address] = IPv4Address
    first, last = int(network.network_address), int(network.broadcast_address)
    if isinstance(where, IPv6Interface):
        kind, first = IPv6Address, first + 1  # the network's own is the routers' anycast address
    elif network.num_addresses > 2:
        first, last = first + 1, last - 1
    size = last - first + 1
    if size <= 4 * CANDIDATES + len(avoid):
        every = [kind(number) for number in range(first, last + 1)]
        chance.shuffle(every)
        return tuple(a for a in every if a not in avoid)[:CANDIDATES]
    found: dict[Address, None] = {}
    half, begin = size // 2, chance.randrange(2)
    while len(found) < CANDIDATES:
        upper = (len(found) + begin) % 2
        address = kind(first + upper * half + chance.randrange(half))
        if address not in avoid:
            found[address] = None
    return tuple(found)


def choose(
    offered: Mapping[int, tuple[Address, ...]],
    taken: Collection[Address],
    clusters: Collection[Address] = (),
) -> tuple[dict[int, Address], ...]:
    """Return, by IP version, the borrowed addresses as an `Identity` has them.

    They are the one for packets, the one that asks by ARP, a spare one, and one for doubts. With
    one free address only, the first two are the same; with none, the version is left out.
    Packets come from as far from all of the `clusters` as can be, by leading bits: a server whose
    alias has a wide mask sends nothing to what lies in the alias's network. The spare one is far
    from the first, for a network that holds that one.
    """

    def nearness(address: Address) -> int:
        same = (int(each) ^ int(address) for each in clusters if each.version == address.version)
        return max((128 - number.bit_length() for number in same), default=0)

    packets: dict[int, Address] = {}
    asker: dict[int, Address] = {}
    spare: dict[int, Address] = {}
    doubts: dict[int, Address] = {}
    for version, addresses in offered.items():
        free = sorted((each for each in addresses if each not in taken), key=nearness)
        if free:
            packets[version] = free[0]
            asker[version] = free[1] if len(free) > 1 else free[0]
        if len(free) > 2:
            first = int(free[0])
            spare[version] = max(free[2:], key=lambda each: (int(each) ^ first).bit_length())
        if len(free) > 3:
            doubts[version] = next(each for each in free[2:] if each != spare[version])
    return packets, asker, spare, doubts
