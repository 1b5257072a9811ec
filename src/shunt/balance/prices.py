"""Even shares with few moves: slots go to the cheapest server, and prices clear the market.

Each slot takes, among its candidates, the server of least cost plus price. A server that would get
too many slots raises its price; one that would get too few lowers it. What comes out is close to
the assignment of least cost among all that keep the shares within their bounds: a transportation
problem, solved by its dual (D. P. Bertsekas, "The auction algorithm", Annals of Operations
Research 14, 1988).

Why that moves so few slots. When a server goes, each of its slots falls to the next best bid, which
hands every other server its due, give or take the luck of a few draws. Only that luck is evened
out, by prices that hardly change; all else stays. (Maglev and stable matchings even it out by
evictions that run through many servers.) Two measures keep prices from following luck too closely:

- Slack: a server does not change its price for a share that is within half the tolerance.
- Blur: prices are found with a slot split between its two best servers if their bids are close.
  Else they would follow the last single slot, each of which is a throw of dice.

With N servers and M slots, a change of m slots moves about m + 0.5 sqrt(N m), or less by the slack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from shunt.balance.arrivals import SERVER_BITS, UNIT, Candidates, server_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shunt.balance.quotas import Quotas

_BLUR = UNIT // 128  # bids are close if their costs differ by less
_PART = 2 * _BLUR  # parts that a slot has when it is split
_SLACK = UNIT // 200  # a price that is no more than this is none: half a percent of the share
_BLURRED_ROUNDS = 12
_DAMPED_AFTER = 4
_SHARP_ROUNDS = 200  # few are usual; more only for candidates that cannot clear
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
    second: NDArray[np.bool_]  # the best bid but the winner
    margin: NDArray[np.int64]  # of cost: by how much it wins or loses, never negative
    total: NDArray[np.int64]  # slots of each server


def clear(candidates: Candidates, quotas: Quotas, size: int) -> NDArray[np.int64]:
    """Return each slot's server, so that every server's number of slots is within its quota.

    Args:
        candidates: at least one for each slot.
        quotas: of each server.
        size: the number of slots.
    """
    start, length = _runs(candidates.slot)
    table = np.empty(size, dtype=np.int64)
    table[candidates.slot[start]] = server_of(candidates.bid[start])
    alone = start[length == 1]
    held = np.bincount(server_of(candidates.bid[alone]), minlength=len(quotas.least))
    market = _market(candidates.slot, candidates.bid, np.repeat(length > 1, length), held)
    if len(market.start):
        prices = _sharpened(market, quotas, _blurred(market, quotas))
        outcome = _clearing(market, prices)
        table[market.slot[outcome.wins]] = outcome.server[outcome.wins]
    _force(table, quotas)
    return table


def _blurred(market: _Market, quotas: Quotas) -> NDArray[np.int64]:
    """Return prices at which the blurred shares are as wanted, but for the slack.

    Raising a price by a small part of UNIT loses a server that part of its slots, as in a race of
    exponential clocks. So each round changes each price by the excess as a part of the share, and
    then pulls it back to zero by the slack: a proximal step, whose fixed points have either no
    price or an excess of just the slack.
    """
    prices = np.zeros(len(quotas.least), dtype=np.int64)
    wanted = quotas.ideal_parts(_PART)
    for turn in range(_BLURRED_ROUNDS):
        outcome = _clearing(market, prices)
        step = (_parts(outcome) - wanted) * UNIT // wanted
        moved = prices + step
        moved = np.sign(moved) * np.maximum(np.abs(moved) - _SLACK, 0)
        step = moved - prices if turn < _DAMPED_AFTER else (moved - prices) // 2
        prices = prices + step
        if turn % _NARROW_EVERY == _NARROW_EVERY - 1:
            market = _narrowed(market, outcome, 8 * int(np.abs(step).max()) + 2 * _BLUR)
    return prices


def _sharpened(whole: _Market, quotas: Quotas, prices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return prices near the given ones at which every server is within its bounds, if it can."""
    market = whole
    for turn in range(_SHARP_ROUNDS):
        outcome = _clearing(market, prices)
        excess = outcome.total - np.clip(outcome.total, quotas.least, quotas.most)
        if not excess.any():
            if market is whole:
                break
            market = whole  # did a slot that was left out change hands after all?
            continue
        step = _step(outcome, excess)
        prices = prices + step
        if turn % _NARROW_EVERY == 0:
            market = _narrowed(market, outcome, 8 * int(np.abs(step).max()) + _BLUR)
    return prices


def _clearing(market: _Market, prices: NDArray[np.int64]) -> _Clearing:
    server = server_of(market.bid)
    value = market.bid + (prices << SERVER_BITS)[server]
    best = np.repeat(np.minimum.reduceat(value, market.start), market.length)
    wins = value == best
    others = np.where(wins, _DISTANT, value)
    runner_up = np.repeat(np.minimum.reduceat(others, market.start), market.length)
    margin = np.where(wins, runner_up - value, value - best) >> SERVER_BITS
    total = market.held + np.bincount(server[wins], minlength=len(prices))
    return _Clearing(server, wins, others == runner_up, margin, total)


def _parts(outcome: _Clearing) -> NDArray[np.int64]:
    """Return each server's slots in parts, _PART a slot, slots of close bids split.

    At equal bids the winner and the second get half each; from _BLUR on, the winner gets all.
    """
    close = outcome.margin < _BLUR
    loser, winner = close & outcome.second, close & outcome.wins
    servers = len(outcome.total)
    gained = _sums(outcome.server[loser], _BLUR - outcome.margin[loser], servers)
    lost = _sums(outcome.server[winner], _BLUR - outcome.margin[winner], servers)
    return outcome.total * _PART + gained - lost


def _sums(server: NDArray[np.int64], amount: NDArray[np.int64], servers: int) -> NDArray[np.int64]:
    """Return the sum of each server's amounts; exact, for sums of integers below 2^53 are."""
    return np.bincount(server, weights=amount, minlength=servers).astype(np.int64)


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


def _force(table: NDArray[np.int64], quotas: Quotas) -> None:
    """Bring every server within its bounds by handing over slots in order.

    The market hardly ever leaves anything to do here: equal margins, or few and heavy servers.
    """
    has = np.bincount(table, minlength=len(quotas.least))
    goal = np.clip(has, quotas.least, quotas.most)
    if np.array_equal(has, goal):
        return
    missing = len(table) - int(goal.sum())
    room = quotas.most - goal if missing > 0 else goal - quotas.least
    share = np.clip(abs(missing) - (np.cumsum(room) - room), 0, room)
    change = goal + np.sign(missing) * share - has
    end = np.cumsum(has)
    slots = np.argsort(table, kind="stable")
    freed = [slots[end[who] + change[who] : end[who]] for who in np.flatnonzero(change < 0)]
    table[np.concatenate(freed)] = np.repeat(np.arange(len(has)), np.maximum(change, 0))
