"""Fixed shares with few moves: slots go to the cheapest server, and prices clear the market.

Each slot takes, among its candidates, the server of least cost plus price. A server that would get
more slots than its quota is too cheap and raises its price; one that would get fewer lowers it. At
the prices where every server gets just its quota, the slots are assigned at the least possible sum
of costs: the transportation problem, solved by its dual as an auction (D. P. Bertsekas, "The
auction algorithm", Annals of Operations Research 14, 1988).

Why that moves so few slots. When a server goes, its slots fall to their next best bids, which hands
each other server the increase of its quota, give or take the luck of a few draws. Only that luck
must be evened out, by prices that hardly change; everything else stays. A Maglev table or a stable
matching evens it out by chains of evictions that run through many servers instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from shunt.balance.arrivals import SERVER_BITS, Candidates, server_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS = 400  # some twenty are usual; more only for candidates that cannot clear
_BOTH_WAYS = 12  # rounds in which prices also fall; after them they only rise, which must end
_NARROW_EVERY = 3
_DISTANT = np.int64(1) << np.int64(61)
_MARGIN_BITS = 44


class _Market(NamedTuple):
    """The slots still in play, their bids, and how many slots each server holds outside of it."""

    slot: NDArray[np.int32]
    bid: NDArray[np.int64]
    start: NDArray[np.int64]  # where each slot's bids begin
    length: NDArray[np.int64]  # how many bids each slot has, at least two
    held: NDArray[np.int64]  # by server


class _Clearing(NamedTuple):
    """What every bid is worth at some prices."""

    server: NDArray[np.int64]
    wins: NDArray[np.bool_]
    margin: NDArray[np.int64]  # of cost: by how much it wins or loses, never negative
    total: NDArray[np.int64]  # slots of each server


def clear(candidates: Candidates, quotas: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return each slot's server, so that every server has exactly its quota.

    Args:
        candidates: at least one for each slot.
        quotas: slots of each server; they add up to `size`.
        size: the number of slots.
    """
    start, length = _runs(candidates.slot)
    table = np.empty(size, dtype=np.int64)
    table[candidates.slot[start]] = server_of(candidates.bid[start])
    alone = start[length == 1]
    held = np.bincount(server_of(candidates.bid[alone]), minlength=len(quotas))
    whole = _market(candidates.slot, candidates.bid, np.repeat(length > 1, length), held)
    if len(whole.start):
        outcome = _equilibrium(whole, quotas)
        table[whole.slot[outcome.wins]] = outcome.server[outcome.wins]
    _even_out(table, quotas)
    return table


def _equilibrium(whole: _Market, quotas: NDArray[np.int64]) -> _Clearing:
    """Raise and lower prices until each server wins its quota, or the rounds are over."""
    prices = np.zeros(len(quotas), dtype=np.int64)
    market = whole
    for turn in range(_ROUNDS):
        outcome = _clearing(market, prices)
        excess = outcome.total - quotas
        if not excess.any():
            if market is whole:
                return outcome
            market = whole  # did a slot that was left out change hands after all?
            continue
        if turn >= _BOTH_WAYS:
            excess = np.maximum(excess, 0)
        step = _step(outcome, excess)
        prices += step
        if turn % _NARROW_EVERY == _NARROW_EVERY - 1:
            market = _narrowed(market, outcome, 8 * int(np.abs(step).max()))
    return _clearing(whole, prices)


def _clearing(market: _Market, prices: NDArray[np.int64]) -> _Clearing:
    server = server_of(market.bid)
    value = market.bid + (prices << SERVER_BITS)[server]
    best = np.repeat(np.minimum.reduceat(value, market.start), market.length)
    wins = value == best
    others = np.where(wins, _DISTANT, value)
    second = np.repeat(np.minimum.reduceat(others, market.start), market.length)
    margin = np.where(wins, second - value, value - best) >> SERVER_BITS
    total = market.held + np.bincount(server[wins], minlength=len(prices))
    return _Clearing(server, wins, margin, total)


def _step(outcome: _Clearing, excess: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the change of each price that would rid its server of its excess, were it alone.

    To lose n slots a server must rise above the n smallest margins by which it wins; to gain n,
    sink below the n smallest by which it loses. The price stops halfway to the next margin.
    """
    wanted = excess[outcome.server]
    useful = np.where(outcome.wins, wanted > 0, wanted < 0)
    order = np.sort(outcome.server[useful] << _MARGIN_BITS | outcome.margin[useful])
    server, margin = order >> _MARGIN_BITS, order & ((1 << _MARGIN_BITS) - 1)
    count = np.bincount(server, minlength=len(excess))
    begin = np.cumsum(count) - count
    who = np.flatnonzero(count)
    last = begin[who] + np.minimum(np.abs(excess[who]), count[who]) - 1
    following = np.minimum(last + 1, begin[who] + count[who] - 1)
    step = np.zeros(len(excess), dtype=np.int64)
    step[who] = np.sign(excess[who]) * ((margin[last] + margin[following]) // 2 + 1)
    return step


def _narrowed(market: _Market, outcome: _Clearing, reach: int) -> _Market:
    """Return the market of the slots that may still change hands when prices move by `reach`."""
    contested = np.logical_or.reduceat(outcome.margin <= reach, market.start)
    stays = np.repeat(contested, market.length)
    decided = outcome.server[outcome.wins & ~stays]
    held = market.held + np.bincount(decided, minlength=len(market.held))
    return _market(market.slot, market.bid, stays, held)


def _market(
    slot: NDArray[np.int32],
    bid: NDArray[np.int64],
    stays: NDArray[np.bool_],
    held: NDArray[np.int64],
) -> _Market:
    start, length = _runs(slot[stays])
    return _Market(slot[stays], bid[stays], start, length, held)


def _runs(slot: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the start and length of each run of equal slots."""
    start = np.flatnonzero(np.diff(slot, prepend=-1))
    return start, np.diff(start, append=len(slot))


def _even_out(table: NDArray[np.int64], quotas: NDArray[np.int64]) -> None:
    """Hand slots above a server's quota to servers below theirs, in order: equal margins remain."""
    excess = np.bincount(table, minlength=len(quotas)) - quotas
    if not excess.any():
        return
    by_server = np.argsort(table, kind="stable")
    end = np.cumsum(np.bincount(table, minlength=len(quotas)))
    surplus = [by_server[end[who] - excess[who] : end[who]] for who in np.flatnonzero(excess > 0)]
    table[np.concatenate(surplus)] = np.repeat(np.arange(len(quotas)), np.maximum(-excess, 0))
