"""Neighbours: what is known of the MACs behind addresses, and what to do to know better.

Pure: the kernel's entries come in, changes and actions go out; `watch.py` does the rest. The
kernel's table is the truth (states of RFC 4861 section 7.3.2, used for ARP as well), with two
differences. A MAC once known is kept while the kernel asks again, and is given up only when nobody
has answered: one lost frame is no reason to move a server's flows. And the kernel is made to ask
far sooner than it would by itself, so that a MAC that changed in silence is found out:

    confirmed --interval--> PROBE: the kernel asks the known MAC, by unicast
                              | answered: confirmed
                              | silent for `patience`: RESTART
                              v
                            the kernel asks everybody: the new MAC, or FAILED after its tries
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from ipaddress import IPv4Address, ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from shunt.model.addresses import Address, Mac
from shunt.network.netlink import Message, attributes
from shunt.network.routes import Route, RouteKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
HEADER = struct.Struct("=BxxxiHBB")  # struct ndmsg: family, interface, state, flags, type
DESTINATION, LINK_ADDRESS = 1, 2
_PROXY = 0x08


class State(StrEnum):
    """The kernel's states of an entry; `NONE` also stands for an absent one."""

    NONE = "none"
    INCOMPLETE = "incomplete"
    REACHABLE = "reachable"
    STALE = "stale"
    DELAY = "delay"
    PROBE = "probe"
    FAILED = "failed"
    NOARP = "noarp"
    PERMANENT = "permanent"

    @property
    def number(self) -> int:
        """Return the kernel's bit of this state (linux/neighbour.h)."""
        return _NUMBERS[self]


_NUMBERS = {
    State.NONE: 0x00,
    State.INCOMPLETE: 0x01,
    State.REACHABLE: 0x02,
    State.STALE: 0x04,
    State.DELAY: 0x08,
    State.PROBE: 0x10,
    State.FAILED: 0x20,
    State.NOARP: 0x40,
    State.PERMANENT: 0x80,
}
_STATES = {number: state for state, number in _NUMBERS.items()}
_FAMILIES = {socket.AF_INET: 4, socket.AF_INET6: 16}
_WITH_MAC = {State.REACHABLE, State.STALE, State.DELAY, State.PROBE, State.PERMANENT}


class Hop(NamedTuple):
    """Whom to ask for a MAC: an address on the segment of the link with this index."""

    link: int
    address: Address


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the kernel's table, or the news of its end (state NONE)."""

    hop: Hop
    state: State
    mac: Mac | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What is known of one watched address.

    `mac` is to be written into frames for the address: its own, or that of `gateway` where the
    address is not on the segment. None has a `reason` in words. `since` is when `state` began,
    in seconds of the monotonic clock.
    """

    address: Address
    interface: str
    hop: Hop | None
    state: State
    mac: Mac | None
    reason: str | None
    since: float

    @property
    def index(self) -> int:
        """Return the interface's index, 0 if there is no way to the address."""
        return self.hop.link if self.hop else 0

    @property
    def gateway(self) -> Address | None:
        """Return the router behind which the address lies; None if it is on the segment."""
        return self.hop.address if self.hop and self.hop.address != self.address else None


@dataclass(frozen=True, slots=True)
class Change:
    """A watched address whose MAC, interface or reason is another now."""

    before: Neighbour
    after: Neighbour


@dataclass(frozen=True, slots=True)
class Table:
    """The watched addresses, and which of them wait for which hop."""

    neighbours: MappingProxyType[Address, Neighbour]
    hops: MappingProxyType[Hop, tuple[Address, ...]]


EMPTY = Table(MappingProxyType({}), MappingProxyType({}))


class Verb(Enum):
    """What the kernel is told to do about a hop."""

    ASK = "ask everybody, as if a packet waited"
    PROBE = "ask the MAC that is known"
    RESTART = "forget the MAC and ask everybody"


class Action(NamedTuple):
    """One thing to tell the kernel."""

    verb: Verb
    hop: Hop


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds from confirmation to the next question, to doubt, and from failure to a new try.

    The defaults find a silent change within a second, with room for the watch's own tick. Above
    `limit` questions a second the interval stretches.
    """

    interval: float = 0.4
    patience: float = 0.2
    retry: float = 2.0
    limit: float = 500.0


def entry_of(message: Message) -> Entry | None:
    """Return the entry that a netlink message tells of; None if it tells of something else.

    Bridge forwarding entries and proxy entries come in the same messages and are none.

    Raises:
        NetworkError: the message is malformed.
    """
    if message.kind not in {NEWNEIGH, DELNEIGH} or len(message.body) < HEADER.size:
        return None
    family, index, bits, flags, _ = HEADER.unpack_from(message.body)
    if family not in _FAMILIES or flags & _PROXY:
        return None
    found = attributes(message.body[HEADER.size :])
    destination = found.get(DESTINATION, b"")
    if len(destination) != _FAMILIES[family]:
        return None
    hop = Hop(index, ip_address(destination))
    state = _STATES.get(bits, State.NONE)
    if message.kind == DELNEIGH:
        return Entry(hop, State.NONE, None)
    octets = found.get(LINK_ADDRESS, b"")
    return Entry(hop, state, Mac(octets) if len(octets) == 6 else None)


def routed(
    table: Table, routes: Mapping[Address, Route | str], now: float
) -> tuple[Table, tuple[Change, ...]]:
    """Return the table with ways to some addresses, old or new; a `str` says why there is none.

    What is known of an address is kept if its way is the old one.
    """
    neighbours = table.neighbours.copy()
    changes = []
    for address, route in routes.items():
        before = neighbours.get(address)
        after = _on_route(address, route, now)
        if before is not None and before.hop == after.hop and after.hop is not None:
            continue
        neighbours[address] = after
        if before is not None and _differ(before, after):
            changes.append(Change(before, after))
    return _indexed(neighbours), tuple(changes)


def without(table: Table, addresses: Iterable[Address]) -> Table:
    """Return the table without these addresses."""
    gone = frozenset(addresses)
    return _indexed({key: value for key, value in table.neighbours.items() if key not in gone})


def merge(table: Table, entry: Entry, now: float) -> tuple[Table, tuple[Change, ...]]:
    """Return the table after the kernel's news of one entry, and what changed."""
    waiting = table.hops.get(entry.hop, ())
    if not waiting:
        return table, ()
    neighbours = table.neighbours.copy()  # copied whole: hashing every address anew costs far more
    changes = []
    for address in waiting:
        before = neighbours[address]
        after = _after(before, entry, now)
        neighbours[address] = after
        if _differ(before, after):
            changes.append(Change(before, after))
    return replace(table, neighbours=MappingProxyType(neighbours)), tuple(changes)


def reread(table: Table, entries: Iterable[Entry], now: float) -> tuple[Table, tuple[Change, ...]]:
    """Return the table after a reading of the kernel's whole table: what is not in it is gone."""
    found = {entry.hop: entry for entry in entries if entry.hop in table.hops}
    changes: list[Change] = []
    for hop in table.hops:
        table, changed = merge(table, found.get(hop, Entry(hop, State.NONE, None)), now)
        changes += changed
    return table, tuple(changes)


def plan(table: Table, now: float, pace: Pace) -> tuple[Action, ...]:
    """Return what to tell the kernel now."""
    interval = max(pace.interval, len(table.hops) / pace.limit)
    actions = []
    for hop, waiting in table.hops.items():
        neighbour = table.neighbours[waiting[0]]
        age = now - neighbour.since
        match neighbour.state:
            case State.NONE:
                actions.append(Action(Verb.ASK, hop))
            case State.FAILED if age >= pace.retry:
                actions.append(Action(Verb.ASK, hop))
            case State.REACHABLE | State.STALE | State.DELAY if age >= interval:
                actions.append(Action(Verb.PROBE, hop))
            case State.PROBE if age >= pace.patience:
                actions.append(Action(Verb.RESTART, hop))
            case _:  # being asked, or set by hand, or nothing to ask
                pass
    return tuple(actions)


def told(table: Table, action: Action, now: float) -> tuple[Table, tuple[Change, ...]]:
    """Return the table after the kernel took an action: it is silent about beginning to ask."""
    if action.verb is Verb.PROBE:
        return table, ()
    return merge(table, Entry(action.hop, State.INCOMPLETE, None), now)


def doubtful(table: Table) -> tuple[Address, ...]:
    """Return the addresses whose MAC is not confirmed: the way to them may be another one now."""
    return tuple(
        address
        for address, neighbour in table.neighbours.items()
        if neighbour.state not in _WITH_MAC
    )


def _indexed(neighbours: dict[Address, Neighbour]) -> Table:
    hops: dict[Hop, tuple[Address, ...]] = {}
    for address, neighbour in neighbours.items():
        if neighbour.hop is not None:
            hops[neighbour.hop] = (*hops.get(neighbour.hop, ()), address)
    return Table(MappingProxyType(neighbours), MappingProxyType(hops))


def _on_route(address: Address, route: Route | str, now: float) -> Neighbour:
    nowhere = Neighbour(address, "", None, State.NONE, None, None, now)
    if isinstance(route, str):
        return replace(nowhere, reason=route)
    if route.kind is RouteKind.LOCAL:
        return replace(nowhere, interface=route.interface, reason="is this host's own address")
    if route.kind is not RouteKind.UNICAST:
        return replace(nowhere, reason="the route to it does not lead to one machine")
    hop = Hop(route.index, route.gateway or address)
    fresh = replace(nowhere, interface=route.interface, hop=hop)
    return replace(fresh, reason=_unanswered(fresh))


def _after(before: Neighbour, entry: Entry, now: float) -> Neighbour:
    mac: Mac | None
    reason: str | None
    if entry.state in _WITH_MAC and entry.mac is not None:
        mac, reason = entry.mac, None
    elif entry.state is State.FAILED:
        mac, reason = None, _silent(before)
    elif entry.state is State.NOARP:
        mac, reason = None, f"{before.interface} has no link-layer addresses"
    else:
        mac, reason = before.mac, before.reason
    began = before.since if before.state is entry.state and before.mac == mac else now
    return replace(before, state=entry.state, mac=mac, reason=reason, since=began)


def _differ(before: Neighbour, after: Neighbour) -> bool:
    return (before.mac, before.hop, before.reason) != (after.mac, after.hop, after.reason)


def _unanswered(neighbour: Neighbour) -> str:
    return f"{_who(neighbour)} has not answered {_question(neighbour)} yet"


def _silent(neighbour: Neighbour) -> str:
    return f"{_who(neighbour)} does not answer {_question(neighbour)}"


def _who(neighbour: Neighbour) -> str:
    return f"its gateway {neighbour.gateway}" if neighbour.gateway else str(neighbour.address)


def _question(neighbour: Neighbour) -> str:
    asked = neighbour.hop.address if neighbour.hop else neighbour.address
    kind = "ARP" if isinstance(asked, IPv4Address) else "neighbour solicitations"
    return f"{kind} on {neighbour.interface}"
