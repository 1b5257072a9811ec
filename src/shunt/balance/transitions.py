"""The life of a slot: changing hands without a flow noticing, and settling again.

A slot is one word: `current` takes new flows; `elder` takes the flows that are older than the
change and recorded nowhere. The data plane records every flow that begins in an unsettled slot
as an exception, and notes when the elder was last needed.

                  shift: the wanted server differs
    +---------+ ------------------------------------> +-----------+ --+
    | settled |                                       | unsettled |   | shift: only current moves
    +---------+ <------------------------------------ +-----------+ <-+
                  settle: nobody needs the elder

The rule that all of this serves: a flow keeps the server it began with, unless that server is gone.

- Settled: no flow of the slot has another server than `current`; nothing is recorded.
- Unsettled: a flow that began since the change is an exception that names its server; a flow
  without one began before and belongs to `elder`.
- A later change moves only `current`: the flows that began in between are exceptions already.

The functions take the arrays as they are in the kernel's maps, write nothing and return what to
write, only where it differs. Write `sights` before `slots`: the data plane may see an unsettled
slot as soon as its word is there, and needs to know since when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

NONE = 0xFFFF
"""Current: the slot has no server."""
SETTLED = 0xFFFF
"""Elder: the slot is settled."""
GONE = 0xFFFE
"""Elder: unsettled, but the elder is gone for good; what is no exception belongs to current."""

SLOT = np.dtype("<u4")
"""A slot's word: current in the low half, elder in the high half."""
SIGHT = np.dtype([("since", "<u4"), ("seen", "<u4")])
"""When the slot changed hands, when its elder was needed: seconds of the coarse clock, 0 never."""

_RACE = 1  # second; packets under way at a change are through after microseconds

Sights = np.ndarray[Any, np.dtype[np.void]]


class Change(NamedTuple):
    """What to write: new words and sights of the slots at `indices` (ascending, each once)."""

    indices: NDArray[np.int64]
    slots: NDArray[np.uint32]
    sights: Sights


def word(current: ArrayLike, elder: ArrayLike) -> NDArray[np.uint32]:
    """Return the words of slots with these servers; `elder` may be SETTLED or GONE."""
    low, high = np.asarray(current, dtype=np.uint32), np.asarray(elder, dtype=np.uint32)
    return low | high << np.uint32(16)


def current_of(slots: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Return each slot's current server, NONE for none."""
    return (slots & np.uint32(0xFFFF)).astype(np.uint16)


def elder_of(slots: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Return each slot's elder, or SETTLED or GONE."""
    return (slots >> np.uint32(16)).astype(np.uint16)


def shift(
    slots: NDArray[np.uint32],
    sights: Sights,
    wanted: NDArray[np.uint16],
    gone: Iterable[int],
    now: int,
) -> Change:
    """Return what to write so that every slot's current server is the wanted one.

    Flows that are no exceptions have one keeper: the elder, or where there is none, or it is gone,
    the current server. The keeper stays what it was: it is the elder of a slot whose current server
    changes. Also when it becomes current again, since there are flows of the server in between.

    Without a keeper (there was none, or it is gone) no flow needs an elder: a settled slot just
    takes its new server, settled as it was; an unsettled one has GONE, for it has exceptions.

    The sights: a new elder counts from `now`. For a later change under the same elder `since`
    stays, so that changes in quick succession do not put off the end of the UDP idle time; `seen`
    becomes `now`, so that settling waits again.

    Args:
        slots: SLOT, one for each slot.
        sights: SIGHT, one for each slot.
        wanted: local numbers of servers, or NONE, one for each slot.
        gone: local numbers of servers that no flow may be kept on.
        now: seconds of the coarse clock.
    """
    current, elder = current_of(slots), elder_of(slots)
    is_kept = _kept(gone)
    moves = current != wanted
    keeper = np.where(is_kept[elder], elder, current)
    settled = elder == SETTLED
    without = np.where(settled, np.uint16(SETTLED), np.uint16(GONE))
    on_move = np.where(is_kept[keeper], keeper, without)
    on_stay = np.where(is_kept[elder], elder, without)
    new_elder = np.where(moves, on_move, on_stay)
    at = np.flatnonzero(moves | (new_elder != elder))
    new_sights = sights[at].copy()
    starts = is_kept[new_elder[at]] & (new_elder[at] != elder[at])
    new_sights["since"][starts] = now
    new_sights["seen"][starts] = 0
    new_sights["seen"][moves[at] & ~starts] = now
    return Change(at, word(wanted[at], new_elder[at]), new_sights)


def settle(
    slots: NDArray[np.uint32],
    sights: Sights,
    foreign: NDArray[np.bool_],
    now: int,
    stale: int,
) -> Change:
    """Return what to write to settle the slots whose flows all have the current server.

    Why no live flow changes its server. A flow of the slot is either an exception or not. The live
    exceptions name `current`, or the slot would be foreign. A flow that is no exception belongs to
    the elder, and there is none alive: in `stale` seconds, the time after which an idle flow counts
    as dead, none of its packets came. The time runs from the change at the earliest, or a slot
    would settle before its elder had a chance to be seen.

    If the elder is the current server again, or is gone, flows that are no exceptions go to
    `current` either way. Then only the exceptions matter, once those of packets that were under way
    at the change have been recorded.

    A slot without a current server is left as it is: settling would only cost its elder's idle
    flows their server, and since it takes no new flows, there is nothing to gain.

    Args:
        slots: SLOT, one for each slot.
        sights: SIGHT, one for each slot.
        foreign: whether a live exception names another server than current (`foreign_slots`), from
            exceptions that were read after the slots were last written.
        now: seconds of the coarse clock.
        stale: seconds after which an idle flow counts as dead; for UDP at least its idle time.
    """
    current, elder = current_of(slots), elder_of(slots)
    needless = (elder == current) | (elder == GONE)
    quiet = unseen(sights, now, np.where(needless, min(_RACE, stale), stale))
    at = np.flatnonzero((elder != SETTLED) & (current != NONE) & quiet & ~foreign)
    return Change(at, word(current[at], SETTLED), sights[at].copy())


def unseen(sights: Sights, now: int, seconds: ArrayLike) -> NDArray[np.bool_]:
    """Return, for each unsettled slot, whether its elder was not needed for so many seconds.

    An elder that was not for `stale` seconds has no live flow in the slot, whether the slot settles
    or waits for something else: for a current server, or for an exception to end. Times are whole
    seconds, so a difference of n may be of any time from n - 1 to n + 1: only n + 1 is surely n.
    """
    latest = np.maximum(sights["since"], sights["seen"]).astype(np.int64)
    long_ago: NDArray[np.bool_] = now - latest > seconds
    return long_ago


def grow(
    slots: NDArray[np.uint32], sights: Sights, new_size: int
) -> tuple[NDArray[np.uint32], Sights]:
    """Return slots and sights of a larger table, each slot with the state of the one it came from.

    A flow's slot is the low bits of its hash, so slot j comes from j modulo the old size, and every
    flow finds the state it had.

    Raises:
        ValueError: `new_size` is no multiple of the old size by a power of two.
    """
    times, rest = divmod(new_size, len(slots))
    if rest or times < 1 or times & (times - 1):
        raise ValueError(f"a table of {len(slots)} slots cannot grow to {new_size}")
    return np.tile(slots, times), np.tile(sights, times)


def foreign_slots(
    slot_index: NDArray[np.integer[Any]],
    server: NDArray[np.integer[Any]],
    slots: NDArray[np.uint32],
) -> NDArray[np.bool_]:
    """Return, for each slot, whether an exception names another server than its current one.

    Args:
        slot_index: the slot of each live exception. Leave out those that are stale or whose server
            is gone.
        server: the local number of each exception's server.
        slots: SLOT, one for each slot.
    """
    flags = np.zeros(len(slots), dtype=np.bool_)
    flags[slot_index[current_of(slots)[slot_index] != server]] = True
    return flags


def in_use(slots: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the local numbers, ascending, of servers that are current or elder of some slot."""
    numbers = np.union1d(current_of(slots), elder_of(slots)).astype(np.int64)
    return numbers[numbers < GONE]


def _kept(gone: Iterable[int]) -> NDArray[np.bool_]:
    """Return for all 2^16 numbers whether they name a server that flows may be kept on."""
    kept = np.ones(1 << 16, dtype=np.bool_)
    kept[[NONE, SETTLED, GONE]] = False
    kept[np.fromiter(gone, dtype=np.int64)] = False
    return kept
