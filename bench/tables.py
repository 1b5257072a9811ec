"""Slot tables: even shares, few moves and time to build, beside Maglev and rendezvous hashing.

Also the time to let slots change hands and to settle them with a million exceptions. Times are the
processor's: all of it runs on one core, and the machine may be shared.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import median
from time import process_time

import numpy as np

from bench.figures import Figure, Row, interleaved
from bench.rivals import Table, maglev, rendezvous
from shunt.balance.tables import Share, build, table_size
from shunt.balance.transitions import SIGHT, foreign_slots, settle, shift, word

KEY = bytes(range(16))
SERVERS = (3, 10, 100, 1000)
CHANGED = {3: 2, 10: 3, 100: 6, 1000: 1}  # servers that go, and that halve, one after the other
TARGET_SHARES = {3: 1.0, 10: 1.0, 100: 1.0, 1000: 2.0}  # percent
TARGET_MOVES = {3: 1.1, 10: 1.1, 100: 1.5, 1000: 2.0}  # times the least
TARGET_SECONDS = {100: 0.1, 1000: 2.0}
SLOTS, EXCEPTIONS, TARGET_SETTLING = 1 << 16, 1_000_000, 2.0

Builder = Callable[[list[int], int], Table]


def shunt(weights: list[int], size: int) -> Table:
    """Return Shunt's table of servers with these weights."""
    return build([Share(b"server %d" % n, weight) for n, weight in enumerate(weights)], size, KEY)


TABLES: tuple[tuple[str, Builder], ...] = (
    ("Shunt", shunt),
    ("Maglev", maglev),
    ("rendezvous", rendezvous),
)
ORIENTATION = (
    1 << 16
)  # slots of a second comparison for many servers; rendezvous would take minutes


def run() -> list[Figure]:
    """Measure; a minute or two, nearly all of it the baselines."""
    return [_tables("equal weights", _equal), _tables("weights 1 to 20", _mixed), _settling()]


def _equal(number: int) -> list[int]:
    return [10] * number


def _mixed(number: int) -> list[int]:
    chance = random.Random(number)
    return [chance.randint(1, 20) for _ in range(number)]


def _tables(title: str, weights_of: Callable[[int], list[int]]) -> Figure:
    rows: list[Row] = []
    notes: list[str] = []
    for number in SERVERS:
        weights = weights_of(number)
        size = table_size(number)
        rivals = [(name, maker, size) for name, maker in TABLES]
        if size > ORIENTATION:
            rivals.pop()
            rivals += [(name, maker, ORIENTATION) for name, maker in TABLES]
        for name, maker, slots in rivals:
            row = _row(name, maker, weights, slots)
            rows.append(row)
            if name == "Shunt" and slots == size:
                notes.append(_verdict(number, row))
    return Figure(f"Slot tables, {title}", rows, notes)


def _row(name: str, maker: Builder, weights: list[int], slots: int) -> Row:
    seconds: list[float] = []

    def timed(wanted: list[int]) -> Table:
        begin = process_time()
        made = maker(wanted, slots)
        seconds.append(process_time() - begin)
        return made

    table = timed(weights)
    going, halving = _moves(timed, weights, table)
    return {
        "servers": len(weights),
        "slots": len(table),
        "table": name,
        "share off by at most": f"{_share_error(table, weights):.2f} %",
        "moved, server goes": f"{np.mean(going):.2f} x",
        "moved, weight halves": f"{np.mean(halving):.2f} x",
        "worst": f"{max(going + halving):.2f} x",
        "processor ms": median(seconds) * 1000,
    }


def _share_error(table: Table, weights: list[int]) -> float:
    """Return the largest difference of a share from its weight, in percent of the share."""
    ideal = np.array(weights) * len(table) / sum(weights)
    return float((np.abs(np.bincount(table, minlength=len(weights)) / ideal - 1)).max()) * 100


def _moves(
    made: Callable[[list[int]], Table], weights: list[int], table: Table
) -> tuple[list[float], list[float]]:
    """Return moved slots over the least that the weights demand, for servers that go or halve."""
    going: list[float] = []
    halving: list[float] = []
    chosen = [n for n, weight in enumerate(weights) if weight > 1][: CHANGED[len(weights)]]
    for who in chosen:
        for result, weight in ((going, 0), (halving, weights[who] // 2)):
            after = [weight if n == who else other for n, other in enumerate(weights)]
            growth = np.array(after) / sum(after) - np.array(weights) / sum(weights)
            moved = np.count_nonzero(table != made(after))
            result.append(moved / (len(table) * float(growth[growth > 0].sum())))
    return going, halving


def _verdict(number: int, row: Row) -> str:
    """Return the targets for a number of servers beside the figures."""
    wanted = f"shares within {TARGET_SHARES[number]:.0f} %, moves at most {TARGET_MOVES[number]} x"
    if number in TARGET_SECONDS:
        wanted += f", {TARGET_SECONDS[number] * 1000:.0f} ms"
    got = (
        f"{row['share off by at most']}, {row['moved, server goes']}, {row['moved, weight halves']}"
    )
    return f"{number} servers: wanted {wanted}; got {got}, {row['processor ms']:.0f} ms"


def _settling() -> Figure:
    """Let every slot change hands, then settle them all with a million exceptions about."""
    chance = np.random.default_rng(1)
    before, after = (chance.integers(0, 100, SLOTS).astype(np.uint16) for _ in range(2))
    slots, sights = word(before, 0xFFFF), np.zeros(SLOTS, SIGHT)
    where = chance.integers(0, SLOTS, EXCEPTIONS).astype(np.uint32)
    changed = word(after, before)
    server = after[where]

    def settled() -> None:
        settle(changed, sights, foreign_slots(where, server, changed), 1000, 300)

    seconds = interleaved(
        {
            "hand over": lambda: _seconds(lambda: shift(slots, sights, after, (), 1000)),
            "settle": lambda: _seconds(settled),
        },
        5,
    )
    rows: list[Row] = [
        {"what": name, "slots": SLOTS, "exceptions": count, "processor ms": seconds[name] * 1000}
        for name, count in (("hand over", 0), ("settle", EXCEPTIONS))
    ]
    return Figure(
        "Slots that change hands", rows, [f"settling is to take less than {TARGET_SETTLING:.0f} s"]
    )


def _seconds(work: Callable[[], object]) -> float:
    begin = process_time()
    work()
    return process_time() - begin


if __name__ == "__main__":
    for figure in run():
        print(figure.markdown())
