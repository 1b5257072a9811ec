"""Weights from counts, loads and health; pure. docs/manager.md has the formula and its reasons.

    (what is seen of each server, settings, what was decided before, now) -> what is decided

Begin with `decide`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shunt.model.config import Manager

INPUTS = ("active", "new", "port", "system")
_GREATEST = 65535


@dataclass(frozen=True, slots=True)
class Seen:
    """One server of one service, as it is seen now.

    Attributes:
        server: its name.
        capacity: the configured weight.
        up: the checks succeed.
        since: when it became what it is, seconds of the monotonic clock; 0: it always was.
        words: of the last check.
        fixed: the manager leaves its weight alone.
        active: connections open now.
        new: connections opened per second.
        port: the advisor's load; any unit, the same for the whole service.
        system: the machine's load, 0 to 100.
        share: of its weight, as the server's agent wishes, 0 to 1 and more.
    """

    server: str
    capacity: int
    up: bool = True
    since: float = 0.0
    words: str = ""
    fixed: bool = False
    active: float | None = None
    new: float | None = None
    port: float | None = None
    system: float | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a server gets.

    Attributes:
        weight: in the units of the file; 0 if it is out.
        up: it is in service, be it in spite of its failing.
        factor: of its capacity, smoothed, before rounding; 1 is neutral.
        parts: the factor of each input that was measured.
        reason: why the weight is not the file's; None: it is.
    """

    weight: int
    up: bool = True
    factor: float = 1.0
    parts: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """What a service gets.

    Attributes:
        servers: a decision for each, by name.
        alert: every server is down, and traffic is spread over all of them.
        kept: servers that are in service only because too few would be left.
        basis: what else than measurements went into it; another basis takes effect at once.
    """

    servers: Mapping[str, Decision]
    alert: bool = False
    kept: frozenset[str] = frozenset()
    basis: tuple[object, ...] = ()


NOTHING = Decided(MappingProxyType({}))


def decide(seen: Sequence[Seen], settings: Manager, before: Decided, now: float) -> Decided:
    """Return the weights of a service's servers.

    Args:
        seen: every server, in the order of the file.
        settings: the manager's.
        before: what was decided last; `NOTHING` at first.
        now: seconds of the monotonic clock.
    """
    alert = bool(seen) and not any(server.up for server in seen)
    kept = frozenset() if alert else _kept(seen, settings.min_servers)
    serving = [server for server in seen if alert or server.up or server.server in kept]
    parts = _parts(serving, settings)
    decisions: dict[str, Decision] = {}
    for server in seen:
        if server.server not in parts:
            decisions[server.server] = Decision(0, up=False, reason=server.words or "down")
            continue
        previous = before.servers.get(server.server)
        factor = 1.0
        if settings.dynamic and not alert and not server.fixed:
            old = previous.factor if previous is not None and previous.up else 1.0
            factor = _smoothed(old, _combined(parts[server.server], settings), settings)
        decisions[server.server] = _decision(
            server, settings, factor, parts[server.server], now, alert=alert, kept=kept
        )
    basis = _basis(seen, settings, now)
    if basis == before.basis and _insensitive(before.servers, decisions, settings.sensitivity):
        decisions = {name: _held(before.servers[name], new) for name, new in decisions.items()}
    return Decided(MappingProxyType(decisions), alert, kept, basis)


def _kept(seen: Sequence[Seen], least: int) -> frozenset[str]:
    """Return the failing servers that stay: those that failed last, until the share is met."""
    wanted = sum(server.capacity for server in seen) * least / 100
    have = sum(server.capacity for server in seen if server.up)
    kept = []
    for server in sorted(seen, key=lambda each: each.since, reverse=True):
        if have >= wanted:
            break
        if not server.up:
            kept.append(server.server)
            have += server.capacity
    return frozenset(kept)


def _parts(serving: Sequence[Seen], settings: Manager) -> dict[str, dict[str, float]]:
    """Return each server's factor for each input that counts and that all of them measured."""
    parts: dict[str, dict[str, float]] = {server.server: {} for server in serving}
    if not settings.dynamic:
        return parts
    for name in INPUTS:
        if not getattr(settings, name):
            continue
        loads = [_load(server, name) for server in serving]
        known = [load for load in loads if load is not None]
        mean = sum(known) / len(known) if known else 0.0
        for server, load in zip(serving, loads, strict=True):
            if load is not None and mean > 0:
                parts[server.server][name] = min(2.0, max(0.0, 2.0 - load / mean))
    return parts


def _load(server: Seen, name: str) -> float | None:
    """Return an input as a load that is equal for all servers if each carries its part."""
    value: float | None = getattr(server, name)
    if value is None or name in {"port", "system"}:
        return value
    return value / server.capacity if server.capacity else None


def _combined(parts: Mapping[str, float], settings: Manager) -> float:
    """Return the mean of the factors in the proportions; an input not measured is neutral."""
    total: float = sum(getattr(settings, name) * parts.get(name, 1.0) for name in INPUTS)
    return total / 100


def _smoothed(old: float, wanted: float, settings: Manager) -> float:
    return old + (wanted - old) / (settings.smoothing / 100)


def _stepped(factor: float, bound: int) -> float:
    """Return the factor as one of the bound's steps: 1/half, 2/half ... bound/half; half is 1."""
    half = max(1.0, bound / 2)
    return min(bound, max(1, round(factor * half))) / half


def _decision(
    server: Seen,
    settings: Manager,
    factor: float,
    parts: Mapping[str, float],
    now: float,
    *,
    alert: bool,
    kept: frozenset[str],
) -> Decision:
    if alert:
        reason = f"down like every server here, so traffic is spread over all ({server.words})"
        return Decision(server.capacity, reason=reason)
    multiple = _stepped(factor, settings.weightbound) if settings.dynamic else 1.0
    if server.fixed:
        multiple = 1.0
    growing = 1.0 if server.fixed else _growth(server, settings.slow_start, now)
    share = 1.0 if server.share is None else server.share
    weight = round(server.capacity * multiple * growing * share)
    if server.capacity and share > 0:
        weight = min(_GREATEST, max(1, weight))
    reasons = []
    if server.server in kept:
        reasons.append(
            f"failing ({server.words}), and kept: without it less than {settings.min_servers} % "
            "of the capacity would be left"
        )
    if multiple != 1.0:
        told = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
        reasons.append(f"the manager's factor {multiple:.2f} ({told})")
    if growing < 1.0:
        reasons.append(f"slow start: {growing:.0%} after its return")
    if share != 1.0:
        reasons.append(f"its agent wishes {share:.0%} of it")
    return Decision(
        weight,
        factor=factor,
        parts=MappingProxyType(dict(parts)),
        reason="; ".join(reasons) or None,
    )


def _growth(server: Seen, time: int, now: float) -> float:
    """Return the part of its weight that a server has so long after its return, 0.1 to 1."""
    if not time or not server.up or server.since <= 0:
        return 1.0
    return min(1.0, max(0.1, (now - server.since) / time))


def _basis(seen: Sequence[Seen], settings: Manager, now: float) -> tuple[object, ...]:
    """Return all that must take effect at once: membership, health, wishes, settings."""
    return (
        settings,
        *(
            (s.server, s.capacity, s.up, s.fixed, s.share, _growth(s, settings.slow_start, now))
            for s in seen
        ),
    )


def _insensitive(
    before: Mapping[str, Decision], after: Mapping[str, Decision], per_cent: int
) -> bool:
    """Return whether what would change is too little of the total weight to move slots for."""
    changed = sum(abs(new.weight - before[name].weight) for name, new in after.items())
    total = sum(old.weight for old in before.values())
    return changed * 100 <= per_cent * total


def _held(old: Decision, new: Decision) -> Decision:
    """Return the old weight, with the new factor to go on from."""
    return Decision(old.weight, old.up, new.factor, new.parts, old.reason)
