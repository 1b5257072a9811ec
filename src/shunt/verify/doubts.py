"""What is asked where something seems wrong, so that its possible causes are told apart."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from shunt.verify import wide
from shunt.verify.ledger import Key, Purpose
from shunt.verify.phase import Outgoing
from shunt.verify.reading import STRANGERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shunt.verify.questions import Questions
    from shunt.verify.subject import Cluster
    from shunt.verify.wide import Network

ROUNDS = 3
GAP = 0.3  # seconds between rounds
_EVERY_MASK = 400  # frames that ask for every mask at once; with more, for those that tell most
_MANY = 100  # pairs, of which each is asked for one address beside its own only
_OF_A_CROWD = 2  # MACs that are looked into; nobody is behind most of them


def twice(frames: Iterable[bytes]) -> tuple[Outgoing, ...]:
    """Return the frames, each of them once, and all of them again."""
    once = tuple(dict.fromkeys(frames))
    return tuple(Outgoing(frame, GAP * turn) for turn in range(2) for frame in once)


def is_small(ask: Questions) -> bool:
    """Whether every mask can be asked for at once, and again."""
    return len(ask.subject.pairs) * 32 <= _EVERY_MASK


def every_mask(ask: Questions) -> tuple[Outgoing, ...]:
    """Return the frames that a server answers if its alias has a wide mask, whichever it is."""
    return twice(
        frame
        for server, cluster in ask.subject.pairs
        for frame in ask.wide(
            server, cluster, wide.every(cluster.address, ask.reading.held(server))
        )
    )


def telling_masks(ask: Questions) -> Iterator[bytes]:
    """Yield, of many servers, those of these frames that tell the most.

    For each pair what lies beside its address, and once what lies outside of the segment: that is
    the same network for all cluster addresses of a server.
    """
    beside = wide.beside if len(ask.subject.pairs) <= _MANY else wide.across
    outside: set[tuple[str, Network]] = set()
    for server, cluster in ask.subject.pairs:
        address = cluster.address
        yield from ask.wide(server, cluster, beside(address, ask.reading.held(server)))
        for network in ask.reading.networks:
            if address in network and (server.name, network) not in outside:
                outside.add((server.name, network))
                yield from ask.wide(server, cluster, wide.around(address, network))


def confirmed(ask: Questions) -> Iterator[bytes]:
    """Yield the questions for all masks to those who have answered one of them."""
    for server, cluster in ask.subject.pairs:
        pair = server.name, cluster.address
        if pair not in ask.confirmed and (taken := ask.reading.swallowed(server, cluster)):
            ask.confirmed.add(pair)
            every = wide.every(cluster.address, ask.reading.held(server))
            more = wide.witnesses(cluster.address, every)
            yield from ask.wide(server, cluster, (*every, *more))
            for address in taken:  # or is it another alias, or on its card?
                yield from ask.both_forms(address)


def causes(ask: Questions) -> tuple[Outgoing, ...]:
    """Return what tells the possible causes apart, where something is wrong."""
    frames: list[bytes] = []
    for server, cluster in ask.reading.doubtful():
        for address in server.addresses:  # is it there at all, still?
            frames.extend(ask.who_has(address))
        if not ask.reading.echoes(Key(Purpose.PING, server.name, cluster.address)):
            frames.extend(ask.ping(server, cluster.address, Purpose.PING, ROUNDS))
        own = ask.reading.own(server, cluster.address.version)
        if own is None:
            continue
        frames.extend(ask.own(server, cluster, own))
        if isinstance(own, IPv4Address):
            frames.extend(ask.who_has(own, asking=True))
        frames.extend(ask.from_beyond(server, cluster, own))
    frames.extend(confirmed(ask))
    frames.extend(strangers(ask))
    for cluster, mac in ask.reading.dispatchers():
        handed = set(ask.reading.handed_over(cluster, mac).values())
        for name in handed or cluster.servers:
            frames.extend(ask.whose(cluster, name, mac))
    return twice(frames)


def strangers(ask: Questions) -> list[bytes]:
    """Return what tells who is behind the MACs that nobody has looked into yet."""
    frames: list[bytes] = []
    found = ask.reading.strangers()
    total = Counter(cluster for cluster, _ in found)
    of: Counter[Cluster] = Counter()
    for cluster, mac in found:
        of[cluster] += 1
        most = STRANGERS if total[cluster] <= STRANGERS else _OF_A_CROWD
        if of[cluster] <= most and not ask.reading.looked_into(cluster, mac):
            frames.extend(ask.look_into(cluster, mac))
    return frames


def cold(ask: Questions) -> tuple[Outgoing, ...]:
    """Return what tells a server that cannot ask for MACs: by now it knows one of ours."""
    frames = [
        frame for server, cluster in ask.reading.doubtful() for frame in ask.cold(server, cluster)
    ]
    return twice(frames)
