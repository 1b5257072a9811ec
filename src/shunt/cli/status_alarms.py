"""What `shunt status` says first: whether the daemon is there and does its work; and what is wrong.

Traffic flows on without the daemon and without its checks, so their end shows nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ABANDONED = (
    "no daemon runs: the kernel forwards by the tables that it left; no server is checked, "
    "no MAC address followed"
)
_WORK = {
    "checks": "last check {} ago",
    "sweep": "sweep {} ago",
    "neighbours": "neighbours read {} ago",
}
_NAMES = {
    "checks": "health checks",
    "sweep": "the sweep that settles slots",
    "neighbours": "the watch over the servers' MAC addresses",
    "counters": "the reading of counters",
    "interfaces": "the look at interfaces",
    "tables": "the writing of slot tables",
    "weights": "the manager of weights",
    "suspicion": "the look for unanswered connections",
}


def alive(loops: Mapping[str, Mapping[str, Any]]) -> str:
    """Return when the daemon last did its work, in one line."""
    ages = ((words, loops[name]["age"]) for name, words in _WORK.items() if name in loops)
    return ", ".join(words.format(_seconds(age)) for words, age in ages if age is not None)


def alarms(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is wrong with the dispatcher itself, a line each; pure.

    Args:
        document: what `shunt status --json` prints.
    """
    daemon = document["daemon"]
    if not daemon:
        return (_ABANDONED,)
    missing = (
        f"interface {name} of the file is not there: nothing is taken on it until it is"
        for name in daemon["missing_interfaces"]
        if name not in document["interfaces"]
    )
    refused = (
        f"interface {name}: {reason}; nothing is taken on it, and it is tried again"
        for name, reason in daemon["refused_interfaces"].items()
    )
    held = (
        f"this host itself holds {each['address']}: checks there could not run, and whoever was up "
        f"stays up. Remove it: {each['remedy']}"
        for each in daemon["held"]
    )
    macs = (
        f"server {each['server']}: {each['mac']} answers for {each['address']}, before "
        f"{each['before']}: {each['reason']}"
        for each in daemon["server_macs"]
    )
    return (*_of_loops(daemon["loops"]), *missing, *refused, *held, *macs)


def _of_loops(loops: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, loop in loops.items():
        what, why = _NAMES.get(name, name), f": {loop['failing']}" if loop["failing"] else ""
        if loop["overdue"]:
            late = loop["late"] if loop["late"] is not None else loop["age"]
            yield f"{what}: nothing for {_seconds(late)}{why}; see the log, then restart the daemon"
        elif why:
            yield f"{what}: fails for now and is tried again{why}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"
