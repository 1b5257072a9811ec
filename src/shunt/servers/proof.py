"""Whether a removal took away what Shunt had added, and nothing else.

The server is looked at before the first undo and after the last one. What was there before and is
gone must be what an undone step was about: a network manager that is told to forget its profile
for `lo` may take the loopback's own routes with it. And what is still there is told, if it is a
cluster address.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from shunt.errors import ShuntError
from shunt.model.config import Forward
from shunt.servers import record as records
from shunt.servers.bundle import run_all
from shunt.servers.drivers.registry import driver_for
from shunt.servers.steps import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from shunt.model.addresses import Address
    from shunt.servers.record import Record
    from shunt.servers.runners.base import Runner
    from shunt.servers.steps import Driver, Item
    from shunt.servers.wish import Wish

NOT_UNDERSTOOD = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


Findings = tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What a server was when it was looked at, or why that could not be seen."""

    observed: Any = None
    error: Exception | None = None


async def look(runner: Runner, wish: Wish, addresses: Collection[Address]) -> Look:
    """Return what the server is, with all that concerns the addresses; only reads."""
    asked = replace(wish, clusters=tuple(addresses), bare=())
    driver = driver_for(wish.server.os)
    facts = (*driver.facts(asked), records.read(asked))
    try:
        answers = await run_all(runner, [fact.command for fact in facts])
        outputs = {fact.name: answer for fact, answer in zip(facts, answers, strict=True)}
        return Look(driver.observe(asked, outputs))
    except (ShuntError, *NOT_UNDERSTOOD) as error:
        return Look(error=error)


def judge(before: Look, after: Look, record: Record, wish: Wish) -> tuple[Finding, ...]:
    """Return what is to be said of a removal: addresses that are left, things that are lost.

    `record` is what stood on the server before it.
    """
    if after.error is not None:
        return (_not_seen(after.error),)
    names = sorted(record.addresses, key=lambda address: (address.version, address))
    driver = driver_for(wish.server.os)
    held = _held(driver, after.observed, names, record, wish)
    return held + losses(before, after, record, wish)


def losses(before: Look | None, after: Look | None, record: Record, wish: Wish) -> Findings:
    """Return what an undo has lost; nothing where the server could not be looked at twice."""
    if before is None or after is None or before.error is not None or after.error is not None:
        return ()
    driver = driver_for(wish.server.os)
    return lost(driver.inventory(before.observed), driver.inventory(after.observed), record)


def _held(
    driver: Driver[Any], observed: Any, names: Collection[Address], record: Record, wish: Wish
) -> tuple[Finding, ...]:
    """Return the addresses that the server holds without Shunt.

    A driver says so of a server that must not hold an address.
    """
    none = replace(wish, clusters=(), bare=(), forward=Forward.NAT)
    usual = set(driver.plan(observed, none).findings)
    silenced = any(entry.id.startswith("silence:") for entry in record.entries)
    return tuple(
        _still_held(address, loud=silenced and isinstance(address, IPv4Address))
        for address in names
        if any(
            finding.severity is Severity.ERROR
            for finding in {*driver.plan(observed, replace(none, bare=(address,))).findings} - usual
        )
    )


def lost(before: Iterable[Item], after: Iterable[Item], record: Record) -> tuple[Finding, ...]:
    """Return what was there before a removal, is gone, and was nothing that the record names."""
    there = {item.what for item in after}
    gone = (item for item in before if item.what not in there)
    return tuple(_taken(item) for item in gone if not _was_ours(item, record))


def _was_ours(item: Item, record: Record) -> bool:
    return bool(item.about & record.addresses or item.steps & record.ids)


def _taken(item: Item) -> Finding:
    return Finding(
        Severity.ERROR,
        f"{item.what} was there before, and is gone",
        "no step of Shunt's had added it: something else has taken it away with what was removed",
        item.restore,
    )


def _still_held(address: Address, *, loud: bool) -> Finding:
    if loud:
        return Finding(
            Severity.ERROR,
            f"{address} is still held here, and answered for",
            "Shunt has not added it, or does not know it any more; what kept it silent is gone",
            "delete it, if nothing else needs it; or `apply` again",
        )
    return Finding(
        Severity.NOTE,
        f"{address} is still held here",
        "Shunt has not added it, or does not know it any more",
        "delete it, if nothing else needs it",
    )


def _not_seen(error: Exception) -> Finding:
    said = error.message if isinstance(error, ShuntError) else f"{type(error).__name__}: {error}"
    return Finding(
        Severity.ERROR,
        "everything was undone, but whether a cluster address is still held could not be seen",
        said,
        "look at the loopback's addresses",
    )
